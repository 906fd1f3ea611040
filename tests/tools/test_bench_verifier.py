"""The verifier's benchmark draws what it says, and every item is what it claims to be."""

from collections import Counter
from random import Random

from benchmarks.verifier_items import RESPONSES, distinct, ordinary

from ib_lpo.scoring.grades import CORRECT, WRONG
from ib_lpo.scoring.rewards.math import REWARD


def test_every_item_is_as_right_as_it_says():
    items = ordinary(Random(1), 150) + distinct(Random(1), 60)
    assert [(REWARD(text, gold), right) for text, gold, right in items if REWARD(text, gold) != (CORRECT if right else WRONG)] == []


def test_the_mix_is_the_stated_one():
    items = ordinary(Random(0), 2000)
    assert items == ordinary(Random(0), 2000) and len(items) == 2000 * RESPONSES
    golds = [gold for _, gold, _ in items[::RESPONSES]]
    kinds = Counter(
        "integer" if gold.lstrip("-").isdecimal() else "rational" if gold.startswith("\\frac") and "pi" not in gold else "other"
        for gold in golds
    )
    assert abs(kinds["integer"] - 1200) < 80 and abs(kinds["rational"] - 300) < 60
    assert abs(sum(right for _, _, right in items) / len(items) - 0.6) < 0.02
    assert 1400 < sum(len(text) for text, _, _ in items) / len(items) < 1700


def test_distinct_items_share_no_gold_and_no_spelling():
    items = distinct(Random(0), 200)
    assert len({gold for _, gold, _ in items}) == 200
    assert sum(right for _, _, right in items) == 100
    assert not any(f"\\boxed{{{gold}}}" in text for text, gold, _ in items)

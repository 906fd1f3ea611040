"""Self-BLEU and Self-ROUGE-L, against the libraries themselves, text by text and pair by pair."""

import math
import time
from itertools import combinations, permutations

import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from ib_lpo.diversity.texts import self_bleu_distance, self_rouge_distance

WORDS = st.lists(st.sampled_from(["so", "So", "3.5", "x=2,", "**Step", "the", "\\boxed{7}", "-4", "7\n", "&amp;"]), max_size=14)
TEXTS = st.lists(WORDS.map(" ".join), min_size=2, max_size=5)


def slow_bleu(texts):
    texts = [text for text in texts if text.strip()]
    scores = [sacrebleu.sentence_bleu(text, texts[:i] + texts[i + 1 :], use_effective_order=True).score for i, text in enumerate(texts)]
    return 1 - np.mean(scores) / 100


def slow_rouge(texts):
    scorer = RougeScorer(["rougeL"])
    return 1 - np.mean([scorer.score(*pair)["rougeL"].fmeasure for pair in combinations(texts, 2)])


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_self_bleu_is_the_librarys(texts):
    if sum(bool(text.strip()) for text in texts) < 2:
        assert math.isnan(self_bleu_distance(texts))
    else:
        assert self_bleu_distance(texts) == pytest.approx(slow_bleu(texts), abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_self_rouge_is_the_librarys(texts):
    worded = [text for text in texts if any(c.isalnum() for c in text)]
    if len(worded) < 2:
        assert math.isnan(self_rouge_distance(texts))
    else:
        assert self_rouge_distance(texts) == pytest.approx(slow_rouge(worded), abs=1e-12)


@settings(deadline=None)
@given(TEXTS.filter(lambda texts: sum(any(c.isalnum() for c in text) for text in texts) > 1))
def test_both_are_in_range_and_blind_to_the_order_of_samples(texts):
    for distance in (self_bleu_distance, self_rouge_distance):
        found = [distance(list(order)) for order in list(permutations(texts))[:6]]
        assert -1e-9 <= found[0] <= 1 + 1e-9
        np.testing.assert_allclose(found, found[0], atol=1e-12)


def test_equal_samples_are_at_0_and_samples_without_a_word_in_common_at_1():
    for distance in (self_bleu_distance, self_rouge_distance):
        assert distance(["two plus two is four"] * 3) == pytest.approx(0.0, abs=1e-12)
        assert distance(["a b c d e", "f g h i j"]) == 1.0
        assert math.isnan(distance(["alone"])) and math.isnan(distance([])) and math.isnan(distance(["alone", "", " "]))


def test_a_longest_common_subsequence_written_out():
    # a c e are common to both, in order: F = 2 * 3 / (5 + 4)
    assert self_rouge_distance(["a b c d e", "a c x e"]) == pytest.approx(1 - 6 / 9)


def test_many_samples_are_judged_by_a_fixed_part_of_them():
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(list("abcdefgh"), 20)) for _ in range(40)]
    for distance in (self_bleu_distance, self_rouge_distance):
        assert distance(texts, most=12) == distance(texts, most=12) != distance(texts, most=40)
        assert distance(texts, most=40) == distance(texts, most=64)
    assert self_rouge_distance(texts, most=12) == pytest.approx(self_rouge_distance(texts), abs=0.05)
    assert self_bleu_distance(texts, most=12) > self_bleu_distance(texts, most=40) + 0.1  # fewer references match less


def test_many_long_responses_do_not_take_minutes():
    rng = np.random.default_rng(0)
    vocabulary = [f"w{i}" for i in range(500)]
    texts = [" ".join(rng.choice(vocabulary, 1000)) for _ in range(256)]
    began = time.process_time()
    assert 0 < self_rouge_distance(texts) < 1 and 0 < self_bleu_distance(texts) < 1
    assert time.process_time() - began < 10

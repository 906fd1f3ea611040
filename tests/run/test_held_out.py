"""The held-out check on trees made by hand: what it says of samples, and against the enumeration of all subsets."""

from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.diversity.measures import measure
from ib_lpo.held_out import due, held_out
from ib_lpo.manifest import validate
from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG, Cause, unverifiable
from ib_lpo.tree import Question, RolloutTree, Status, Trajectory, VersionSpan

GRADES = {"right": CORRECT, "none": NO_ANSWER, "broken": unverifiable(Cause.CRASH)}
ANSWERS = ("right", "wrong", "odd", "none", "broken")


def manifest(**values):
    return validate({"name": "h", "steps": 9, "model": {"path": "m"}} | values)


def decode(ids):
    """A response is one word and its length in tokens; all but `none` box the word as their answer."""
    word = ANSWERS[ids[0]]
    return "so " * len(ids) if word == "none" else "so " * len(ids) + f"\\boxed{{{word}}}"


def grade(items):
    """Of (response, gold) pairs: by the boxed word, and by equality where two answers are compared."""
    words = [text.partition("boxed{")[2].rstrip("}") or "none" for text, _ in items]
    pairs = zip(words, (gold for _, gold in items), strict=True)
    return [GRADES.get(word, WRONG) if gold == "gold" else (CORRECT if word == gold else WRONG) for word, gold in pairs]


def root(number, word, length, entropy):
    ids = np.full(length, ANSWERS.index(word), dtype=np.int32)
    numbers = {"logprobs": np.zeros(length, np.float32), "entropies": np.full(length, entropy, np.float32)}
    where = {"seed": 0, "engine": 0, "prefix_ids": np.zeros(0, np.int32), "cached_tokens": 0, "status": Status.FINISHED}
    spans = (VersionSpan(version=0, start=0, end=length),)
    return Trajectory(id=f"q/r{number}", token_ids=ids, spans=spans, **numbers, **where)


def check(asked, *, at_end=False, samples=None, **settings):
    """Of one list of (word, length, entropy) per question; returns the metrics and the samples that were asked for."""
    trees = []
    for row in asked:
        tree = RolloutTree(question=Question(id="q", text="", answer="gold", prompt_ids=(1,), answer_ids=()))
        tree.trajectories = [root(number, *one) for number, one in enumerate(row)]
        trees.append(tree)
    seen = []

    def sample(version, questions, how):
        seen.append(how)
        assert version == 3
        return trees

    m = manifest(held_out={"samples": samples or len(asked[0])} | settings)
    scheduler, sets = SimpleNamespace(sample=sample), SimpleNamespace(held_out=[tree.question for tree in trees])
    parts = SimpleNamespace(manifest=m, decode=decode, grade=grade, scheduler=scheduler, sets=sets)
    return held_out(parts, 3, at_end=at_end), seen[0]


def majority(words):
    counted = [word for word in words if word != "none"]
    most = {word for word in counted if counted.count(word) == max(map(counted.count, counted))}
    return ("right" in most) / len(most) if most else 0.0


words = st.lists(st.sampled_from(ANSWERS[:4]), min_size=5, max_size=5)


@settings(max_examples=40, deadline=None)
@given(st.lists(words, min_size=1, max_size=4), st.integers(1, 5))
def test_pass_and_maj_are_means_over_all_subsets(rows, k):
    found, _ = check([[(word, 2, 0.5) for word in row] for row in rows], ks=[k])
    subsets = [list(combinations(row, k)) for row in rows]
    assert found[f"held_out/pass@{k}"] == pytest.approx(np.mean([np.mean(["right" in s for s in of]) for of in subsets]), abs=1e-12)
    assert found[f"held_out/maj@{k}"] == pytest.approx(np.mean([np.mean([majority(s) for s in of]) for of in subsets]), abs=1e-12)


def test_means_over_samples_and_tokens():
    found, how = check([[("right", 4, 0.5), ("wrong", 2, 2.0)], [("none", 6, 0.25), ("broken", 4, 1.0)]])
    tokens = [0.5] * 4 + [2.0] * 2 + [0.25] * 6 + [1.0] * 4
    assert found == {
        "held_out/accuracy": 0.25,
        "held_out/samples": 4,
        "held_out/questions": 2,
        "held_out/unverifiable": 1,
        "held_out/entropy": pytest.approx(np.mean(tokens)),
        "held_out/response_tokens": 4.0,
    }
    assert (how.purpose, how.samples, how.top_p, how.top_k) == ("held_out", 2, 1.0, None)


def test_more_samples_at_the_ends_alone_and_ks_where_they_allow():
    row = [("right", 2, 0.5), ("wrong", 2, 0.5), ("wrong", 2, 0.5), ("none", 2, 0.5)]
    config = {"samples": 2, "samples_at_end": 4, "ks": [4, 1, 2]}
    middle, how = check([row[:2]], **config)
    assert how.samples == 2 and [name for name in middle if "@" in name] == [f"held_out/{of}@{k}" for of in ("pass", "maj") for k in (1, 2)]
    ends, how = check([row], at_end=True, **config)
    assert how.samples == 4
    assert (ends["held_out/pass@4"], ends["held_out/maj@4"], ends["held_out/pass@1"]) == pytest.approx((1.0, 0.0, 0.25))


def test_diversity_is_that_of_the_first_samples_and_only_where_there_are_enough():
    rows = [[(word, length, 0.5) for length, word in enumerate(row, start=2)] for row in (ANSWERS[:4] * 2 + ANSWERS[:1], ["odd"] * 9)]
    found, _ = check(rows, at_end=True, samples=1, samples_at_end=9, diversity=True)
    own = {name.removeprefix("held_out/diversity/"): value for name, value in found.items() if "diversity" in name}
    assert {"distance", "vendi"}.isdisjoint(own) and {"distinct_1", "self_bleu_distance", "answer_entropy"} <= own.keys()
    first = [[one[0] for one in row[:8]] for row in rows]
    ids = [[[ANSWERS.index(word)] * length for word, length, _ in row[:8]] for row in rows]
    by_hand = [
        measure(of, [decode(one) for one in of], [None if word == "none" else word for word in answers], None)
        for of, answers in zip(ids, first, strict=True)
    ]
    assert own == pytest.approx({name: np.mean([one[name] for one in by_hand]) for name in by_hand[0]})
    assert own["answer_entropy"] == pytest.approx(np.log(4) / 2)
    assert not any("diversity" in name for name in check([row[:1] for row in rows], samples_at_end=9, diversity=True)[0])


def test_nothing_held_out_is_no_metric():
    parts = SimpleNamespace(manifest=manifest(), sets=SimpleNamespace(held_out=[]))
    assert held_out(parts, 3, at_end=True) == {}


def test_checks_are_due_at_both_ends_and_between():
    every = manifest(held_out={"every": 4})
    assert [step for step in range(8) if due(step, every, last=step == 7)] == [0, 4, 7]
    assert [step for step in range(8) if due(step, manifest(), last=step == 7)] == [0, 7]

"""avg@n, pass@k and maj@k against the enumeration of all subsets."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.evaluation.metrics import maj_at_k, pass_at_k

# An answer of each sample (None: none), and whether it was found right; at the verifier's limits one answer may be found both.
votes = st.lists(st.tuples(st.sampled_from([None, "a", "b", "c", "d"]), st.booleans()), min_size=1, max_size=8)


def majority(answers, solved, chosen):
    """Of one subset, written as one would say it."""
    counts = Counter(answers[i] for i in chosen if answers[i] is not None)
    if not counts:
        return 0.0
    tied = [answer for answer, count in counts.items() if count == max(counts.values())]
    return np.mean([np.mean([s for a, s in zip(answers, solved, strict=True) if a == answer]) for answer in tied])


@given(st.integers(1, 9).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_the_share_of_subsets_with_a_solved_sample(case):
    n, solved, k = case
    subsets = [any(i < solved for i in chosen) for chosen in combinations(range(n), k)]
    assert pass_at_k(n, solved, k) == pytest.approx(np.mean(subsets), abs=1e-12)


@given(votes, st.data())
def test_maj_at_k_is_the_mean_majority_over_subsets(cast, data):
    answers, solved = zip(*cast, strict=True)
    k = data.draw(st.integers(1, len(cast)))
    subsets = [majority(answers, solved, chosen) for chosen in combinations(range(len(cast)), k)]
    assert maj_at_k(answers, solved, k) == pytest.approx(np.mean(subsets), abs=1e-12)


@given(votes)
def test_one_sample_solves_what_avg_says(cast):
    answers, solved = zip(*cast, strict=True)
    counted = [s and a is not None for a, s in cast]
    assert pass_at_k(len(cast), sum(solved), 1) == pytest.approx(np.mean(solved))
    assert maj_at_k(answers, solved, 1) == pytest.approx(np.mean(counted))


def test_large_numbers_stay_exact():
    assert pass_at_k(256, 1, 64) == pytest.approx(64 / 256, rel=1e-12)
    assert pass_at_k(1024, 1024, 1024) == 1.0
    assert pass_at_k(10**6, 1, 1) == pytest.approx(1e-6, rel=1e-9)
    answers = ["x"] * 100 + ["y"] * 90 + [f"z{i}" for i in range(60)] + [None] * 6
    solved = [a == "x" for a in answers]
    rng = np.random.default_rng(0)
    drawn = [majority(answers, solved, rng.choice(256, 64, replace=False)) for _ in range(4000)]
    assert maj_at_k(answers, solved, 64) == pytest.approx(np.mean(drawn), abs=4 * np.std(drawn) / 4000**0.5)
    assert maj_at_k(answers, solved, 256) == 1.0
    assert maj_at_k(["x"] * 512 + ["y"] * 512, [True] * 512 + [False] * 512, 512) == pytest.approx(0.5, rel=1e-9)


def test_samples_without_an_answer_have_no_vote():
    assert maj_at_k([None, None, None, "a"], [False, False, False, True], 4) == 1.0
    assert maj_at_k([None, None], [False, False], 2) == 0.0


@pytest.mark.parametrize("k", [0, 4])
def test_more_than_all_samples_is_refused(k):
    with pytest.raises(ValueError, match=f"k={k} of 3 samples"):
        pass_at_k(3, 1, k)
    with pytest.raises(ValueError, match=f"k={k} of 3 samples"):
        maj_at_k(["a"] * 3, [True] * 3, k)

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.scoring.estimators import ESTIMATORS, Need, Terms, rank_scores
from ib_lpo.scoring.estimators.base import z_scores

NATS = st.floats(-20.0, 0.0)
PMI = ESTIMATORS["pmi"]


def passes(answer, prior, bound, alone):
    return {
        Need.ANSWER_GIVEN_RESPONSE: np.array(answer),
        Need.ANSWER_GIVEN_QUESTION: np.array(prior),
        Need.OWN_GIVEN_QUESTION: np.array(bound),
        Need.OWN_ALONE: np.array(alone),
    }


@given(
    answer=st.lists(st.tuples(NATS, NATS), min_size=1, max_size=6),
    own=st.lists(st.tuples(NATS, NATS), max_size=9),
    length=st.integers(1, 300),
)
def test_pmi_equals_the_formula_written_out(answer, own, length):
    terms = PMI.terms(passes([a for a, _ in answer], [p for _, p in answer], [b for b, _ in own], [o for _, o in own]), length)
    relevance = 0.0
    for given_response, given_question in answer:
        relevance += (given_response - given_question) / len(answer)
    compression = 0.0
    for given_question, alone in own:
        compression += (given_question - alone) / length
    assert terms.relevance == pytest.approx(relevance, abs=1e-9)
    assert terms.compression == pytest.approx(compression, abs=1e-9)


def test_signs_and_units():
    """A response that doubles the probability of each answer token is worth log 2 nats; longer costs more."""
    half, quarter = math.log(0.5), math.log(0.25)
    short = PMI.terms(passes([half, half], [quarter, quarter], [half], [quarter]), 10)
    long = PMI.terms(passes([half, half], [quarter, quarter], [half] * 4, [quarter] * 4), 10)
    assert short.relevance == pytest.approx(math.log(2))
    assert short.compression == pytest.approx(math.log(2) / 10)
    assert long.compression == pytest.approx(4 * short.compression)
    ranked = rank_scores([short, long], beta=2.0)
    assert ranked[0] > ranked[1]


def test_refuses_an_empty_gold_answer_and_unequal_passes():
    with pytest.raises(ValueError, match="answer_ids"):
        PMI.terms(passes([], [], [0.0], [0.0]), 10)
    with pytest.raises(ValueError, match="differ in length"):
        PMI.terms(passes([0.0], [0.0], [0.0, 0.0], [0.0]), 10)


@given(shared=st.integers(-40, 40), first=st.integers(-40, 40), second=st.integers(-40, 40))
def test_of_two_siblings_the_more_informative_or_else_the_more_concise_ranks_higher(shared, first, second):
    low, high = sorted((first, second))
    informative = rank_scores([Terms(high, shared), Terms(low, shared)], 2.0)
    concise = rank_scores([Terms(shared, low), Terms(shared, high)], 2.0)
    assert (informative[0] > informative[1]) == (concise[0] > concise[1]) == (high > low)


SIBLINGS = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=2, max_size=6)


@given(values=SIBLINGS, beta=st.floats(0.0, 5.0))
def test_score_equals_the_formula_written_out(values, beta):
    relevances, compressions = [r / 8 for r, _ in values], [c / 8 for _, c in values]

    def z(numbers, x):
        mean = sum(numbers) / len(numbers)
        spread = math.sqrt(sum((n - mean) ** 2 for n in numbers) / len(numbers))
        return (x - mean) / spread if spread > 1e-6 else 0.0

    expected = [beta * z(relevances, r) - z(compressions, c) for r, c in zip(relevances, compressions, strict=True)]
    assert rank_scores([Terms(r, c) for r, c in zip(relevances, compressions, strict=True)], beta) == pytest.approx(expected, abs=1e-9)


@given(values=SIBLINGS, shift=st.integers(-100, 100), scale=st.integers(1, 50))
def test_scores_ignore_what_all_siblings_share(values, shift, scale):
    plain = rank_scores([Terms(r, c) for r, c in values], 2.0)
    moved = rank_scores([Terms(r * scale + shift, c * scale - shift) for r, c in values], 2.0)
    assert moved == pytest.approx(plain, abs=1e-9)
    assert plain.sum() == pytest.approx(0.0, abs=1e-9)


@given(values=SIBLINGS, data=st.data())
def test_scores_follow_a_permutation_of_the_siblings(values, data):
    order = data.draw(st.permutations(range(len(values))))
    plain = rank_scores([Terms(*v) for v in values], 2.0)
    assert rank_scores([Terms(*values[i]) for i in order], 2.0) == pytest.approx(plain[list(order)], abs=1e-9)


def test_siblings_that_do_not_differ_score_zero():
    assert rank_scores([Terms(1.0, 2.0)] * 3, 2.0).tolist() == [0.0, 0.0, 0.0]
    assert rank_scores([Terms(1.0, 2.0)], 2.0).tolist() == [0.0]
    assert rank_scores([], 2.0).tolist() == []
    assert z_scores(np.array([1.0, 1.0 + 1e-8])).tolist() == [0.0, 0.0]

"""Every estimator against its formula written out, and for what it must and must not see."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ib_lpo.scoring.config import IbConfig
from ib_lpo.scoring.estimators import ESTIMATORS, Evidence, Need, Scored, Terms, z_scores
from ib_lpo.scoring.repetition import repeated_tokens

NATS = st.floats(-20.0, 0.0, width=32)
COSTS = st.floats(-20.0, -1 / 64, width=32)
ENTROPIES = st.floats(0.0, 11.0, width=32)
ANSWER = st.lists(st.tuples(NATS, NATS), min_size=1, max_size=6)
CONFIG = IbConfig(reference_length=10)


def scored(logprobs=None, entropies=None) -> Scored:
    """A pass of which one half is given; nobody may look at the other."""
    size = len(logprobs if logprobs is not None else entropies)
    halves = (np.full(size, np.nan) if half is None else np.array(half) for half in (logprobs, entropies))
    return Scored(*(half.astype(np.float32) for half in halves))


def evidence(*, answer=((), ()), own=None, alone=None, untold=None, told=None, logged=None, repeated=None, advantage=0.0) -> Evidence:
    """`answer`: log-probs given the response, given the question. `untold`, `told`: entropies without and with the answer in sight."""
    size = len(next(given for given in (own, untold, logged, ()) if given is not None))
    passes = {Need.ANSWER_GIVEN_RESPONSE: scored(answer[0]), Need.ANSWER_GIVEN_QUESTION: scored(answer[1])}
    passes |= {Need.OWN_GIVEN_QUESTION: scored(own, untold)} if own is not None or untold is not None else {}
    passes |= {Need.OWN_ALONE: scored(alone)} if alone is not None else {}
    passes |= {Need.OWN_GIVEN_ANSWER: scored(entropies=told)} if told is not None else {}
    return Evidence(
        passes=passes,
        repeated=np.zeros(size, dtype=bool) if repeated is None else np.array(repeated, dtype=bool),
        entropies=np.full(size, np.nan, dtype=np.float32) if logged is None else np.array(logged, dtype=np.float32),
        advantage=advantage,
    )


def terms(name: str, config: IbConfig = CONFIG, **given) -> Terms:
    return ESTIMATORS[name].terms(evidence(**given), config)


def sum_of(found: Terms, beta: float = 2.0) -> float:
    """S_IB of a trajectory before z-scoring."""
    return beta * found.relevance - found.compression


def ranked(siblings: list[Terms], beta: float = 2.0) -> np.ndarray:
    """S_IB among siblings."""
    return beta * z_scores([t.relevance for t in siblings]) - z_scores([t.compression for t in siblings])


def answers(pairs) -> tuple[list[float], list[float]]:
    return [told for told, _ in pairs], [untold for _, untold in pairs]


def gain_written_out(pairs) -> float:
    relevance = 0.0
    for told, untold in pairs:
        relevance += (told - untold) / len(pairs)
    return relevance


@given(answer=ANSWER, own=st.lists(st.tuples(NATS, NATS), max_size=9), length=st.integers(1, 300))
def test_pmi_equals_the_formula_written_out(answer, own, length):
    config = IbConfig(reference_length=length)
    found = terms("pmi", config, answer=answers(answer), own=[bound for bound, _ in own], alone=[free for _, free in own])
    compression = 0.0
    for bound, free in own:
        compression += (bound - free) / length
    assert found.relevance == pytest.approx(gain_written_out(answer), abs=1e-9)
    assert found.compression == pytest.approx(compression, abs=1e-9)


@given(
    answer=ANSWER,
    own=st.lists(st.tuples(NATS, st.booleans()), max_size=9),
    length=st.integers(1, 300),
    penalty=st.floats(0.0, 5.0, width=32),
)
def test_rate_equals_the_formula_written_out(answer, own, length, penalty):
    config = IbConfig(reference_length=length, repetition_penalty=penalty)
    found = terms("rate", config, answer=answers(answer), own=[nats for nats, _ in own], repeated=[again for _, again in own])
    code = 0.0
    for nats, again in own:
        code -= nats
        if again:
            code += penalty
    assert found.relevance == pytest.approx(gain_written_out(answer), abs=1e-9)
    assert found.compression == pytest.approx(code / length, abs=1e-9)
    assert found.compression >= 0


@given(own=st.lists(st.tuples(ENTROPIES, ENTROPIES), max_size=9), beta=st.floats(0.0, 5.0))
def test_answer_entropy_equals_the_theorem_written_out(own, beta):
    found = terms("answer_entropy", untold=[h for h, _ in own], told=[h for _, h in own])
    theorem = 0.0
    for untold, told in own:
        theorem += untold - beta * told
    assert sum_of(found, beta) == pytest.approx(theorem, abs=1e-9)
    assert found.relevance <= 0 and found.compression <= 0


@given(entropies=st.lists(ENTROPIES, max_size=9), advantage=st.floats(-1.0, 1.0))
def test_advantage_entropy_equals_the_formula_written_out(entropies, advantage):
    found = terms("advantage_entropy", logged=entropies, advantage=advantage)
    relevance = 0.0
    for h in entropies:
        relevance += advantage * h / len(entropies)
    assert found.relevance == pytest.approx(relevance, abs=1e-9)
    assert found.compression == 0.0


def test_the_registry_says_what_each_estimator_needs():
    assert {name: (len(e.needs), e.needs_gold) for name, e in ESTIMATORS.items()} == {
        "pmi": (4, True),
        "rate": (3, True),
        "answer_entropy": (2, True),
        "advantage_entropy": (0, False),
    }


def test_signs_and_units():
    """To double the probability of each answer token is worth log 2 nats; 4 tokens of log 2 nats over L = 10 tokens cost 0.4 log 2."""
    half, quarter = math.log(0.5), math.log(0.25)
    answer, own = ([half, half], [quarter, quarter]), [half] * 4
    for name, alone in (("pmi", [quarter] * 4), ("rate", None)):
        found = terms(name, answer=answer, own=own, alone=alone)
        assert found.relevance == pytest.approx(math.log(2))
        assert found.compression == pytest.approx(0.4 * math.log(2))


def test_entropy_signs():
    """Open without the answer and settled by it beats settled anyway, which beats open anyway."""
    settled_by_it, settled, open_ = (terms("answer_entropy", untold=[u], told=[t]) for u, t in ((1.0, 0.0), (0.0, 0.0), (1.0, 1.0)))
    assert sum_of(settled_by_it) > sum_of(settled) > sum_of(open_)


def test_hesitation_counts_for_a_right_trajectory_and_against_a_wrong_one():
    for advantage in (0.5, -0.5):
        hesitant, sure = (terms("advantage_entropy", logged=[h, h], advantage=advantage).relevance for h in (2.0, 0.5))
        assert (hesitant > sure) == (advantage > 0)
    assert terms("advantage_entropy", logged=[2.0], advantage=0.0).relevance == 0.0


OWN = st.lists(st.tuples(NATS, st.booleans()), max_size=6)


def rate_of(answer, own) -> Terms:
    return terms("rate", answer=answers(answer), own=[nats for nats, _ in own], repeated=[again for _, again in own])


@given(answer=ANSWER, own=OWN, filler=st.lists(NATS, max_size=9), others=st.lists(st.tuples(ANSWER, OWN), max_size=3))
def test_filler_never_raises_the_rate_score_among_siblings(answer, own, filler, others):
    siblings = [rate_of(*other) for other in others]
    short, long = rate_of(answer, own), rate_of(answer, own + [(nats, False) for nats in filler])
    assert long.relevance == short.relevance
    assert ranked([long, *siblings])[0] <= ranked([short, *siblings])[0] + 1e-6


@given(answer=ANSWER, own=OWN, filler=st.lists(COSTS, min_size=1, max_size=9))
def test_filler_that_costs_something_lowers_the_rate_score(answer, own, filler):
    short, long = rate_of(answer, own), rate_of(answer, own + [(nats, False) for nats in filler])
    assert sum_of(long) == pytest.approx(sum_of(short) + sum(filler) / CONFIG.reference_length, abs=1e-9)
    assert sum_of(long) < sum_of(short)
    longer, shorter = ranked([long, short])
    assert longer < shorter


@given(
    answer=ANSWER,
    own=st.lists(st.tuples(NATS, NATS), max_size=6),
    filler=st.lists(st.tuples(NATS, st.floats(1 / 64, 5.0, width=32)), min_size=1, max_size=9),
)
def test_filler_that_is_bound_to_the_question_lowers_the_pmi_score(answer, own, filler):
    """Each token is more likely with the question than without."""

    def of(pairs):
        return terms("pmi", answer=answers(answer), own=[bound for bound, _ in pairs], alone=[free for _, free in pairs])

    short, long = of(own), of(own + [(nats, nats - bound) for nats, bound in filler])
    assert long.relevance == short.relevance
    assert sum_of(long) < sum_of(short)
    longer, shorter = ranked([long, short])
    assert longer < shorter


@given(
    own=st.lists(st.tuples(ENTROPIES, ENTROPIES), max_size=6), filler=st.lists(st.floats(1 / 64, 11.0, width=32), min_size=1, max_size=9)
)
def test_filler_that_the_answer_does_not_settle_lowers_the_answer_entropy_score_above_beta_one(own, filler):
    def of(pairs):
        return terms("answer_entropy", untold=[u for u, _ in pairs], told=[t for _, t in pairs])

    short, long = of(own), of(own + [(h, h) for h in filler])
    for beta in (0.5, 1.0, 2.0):
        change = sum_of(long, beta) - sum_of(short, beta)
        assert change == pytest.approx((1 - beta) * sum(filler), abs=1e-6)


def test_advantage_entropy_does_not_see_length():
    short, long = (terms("advantage_entropy", logged=[1.5] * n, advantage=1.0) for n in (2, 200))
    assert short == long


@given(
    body=st.lists(st.integers(0, 99), min_size=4, max_size=12),
    period=st.integers(1, 4),
    turns=st.integers(2, 40),
    cost=st.floats(-(2**-17), 0.0, width=32),
)
def test_a_loop_of_nearly_no_nats_lowers_the_rate_score_and_escapes_without_the_penalty(body, period, turns, cost):
    response = body + body[-period:] * turns
    looped = repeated_tokens(response)
    assume(looped[len(body) :].sum() > 4)
    own = [-1.0] * len(body)

    def of(own, repeated, penalty):
        return terms("rate", IbConfig(reference_length=10, repetition_penalty=penalty), answer=([-0.5], [-3.0]), own=own, repeated=repeated)

    for penalty in (1.0, 0.0):
        plain = of(own, repeated_tokens(body), penalty)
        stuck = of(own + [cost] * (len(response) - len(body)), looped, penalty)
        if penalty:
            assert sum_of(stuck) < sum_of(plain) - 0.4
            assert ranked([stuck, plain])[0] < 0
        else:
            assert sum_of(stuck) == pytest.approx(sum_of(plain), abs=1e-3)


@pytest.mark.parametrize("name", ["pmi", "rate"])
@given(answer=ANSWER, lost=st.floats(1 / 64, 10.0, width=32))
def test_without_the_steps_that_carry_the_answer_relevance_falls(name, answer, lost):
    """The answer is less likely after what is left of the response."""
    less_told = [(told - lost, untold) for told, untold in answer]
    whole, deprived = (terms(name, answer=answers(pairs), own=[-1.0], alone=[-2.0]) for pairs in (answer, less_told))
    assert deprived.relevance == pytest.approx(whole.relevance - lost, rel=1e-3)
    assert deprived.compression == whole.compression
    less, more = ranked([deprived, whole])
    assert less < more


@pytest.mark.parametrize("name", ["pmi", "rate"])
def test_a_misleading_response_has_negative_relevance(name):
    assert terms(name, answer=([-4.0, -3.0], [-1.0, -1.0]), own=[-1.0], alone=[-1.0]).relevance == pytest.approx(-2.5)


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_a_trajectory_without_own_tokens_costs_nothing(name):
    found = terms(name, answer=([-0.5], [-3.0]), own=[], alone=[], told=[], logged=[], advantage=0.5)
    assert found == Terms(relevance=2.5 if name in ("pmi", "rate") else 0.0, compression=0.0)


ONE = ([-1.0], [-2.0])
BAD = {
    "empty answer": (("pmi", "rate"), {"answer": ([], []), "own": [-1.0], "alone": [-1.0]}, r"answer tokens scored: 0 and 0.*answer_ids"),
    "unequal answers": (
        ("pmi", "rate"),
        {"answer": ([-1.0], [-1.0, -1.0]), "own": [-1.0], "alone": [-1.0]},
        "answer tokens scored: 1 and 2",
    ),
    "unequal passes": (("pmi",), {"answer": ONE, "own": [-1.0, -1.0], "alone": [-1.0]}, r"pmi: passes .* \(2,\) and \(1,\)"),
    "repetition of others": (("rate",), {"answer": ONE, "own": [-1.0], "repeated": [True] * 3}, "rate: 1 response tokens .* 3 searched"),
    "unequal entropies": (("answer_entropy",), {"untold": [1.0], "told": []}, r"answer_entropy: passes .* \(1,\) and \(0,\)"),
    "entropies of others": (("advantage_entropy",), {"logged": [1.0], "repeated": []}, "advantage_entropy: 1 entropies .* for 0 tokens"),
}


@pytest.mark.parametrize(("name", "wrong", "message"), [(name, wrong, message) for names, wrong, message in BAD.values() for name in names])
def test_evidence_that_cannot_be_right_is_refused(name, wrong, message):
    with pytest.raises(ValueError, match=message):
        terms(name, **wrong)


SIBLINGS = st.lists(st.tuples(st.integers(-40, 40), st.integers(-40, 40)), min_size=2, max_size=6)


@given(values=st.lists(st.integers(-40, 40), max_size=6))
def test_z_scores_equal_the_formula_written_out(values):
    numbers = [value / 8 for value in values]
    mean = sum(numbers) / max(len(numbers), 1)
    spread = math.sqrt(sum((n - mean) ** 2 for n in numbers) / max(len(numbers), 1))
    expected = [(n - mean) / spread if spread > 1e-6 else 0.0 for n in numbers]
    assert z_scores(numbers) == pytest.approx(expected, abs=1e-9)


@given(shared=st.integers(-40, 40), first=st.integers(-40, 40), second=st.integers(-40, 40))
def test_of_two_siblings_the_more_informative_or_else_the_more_concise_ranks_higher(shared, first, second):
    low, high = sorted((first, second))
    informative = ranked([Terms(high, shared), Terms(low, shared)])
    concise = ranked([Terms(shared, low), Terms(shared, high)])
    assert (informative[0] > informative[1]) == (concise[0] > concise[1]) == (high > low)


@given(values=SIBLINGS, shift=st.integers(-100, 100), scale=st.integers(1, 50))
def test_scores_ignore_what_all_siblings_share(values, shift, scale):
    plain = ranked([Terms(r, c) for r, c in values])
    moved = ranked([Terms(r * scale + shift, c * scale - shift) for r, c in values])
    assert moved == pytest.approx(plain, abs=1e-9)
    assert plain.sum() == pytest.approx(0.0, abs=1e-9)


@given(values=SIBLINGS, data=st.data())
def test_scores_follow_a_permutation_of_the_siblings(values, data):
    order = data.draw(st.permutations(range(len(values))))
    plain = ranked([Terms(*v) for v in values])
    assert ranked([Terms(*values[i]) for i in order]) == pytest.approx(plain[list(order)], abs=1e-9)


def test_siblings_that_do_not_differ_score_zero():
    assert z_scores([1.0] * 3).tolist() == [0.0, 0.0, 0.0]
    assert z_scores([1.0]).tolist() == [0.0]
    assert z_scores([]).tolist() == []
    assert z_scores([1.0, 1.0 + 1e-8]).tolist() == [0.0, 0.0]

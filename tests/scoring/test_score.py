"""Ranking readings among siblings: the formula written out, invariances, and readings that must not rank anything."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.manifest import Manifest, validate
from ib_lpo.scoring.estimators import Terms
from ib_lpo.scoring.forward import Cost
from ib_lpo.scoring.reading import Reading
from ib_lpo.scoring.score import score_trees
from ib_lpo.tree import RolloutTree, Verdict
from tests.scoring.trees import judged, tree

FREE = Cost(0, 0)
VALUES = st.integers(-40, 40)
FAMILY = st.lists(st.tuples(VALUES, VALUES, st.sampled_from([Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE])), max_size=5)


def manifest(scope="root", beta=2.0) -> Manifest:
    return validate({"name": "t", "steps": 1, "model": {"path": "m"}, "filter": {"scope": scope}, "ib": {"beta": beta}})


def reading(relevance: float, compression: float) -> Reading:
    return Reading(terms=Terms(relevance, compression), profile_at=(0, 3), profile=(0.0, relevance))


def grown(*families) -> tuple[RolloutTree, dict[str, Reading]]:
    """Two roots, and branches of them with the given terms and verdicts."""
    readings = {"q/r0": reading(1.0, 0.5), "q/r1": reading(0.0, 0.5)}
    made = [judged(name, Verdict.CORRECT) for name in readings]
    for r, family in enumerate(families):
        for b, (relevance, compression, verdict) in enumerate(family):
            name = f"q/r{r}/b{b}"
            made.append(judged(name, verdict, parent=f"q/r{r}"))
            readings[name] = reading(relevance / 8, compression / 8)
    return tree(*made), readings


def z(value, values) -> float:
    mean = sum(values) / len(values)
    spread = math.sqrt(sum((v - mean) ** 2 for v in values) / len(values))
    return (value - mean) / spread if spread > 1e-6 else 0.0


@given(first=FAMILY, second=FAMILY, scope=st.sampled_from(["root", "prompt"]), beta=st.floats(0.0, 5.0))
def test_scores_are_the_formula_over_the_siblings(first, second, scope, beta):
    of, readings = grown(first, second)
    score_trees([of], [readings], FREE, manifest(scope, beta))
    for t in of.trajectories:
        family = [
            readings[s.id].terms
            for s in of.trajectories
            if (s.parent is None) == (t.parent is None)
            and (scope == "prompt" or s.parent == t.parent)
            and (s.verdict is Verdict.UNVERIFIABLE) == (t.verdict is Verdict.UNVERIFIABLE)
        ]
        own = readings[t.id].terms
        relevance_z = z(own.relevance, [s.relevance for s in family])
        compression_z = z(own.compression, [s.compression for s in family])
        assert (t.ib.relevance_z, t.ib.compression_z) == pytest.approx((relevance_z, compression_z), abs=1e-9)
        assert t.ib.score == pytest.approx(beta * relevance_z - compression_z, abs=1e-9)
        assert (t.ib.relevance, t.ib.compression, t.ib.estimator) == (own.relevance, own.compression, "pmi")
        assert (t.ib.profile_at, t.ib.profile) == (readings[t.id].profile_at, readings[t.id].profile)


@given(family=FAMILY, shift=st.integers(-100, 100), scale=st.integers(1, 50))
def test_scores_ignore_what_all_siblings_share(family, shift, scale):
    plain, moved = grown(family), grown([(r * scale + shift, c * scale - shift, verdict) for r, c, verdict in family])
    for of, readings in (plain, moved):
        score_trees([of], [readings], FREE, manifest())
    assert [t.ib.score for t in moved[0].trajectories] == pytest.approx([t.ib.score for t in plain[0].trajectories], abs=1e-9)


@given(shared=VALUES, first=VALUES, second=VALUES)
def test_of_two_siblings_the_more_informative_or_else_the_more_concise_ranks_higher(shared, first, second):
    low, high = sorted((first, second))
    for better, worse in (((high, shared), (low, shared)), ((shared, low), (shared, high))):
        of, readings = grown([(*better, Verdict.WRONG), (*worse, Verdict.CORRECT)])
        score_trees([of], [readings], FREE, manifest())
        better_score, worse_score = (t.ib.score for t in of.trajectories[2:])
        assert (better_score > worse_score) == (high > low)


def test_metrics():
    of, readings = grown([(8, 0, Verdict.CORRECT), (0, 8, Verdict.WRONG)], [(16, 0, Verdict.NO_ANSWER)])
    metrics = score_trees([of], [readings], Cost(forwarded=30, flat=120), manifest())
    assert metrics["ib/scored"] == 5
    assert metrics["ib/relevance"] == pytest.approx(np.mean([1.0, 0.0, 2.0]))
    assert (metrics["ib/root_relevance"], metrics["ib/root_compression"]) == (0.5, 0.5)
    assert (metrics["ib/score_correct"], metrics["ib/score_wrong"]) == pytest.approx((3.0, -1.5))
    assert metrics["ib/spread"] == pytest.approx(6.0)  # an only child is compared with nobody
    assert (metrics["ib/tokens_per_trajectory"], metrics["ib/token_share"]) == (6.0, 0.25)
    assert "ib/tokens_per_trajectory" not in score_trees([of], [readings], FREE, manifest())
    assert score_trees([], [], FREE, manifest()) == {"ib/scored": 0.0}


def test_readings_that_must_not_rank_anything():
    of, readings = grown([(0, 0, Verdict.CORRECT)])
    missing = {name: value for name, value in readings.items() if name != "q/r0/b0"}
    with pytest.raises(ValueError, match="q/r0/b0: the scorer returned no reading"):
        score_trees([of], [missing], FREE, manifest())
    for broken in (reading(math.nan, 0.0), reading(0.0, math.inf), Reading(terms=Terms(0.0, 0.0), profile_at=(1,), profile=(math.nan,))):
        with pytest.raises(ValueError, match="not finite; check the scoring model's weights"):
            score_trees([of], [readings | {"q/r1": broken}], FREE, manifest())
    with pytest.raises(ValueError, match="readings of 0 trees"):
        score_trees([of], [], FREE, manifest())

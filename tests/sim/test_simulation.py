"""The real driver on simulated workers: the staleness bound holds and nothing is lost, whatever dies and whenever."""

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from sim.scenario import Scenario, simulate

from ib_lpo.branching.ahead import Ahead
from ib_lpo.branching.growth import StaleTokens
from ib_lpo.errors import UserError

SMALL = {"engines": 3, "in_flight": 24, "steps": 4, "running": 4, "mean_tokens": 200.0}


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 3),
    st.sampled_from([0.0, 40.0, 150.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.1, 0.8, 3.0]),
    st.integers(0, 2),
    st.integers(0, 10_000),
)
def test_no_token_is_older_than_the_bound_and_nothing_is_lost(max_staleness, mtbf_s, hangs, update_share, learner_deaths, seed):
    chances = {"mtbf_s": mtbf_s, "hangs": hangs, "learner_deaths": learner_deaths, "seed": seed}
    outcome = simulate(Scenario(max_staleness=max_staleness, update_share=update_share, **chances, **SMALL))
    assert (outcome.lost, outcome.twice) == (0, 0)
    assert max(outcome.staleness) <= max_staleness
    assert sum(outcome.staleness.values()) == pytest.approx(1.0)


def test_overlap_makes_tokens_older_and_the_run_shorter():
    at_once, ahead = (simulate(Scenario(max_staleness=n, **SMALL | {"steps": 8, "in_flight": 12 * (n + 1)})) for n in (0, 2))
    assert at_once.staleness == {0: 1.0}
    assert ahead.staleness.get(1, 0) + ahead.staleness.get(2, 0) > 0.3
    assert ahead.step_s < 0.8 * at_once.step_s  # the same questions per step
    assert ahead.idle < at_once.idle


def test_a_driver_that_opens_steps_too_early_is_caught(monkeypatch):
    """The control: one version beyond the bound, and the growth refuses its tokens."""
    opened = Ahead._open
    monkeypatch.setattr(Ahead, "_open", lambda self, served: opened(self, served + 1))
    with pytest.raises(StaleTokens, match="takes none before version"):
        simulate(Scenario(max_staleness=1, update_share=3.0, **SMALL))


def test_deaths_cost_requests_and_no_trajectories():
    outcome = simulate(Scenario(mtbf_s=60.0, hangs=0.0, max_staleness=1, **SMALL | {"steps": 8}))
    assert outcome.deaths > 3 and outcome.reissued > 0
    assert (outcome.lost, outcome.twice) == (0, 0)


def test_steps_after_the_checkpoint_of_a_lost_learner_are_done_again():
    outcome = simulate(Scenario(learner_deaths=4, max_staleness=2, **SMALL | {"steps": 9}))
    assert outcome.learner_losses == 4
    assert (outcome.lost, outcome.twice) == (0, 0)


def test_too_many_deaths_end_the_run(monkeypatch):
    monkeypatch.setattr("sim.scenario.RESTARTS", 3)
    with pytest.raises(UserError, match=r"cluster\.most_restarts=3"):
        simulate(Scenario(mtbf_s=25.0, hangs=0.0, **SMALL | {"steps": 50}))

"""The health of an engine: deadlines, edges, and what no sequence of events leads to."""

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.health import EDGES, EngineState, Health, IllegalTransition

START, SUSPECT, DEAD = 100.0, 10.0, 30.0
CLUSTER = ClusterConfig(start_deadline_s=START, suspect_after_s=SUSPECT, dead_after_s=DEAD)


def engine(*, current=None):
    return Health.started("engine-0", CLUSTER, now=0.0, current=current)


def healthy():
    health = engine(current=3)
    health.ready()
    health.refitted(3)
    return health


def test_the_ordinary_way():
    health = engine()
    assert (health.state, health.serves) == (EngineState.STARTING, False)
    health.ready()
    assert (health.state, health.serves) == (EngineState.STALE, False)
    health.published(0)
    health.refitted(0)
    assert (health.state, health.serves, health.version) == (EngineState.HEALTHY, True, 0)
    health.published(1)
    assert (health.state, health.version) == (EngineState.STALE, 0)
    health.refitted(1)
    assert health.serves


@pytest.mark.parametrize(("after", "state"), [(9.9, EngineState.HEALTHY), (10.0, EngineState.SUSPECT), (30.0, EngineState.DEAD)])
def test_silence_counts_from_the_call(after, state):
    health = healthy()
    assert health.tick(1e6) is EngineState.HEALTHY, "it owes nothing"
    health.called(1e6)
    assert health.tick(1e6 + after) is state


def test_silence_counts_from_the_last_answer_while_another_call_is_open():
    health = healthy()
    health.called(0.0)
    health.called(1.0)
    health.heard(9.0)
    assert health.tick(18.9) is EngineState.HEALTHY
    assert health.tick(19.0) is EngineState.SUSPECT
    health.heard(20.0)
    assert health.tick(1e6) is EngineState.STALE, "it owes nothing, and must be refitted all the same"
    health.refitted(3)
    assert health.serves


def test_an_engine_that_does_not_start():
    health = engine(current=1)
    assert health.tick(99.9) is EngineState.STARTING
    assert health.tick(100.0) is EngineState.DEAD


@pytest.mark.parametrize(
    "event",
    [
        lambda h: h.refitted(2),  # not the current version
        lambda h: h.refitted(3),  # it is healthy: nothing was published
        lambda h: h.published(3),
        lambda h: h.published(2),
        lambda h: h.ready(),
        lambda h: h.heard(1.0),  # nothing asked
    ],
)
def test_what_cannot_happen_to_a_healthy_engine(event):
    with pytest.raises(IllegalTransition, match=r"^engine-0: "):
        event(healthy())


def test_a_starting_engine_is_not_asked_and_not_refitted():
    for event in (lambda h: h.called(1.0), lambda h: h.refitted(3)):
        with pytest.raises(IllegalTransition, match="while starting"):
            event(engine(current=3))


def test_the_table_of_edges():
    ways_to_healthy = [state for state, to in EDGES.items() if EngineState.HEALTHY in to]
    assert ways_to_healthy == [EngineState.STALE] and EDGES[EngineState.DEAD] == frozenset()
    assert all(EngineState.DEAD in EDGES[state] for state in EngineState if state is not EngineState.DEAD)


EVENTS = st.one_of(
    st.tuples(st.sampled_from(["called", "heard", "tick"]), st.floats(0, 40)),
    st.tuples(st.sampled_from(["refitted", "published"]), st.integers(0, 6)),
    st.tuples(st.sampled_from(["ready", "failed"]), st.just(None)),
)


def play(health, model, name, argument):
    """One event, and what must hold between the states before and after it."""
    before = health.state
    try:
        if name in ("ready", "failed"):
            getattr(health, name)()
        elif name in ("refitted", "published"):
            getattr(health, name)(argument)
            setattr(model, "current" if name == "published" else "held", argument)
        else:
            model.now += argument
            getattr(health, name)(model.now)
    except IllegalTransition:
        assert health.state is before, "what cannot happen changes nothing"
        return
    if health.state is not before:
        assert health.state in EDGES[before]
    if health.state is EngineState.HEALTHY and before is not EngineState.HEALTHY:
        assert name == "refitted" and before is EngineState.STALE
    assert before is not EngineState.DEAD or health.state is EngineState.DEAD


@given(st.lists(EVENTS, max_size=40))
def test_no_sequence_of_events_leads_round_a_refit(events):
    health, model = engine(), SimpleNamespace(now=0.0, current=None, held=None)
    play(health, model, "ready", None)
    for name, argument in events:
        play(health, model, name, argument)
        if health.serves:
            assert model.held is not None and health.version == model.held == model.current


@given(st.lists(st.tuples(st.booleans(), st.floats(0.1, 25.0)), max_size=30))
def test_a_healthy_engine_was_heard_from_in_time(steps):
    """Calls and answers at any times, with a look at the clock at each: the state is what the silence says."""
    health, now, since, owed = healthy(), 0.0, 0.0, 0
    for call, pause in steps:
        now += pause
        state = health.tick(now)
        silent = now - since if owed else 0.0
        expected = EngineState.DEAD if silent >= DEAD else EngineState.SUSPECT if silent >= SUSPECT else EngineState.HEALTHY
        assert state is expected
        if state is not EngineState.HEALTHY:
            return
        if call:
            health.called(now)
            owed, since = owed + 1, now if not owed else since
        elif owed:
            health.heard(now)
            owed, since = owed - 1, now

"""The pool's book-keeping under any order of events: nothing is lost, nothing is delivered twice."""

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule

from ib_lpo.rollout.pool import Pool
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.tree import Status, VersionSpan


def request(id: str) -> GenerationRequest:
    return GenerationRequest(id=id, prefix_ids=np.array([1], np.int32), max_new_tokens=4, seed=0, temperature=1.0)


def finished(id: str) -> Generation:
    one = np.zeros(1, np.float32)
    span = VersionSpan(version=0, start=0, end=1)
    return Generation(
        id=id,
        token_ids=np.array([2], np.int32),
        logprobs=one,
        entropies=one,
        status=Status.FINISHED,
        spans=(span,),
        cached_tokens=0,
    )


class PoolMachine(RuleBasedStateMachine):
    """Engines come, answer some of what they hold, go silent and die; groups send roots, then branches."""

    ENGINES = 3
    groups = Bundle("groups")

    def __init__(self):
        super().__init__()
        self.pool = Pool(self.ENGINES, depth=2)
        self.serving: set[int] = set()
        self.held: list[dict[str, int]] = [{} for _ in range(self.ENGINES)]  # what each engine would finish
        self.calls = [0] * self.ENGINES
        self.submitted: dict[str, int] = {}
        self.delivered: list[str] = []
        self.number = 0

    @rule(target=groups, count=st.integers(1, 3))
    def roots(self, count):
        group = self.number = self.number + 1
        self.send(group, count)
        return group

    @rule(group=groups, count=st.integers(1, 2))
    def branches(self, group, count):
        self.send(group, count)

    def send(self, group, count):
        ids = [f"{group}/{len(self.submitted) + i}" for i in range(count)]
        self.submitted |= dict.fromkeys(ids, group)
        self.pool.submit(group, [request(id) for id in ids])

    @rule(engine=st.integers(0, ENGINES - 1))
    def enter(self, engine):
        self.pool.enter(engine)
        self.serving.add(engine)

    @rule(engine=st.integers(0, ENGINES - 1))
    def leave(self, engine):
        self.pool.leave(engine)
        self.serving.discard(engine)

    @rule()
    def call(self):
        for engine, requests in self.pool.calls().items():
            assert engine in self.serving
            self.calls[engine] += 1
            assert self.calls[engine] <= 2
            self.held[engine] |= {r.id: self.submitted[r.id] for r in requests}

    @precondition(lambda self: any(self.calls))
    @rule(data=st.data())
    def answer(self, data):
        engine = data.draw(st.sampled_from([e for e, n in enumerate(self.calls) if n]))
        done = data.draw(st.lists(st.sampled_from(sorted(self.held[engine]) or [""]), unique=True))
        done = [id for id in done if id]
        self.calls[engine] -= 1
        for group, generation in self.pool.answered(engine, [finished(id) for id in done]):
            assert group == self.held[engine].pop(generation.id) == self.submitted[generation.id]
            self.delivered.append(generation.id)

    @rule(engine=st.integers(0, ENGINES - 1))
    def die(self, engine):
        self.pool.lost(engine)
        self.serving.discard(engine)
        self.held[engine], self.calls[engine] = {}, 0

    @invariant()
    def each_request_is_somewhere_once(self):
        assert len(set(self.delivered)) == len(self.delivered)
        assert self.pool.unfinished == len(self.submitted) - len(self.delivered)
        if self.serving:
            assert not self.pool.stranded

    def teardown(self):
        """Whatever happened, an engine that comes and answers gets everything done."""
        for engine in range(self.ENGINES):
            self.pool.lost(engine)
            self.held[engine], self.calls[engine] = {}, 0
        self.pool.enter(0)
        for requests in self.pool.calls().values():
            self.delivered += [g.id for _, g in self.pool.answered(0, [finished(r.id) for r in requests])]
        assert sorted(self.delivered) == sorted(self.submitted)


PoolMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestPool = PoolMachine.TestCase


def test_groups_are_dealt_in_turn_and_stay():
    pool = Pool(3, depth=1)
    for engine in range(3):
        pool.enter(engine)
    for group in "abcdef":
        pool.submit(group, [request(f"{group}{i}") for i in range(2)])
    assert [[r.id for r in of] for of in pool.calls().values()] == [
        ["a0", "a1", "d0", "d1"],
        ["b0", "b1", "e0", "e1"],
        ["c0", "c1", "f0", "f1"],
    ]
    pool.answered(1, [finished("b0")])
    pool.submit("b", [request("b2")])
    assert [r.id for r in pool.calls()[1]] == ["b2"]


def test_with_a_depth_of_one_an_engine_waits_for_what_a_group_is_about_to_send():
    pool = Pool(1, depth=1)
    pool.enter(0)
    pool.submit("a", [request("a0"), request("a1")])
    pool.calls()
    pool.answered(0, [finished("a0")])
    pool.hold("a")
    assert pool.calls() == {}
    pool.release("a")
    pool.submit("a", [request("a2")])
    assert [r.id for r in pool.calls()[0]] == ["a2"]


def test_a_hold_ends_where_it_began():
    """The group that was held goes on elsewhere; what another group holds there stays held."""
    pool = Pool(2, depth=1)
    pool.enter(0)
    pool.submit("a", [request("a0"), request("a1")])
    pool.enter(1)
    pool.submit("b", [request("b0"), request("b1")])
    pool.calls()
    pool.answered(0, [finished("a0")])
    pool.answered(1, [finished("b0")])
    pool.hold("a")
    pool.hold("b")
    pool.leave(0)
    pool.lost(0)
    pool.release("a")
    assert pool.calls() == {}
    pool.release("b")
    assert [r.id for r in pool.calls()[1]] == ["a1"]


def test_an_id_that_is_under_way_is_refused():
    pool = Pool(1, depth=1)
    pool.submit("a", [request("a0")])
    with pytest.raises(ValueError, match="a0: requested twice"):
        pool.submit("a", [request("a0")])

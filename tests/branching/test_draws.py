"""The position in the data: every batch belongs to one step, whatever is interrupted."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.branching.draws import Draws


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["draw", "draw", "finish", "save", "kill"])), max_size=60))
def test_no_batch_is_lost_or_trained_on_by_two_steps(events):
    draws, drawn, trained = Draws(), {}, {}
    saved = json.dumps(draws.state()), {}
    for step, event in [*events, *((step, "finish") for step in range(1, 7))]:
        if event == "save":
            saved = json.dumps(draws.state()), dict(trained)
        elif event == "kill":
            draws, drawn, trained = Draws.of(json.loads(saved[0])), {}, dict(saved[1])
        elif step in trained:
            continue
        elif event == "finish":
            draws.finished(step)
            trained[step] = drawn.pop(step, [])
        else:
            drawn.setdefault(step, []).append(draws.next(step))
    state = draws.state()
    assert state["unfinished"] == {}
    assert sorted([*state["spare"], *(number for of in trained.values() for number in of)]) == list(range(state["batches"]))


def test_what_an_unfinished_step_drew_is_drawn_again_in_order():
    draws = Draws()
    assert [draws.next(1), draws.next(2), draws.next(1), draws.next(2)] == [0, 1, 2, 3]
    draws.finished(1)
    again = Draws.of(draws.state())
    assert again.state() == {"batches": 4, "unfinished": {"2": [1, 3]}, "spare": []}
    assert [again.next(3), again.next(2)] == [4, 1]
    again.finished(2)
    assert again.state() == {"batches": 5, "unfinished": {"3": [4]}, "spare": [3]}
    assert [again.next(4), again.next(4)] == [3, 5]

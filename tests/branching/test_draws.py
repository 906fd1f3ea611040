"""The position in the data: every batch belongs to one step, whatever is interrupted."""

import json

from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.branching.draws import Draws


@given(st.lists(st.tuples(st.integers(1, 6), st.sampled_from(["draw", "finish", "kill"])), max_size=60))
def test_no_batch_is_lost_or_drawn_for_two_steps(events):
    draws, owner, drawn_now, done = Draws(), {}, {}, set()
    for step, event in events:
        if event == "kill":
            draws, drawn_now = Draws.of(json.loads(json.dumps(draws.state()))), {}
        elif event == "finish":
            draws.finished(step)
            done.add(step)
        elif step not in done:
            number = draws.next(step)
            assert owner.setdefault(number, step) == step
            assert number not in drawn_now.setdefault(step, [])
            drawn_now[step].append(number)
    assert sorted(owner) == list(range(len(owner)))


def test_what_an_unfinished_step_drew_is_drawn_again_in_order():
    draws = Draws()
    assert [draws.next(1), draws.next(2), draws.next(1)] == [0, 1, 2]
    draws.finished(1)
    again = Draws.of(draws.state())
    assert again.state() == {"batches": 3, "unfinished": {"2": [1]}}
    assert [again.next(3), again.next(2), again.next(2)] == [3, 1, 4]

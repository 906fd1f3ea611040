"""batch_indices: exact epochs, no repeats within a step, nothing remembered between calls."""

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ib_lpo.data.schedule import _epoch, batch_indices

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40)).filter(lambda sizes: sizes[1] <= sizes[0])


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 2**32), st.booleans(), st.integers(1, 5))
def test_every_epoch_has_every_question_once(sizes, seed, shuffle, epochs):
    questions, per_step = sizes
    steps = -(-epochs * questions // per_step)
    stream = [i for step in range(steps) for i in batch_indices(step, questions=questions, per_step=per_step, seed=seed, shuffle=shuffle)]
    for epoch in range(epochs):
        assert sorted(stream[epoch * questions : (epoch + 1) * questions]) == list(range(questions))


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 2**32), st.integers(0, 500))
def test_no_step_holds_a_question_twice(sizes, seed, step):
    questions, per_step = sizes
    batch = batch_indices(step, questions=questions, per_step=per_step, seed=seed, shuffle=True)
    assert len(batch) == per_step and max(Counter(batch).values()) == 1


@given(SIZES, st.integers(0, 300))
def test_a_step_does_not_depend_on_the_calls_before_it(sizes, step):
    questions, per_step = sizes
    arguments = {"questions": questions, "per_step": per_step, "seed": 3, "shuffle": True}
    walked = [batch_indices(s, **arguments) for s in range(max(0, step - 3), step + 1)][-1]
    _epoch.cache_clear()
    assert batch_indices(step, **arguments) == walked


def test_epochs_and_seeds_give_different_orders():
    orders = [batch_indices(step, questions=30, per_step=30, seed=seed, shuffle=True) for step in (0, 1) for seed in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_without_shuffle_the_order_is_the_file_order():
    assert batch_indices(2, questions=5, per_step=3, seed=0, shuffle=False) == [1, 2, 3]


@given(st.integers(1, 20), st.integers(-5, 60))
def test_a_step_larger_than_the_set_is_refused(questions, per_step):
    assume(not 1 <= per_step <= questions)
    with pytest.raises(ValueError, match="questions_per_step"):
        batch_indices(0, questions=questions, per_step=per_step, seed=0, shuffle=True)

"""batch_indices: exact epochs, no repeats within a batch, nothing remembered between calls."""

from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ib_lpo.data.schedule import _epoch, batch_indices

SIZES = st.tuples(st.integers(1, 40), st.integers(1, 40)).filter(lambda sizes: sizes[1] <= sizes[0])


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 2**32), st.booleans(), st.integers(1, 5))
def test_every_epoch_has_every_question_once(sizes, seed, shuffle, epochs):
    questions, per_batch = sizes
    batches = -(-epochs * questions // per_batch)
    stream = [
        i for batch in range(batches) for i in batch_indices(batch, questions=questions, per_batch=per_batch, seed=seed, shuffle=shuffle)
    ]
    for epoch in range(epochs):
        assert sorted(stream[epoch * questions : (epoch + 1) * questions]) == list(range(questions))


@settings(max_examples=200, deadline=None)
@given(SIZES, st.integers(0, 2**32), st.integers(0, 500))
def test_no_batch_holds_a_question_twice(sizes, seed, number):
    questions, per_batch = sizes
    batch = batch_indices(number, questions=questions, per_batch=per_batch, seed=seed, shuffle=True)
    assert len(batch) == per_batch and max(Counter(batch).values()) == 1


@given(SIZES, st.integers(0, 300))
def test_a_batch_does_not_depend_on_the_calls_before_it(sizes, number):
    questions, per_batch = sizes
    arguments = {"questions": questions, "per_batch": per_batch, "seed": 3, "shuffle": True}
    walked = [batch_indices(n, **arguments) for n in range(max(0, number - 3), number + 1)][-1]
    _epoch.cache_clear()
    assert batch_indices(number, **arguments) == walked


def test_epochs_and_seeds_give_different_orders():
    orders = [batch_indices(number, questions=30, per_batch=30, seed=seed, shuffle=True) for number in (0, 1) for seed in (0, 1)]
    assert len({tuple(order) for order in orders}) == 4


def test_without_shuffle_the_order_is_the_file_order():
    assert batch_indices(2, questions=5, per_batch=3, seed=0, shuffle=False) == [1, 2, 3]


@given(st.integers(1, 20), st.integers(-5, 60))
def test_a_batch_larger_than_the_set_is_refused(questions, per_batch):
    assume(not 1 <= per_batch <= questions)
    with pytest.raises(ValueError, match="questions_per_step"):
        batch_indices(0, questions=questions, per_batch=per_batch, seed=0, shuffle=True)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.rollout.handles import HandlesExhausted, HandleTable


@given(st.lists(st.binary(min_size=1, max_size=3), max_size=40), st.integers(2, 6), st.integers(1, 3))
def test_one_handle_per_latent_and_one_latent_per_handle(latents, base, slots):
    table = HandleTable(first_id=100, base=base, slots=slots)
    spelled = {}
    for z in latents:
        try:
            ids = tuple(table.placeholders(z))
        except HandlesExhausted:
            assert len(spelled) == table.capacity
            assert z not in spelled
            continue
        assert len(ids) == slots
        assert all(100 <= i < 100 + base for i in ids)
        assert spelled.setdefault(z, ids) == ids
    assert len(set(spelled.values())) == len(spelled)


def test_a_new_epoch_forgets():
    table = HandleTable(first_id=0, base=2, slots=1)
    table.placeholders(b"a"), table.placeholders(b"b")
    with pytest.raises(HandlesExhausted):
        table.placeholders(b"c")
    table.reset()
    assert table.placeholders(b"c") == [0]


@given(st.lists(st.binary(min_size=1, max_size=2), max_size=30, unique=True), st.data())
def test_a_kept_latent_keeps_its_handle_and_nobody_else_gets_it(latents, data):
    table = HandleTable(first_id=0, base=4, slots=3)
    spelled = {z: tuple(table.placeholders(z)) for z in latents}
    kept = set(data.draw(st.lists(st.sampled_from(latents), unique=True))) if latents else set()
    table.reset(keep=kept)
    newer = {b"new" + bytes([i]): None for i in range(table.capacity - len(kept))}
    again = {z: tuple(table.placeholders(z)) for z in [*newer, *kept]}
    assert all(again[z] == spelled[z] for z in kept)
    assert len(set(again.values())) == len(again) == table.capacity
    with pytest.raises(HandlesExhausted):
        table.placeholders(b"one more")

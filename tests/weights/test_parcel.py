"""Layouts carry every bit; fingerprints see every changed, moved or swapped element."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.weights.fingerprint import fingerprint
from ib_lpo.weights.parcel import ALIGNMENT, plan

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int64])
SHAPES = st.lists(st.lists(st.integers(0, 6), max_size=3).map(tuple), max_size=6)


@settings(deadline=None)
@given(shapes=SHAPES, dtype=DTYPES, size=st.integers(1, 600))
def test_tensors_lie_apart_in_bounded_buckets_and_keep_every_bit(shapes, dtype, size):
    sent = {f"t{i}": (torch.randn(shape) * 100).to(dtype) for i, shape in enumerate(shapes)}
    layout = plan(((name, tuple(t.shape)) for name, t in sent.items()), dtype, size)
    buckets = [torch.full((nbytes,), 255, dtype=torch.uint8) for nbytes in layout.sizes]
    for specs, nbytes in zip(layout.buckets, layout.sizes, strict=True):
        assert nbytes <= size or len(specs) == 1
    for name, place in layout.tensors(buckets):
        assert place.storage_offset() * place.element_size() % ALIGNMENT == 0
        place.copy_(sent[name])
    got = dict(layout.tensors(buckets))
    assert list(got) == list(sent)
    assert all(torch.equal(got[name], sent[name]) and got[name].dtype == dtype for name in sent)


@settings(deadline=None)
@given(n=st.integers(2, 50), dtype=DTYPES, data=st.data())
def test_a_fingerprint_sees_one_change_and_one_swap(n, dtype, data):
    tensor = torch.arange(1, n + 1).to(dtype)
    i, j = data.draw(st.lists(st.integers(0, n - 1), min_size=2, max_size=2, unique=True))
    changed, swapped = tensor.clone(), tensor.clone()
    changed[i] = 0
    swapped[[i, j]] = tensor[[j, i]]
    assert len({fingerprint(t) for t in (tensor, changed, swapped)}) == 3
    assert fingerprint(tensor.clone()) == fingerprint(tensor)


def test_a_fingerprint_sees_a_swap_of_blocks():
    tensor = torch.arange(1 << 20, dtype=torch.int64)
    assert fingerprint(tensor.view(2, -1).flip(0).reshape(-1)) != fingerprint(tensor)


def test_a_fingerprint_is_of_the_values_not_of_the_memory_layout():
    tensor = torch.randn(5, 7)
    assert fingerprint(tensor.T.contiguous().T) == fingerprint(tensor)


@pytest.mark.parametrize("value", [float("nan"), -0.0])
def test_a_fingerprint_is_of_bits(value):
    assert fingerprint(torch.tensor([value])) != fingerprint(torch.tensor([0.0]))
    assert fingerprint(torch.tensor([value])) == fingerprint(torch.tensor([value]))

"""Buckets carry every bit; fingerprints see every changed, moved or swapped element."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.weights.bucket import pack, unpack
from ib_lpo.weights.fingerprint import fingerprint

DTYPES = st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.int64])
SHAPES = st.lists(st.lists(st.integers(1, 6), max_size=3).map(tuple), max_size=6)


def tensors(shapes, dtype):
    return [(f"t{i}", (torch.randn(shape) * 100).to(dtype)) for i, shape in enumerate(shapes)]


@settings(deadline=None)
@given(shapes=SHAPES, dtype=DTYPES, size=st.integers(1, 300))
def test_pack_and_unpack_are_inverse_and_bounded(shapes, dtype, size):
    sent = tensors(shapes, dtype)
    buckets = list(pack(iter(sent), size))
    for bucket in buckets:
        bucket.payload.flags.writeable = False  # as an object store hands it over
        assert bucket.payload.nbytes <= size or len(bucket.specs) == 1
    got = [pair for bucket in buckets for pair in unpack(bucket)]
    assert [name for name, _ in got] == [name for name, _ in sent]
    for (_, a), (_, b) in zip(sent, got, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)


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


def test_a_fingerprint_is_of_the_values_not_of_the_memory_layout():
    tensor = torch.randn(5, 7)
    assert fingerprint(tensor.T.contiguous().T) == fingerprint(tensor)


@pytest.mark.parametrize("value", [float("nan"), -0.0])
def test_a_fingerprint_is_of_bits(value):
    assert fingerprint(torch.tensor([value])) != fingerprint(torch.tensor([0.0]))
    assert fingerprint(torch.tensor([value])) == fingerprint(torch.tensor([value]))

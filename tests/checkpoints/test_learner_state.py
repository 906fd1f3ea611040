"""The learner's state on disk: read back as written, or refused in one line."""

import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.checkpoints.directory import CheckpointError
from ib_lpo.checkpoints.learner_state import MOMENTS, WEIGHTS, LearnerState, Part, Progress, write_files, write_index
from ib_lpo.learner.zero_state import _slice

PROGRESS = Progress(last_step=4, optimiser_steps=8, dtype="bfloat16")


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Two files of three kinds; `frozen` has no moments."""
    directory = tmp_path_factory.mktemp("state")
    generator = torch.Generator().manual_seed(0)
    parts = []
    for number, shapes in enumerate(({"a": (3, 5), "frozen": (7,)}, {"b": (4,)})):
        weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
        moments = {kind: {name: torch.rand_like(w) for name, w in weights.items() if name != "frozen"} for kind in MOMENTS}
        parts.append(Part(write_files(directory, number, {WEIGHTS: weights, **moments}, ["a", "b"]), PROGRESS))
    write_index(directory, parts)
    return directory


def copied(written, tmp_path):
    return shutil.copytree(written, tmp_path / "state")


def test_round_trip(written):
    state = LearnerState(written)
    assert state.progress == PROGRESS
    assert {name: (entry.shape, entry.trained, entry.file) for name, entry in state.entries.items()} == {
        "a": ((3, 5), True, 0),
        "frozen": ((7,), False, 0),
        "b": ((4,), True, 1),
    }
    state.verify(state.entries)
    assert state.tensor("exp_avg", "a").shape == (3, 5) and not torch.equal(state.tensor("exp_avg", "a"), state.tensor(WEIGHTS, "a"))
    assert state.misfit({"a": (3, 5), "b": (4,)}) is None
    assert not [path for path in written.iterdir() if path.suffix not in (".safetensors", ".json")]


def test_what_does_not_fit_is_told(written):
    state = LearnerState(written)
    assert state.misfit({"a": (3, 5), "c": (1,)}) == "has no tensor c"
    assert state.misfit({"a": (5, 3), "b": (2, 2)}) == "a has shape [3, 5], the model needs [5, 3], and 1 more tensors do not fit either"


def truncated(path):
    path.write_bytes(path.read_bytes()[:-4])


def garbage(path):
    path.write_bytes(b"\x80\x02 half of a file")


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-1] ^= 0x40
    path.write_bytes(data)


@pytest.mark.parametrize(
    "spoil", [truncated, garbage, flipped, lambda path: path.unlink()], ids=["truncated", "garbage", "flipped", "gone"]
)
@pytest.mark.parametrize("kind", [WEIGHTS, *MOMENTS])
def test_a_damaged_file_is_one_line_that_names_it(written, tmp_path, spoil, kind):
    directory = copied(written, tmp_path)
    spoil(directory / f"{kind}-00001.safetensors")
    state = LearnerState(directory)
    state.verify(["a", "frozen"])
    with pytest.raises(CheckpointError, match=rf"{kind}-00001\.safetensors: damaged.*; use another checkpoint$") as refused:
        state.verify(["b"])
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{half", "learner.json: damaged"),
        ("[]", "learner.json: format unknown"),
        (json.dumps({"format": 1}), "learner.json: damaged"),
        (
            json.dumps({"ranks": 2}),
            "learner.json: format of DeepSpeed, this version of ib_lpo reads 1; go on with the version that wrote it",
        ),
        (json.dumps({"format": 9}), "format 9, this version of ib_lpo reads 1"),
        (None, "no learner.json; give the directory of a complete checkpoint"),
    ],
)
def test_a_damaged_or_foreign_index_is_one_line(written, tmp_path, text, complaint):
    index = copied(written, tmp_path) / "learner.json"
    index.unlink() if text is None else index.write_text(text)
    with pytest.raises(CheckpointError) as refused:
        LearnerState(index.parent)
    assert complaint in str(refused.value) and "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "kinds", "told"),
    [
        ("a", [], "has nothing of a instead of exp_avg, exp_avg_sq, weights"),
        ("a", [WEIGHTS], "has weights of a instead of exp_avg, exp_avg_sq, weights"),
        ("a", MOMENTS, "has exp_avg, exp_avg_sq of a"),
        ("frozen", [], "has nothing of frozen instead of weights"),
    ],
)
def test_an_index_without_some_kind_of_tensor_is_refused(written, tmp_path, name, kinds, told):
    index = copied(written, tmp_path) / "learner.json"
    facts = json.loads(index.read_text())
    fingerprints = facts["parameters"][name]["fingerprints"]
    facts["parameters"][name]["fingerprints"] = {kind: fingerprints[kind] for kind in kinds}
    index.write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match=rf"learner\.json: damaged, {told}.*; use another checkpoint$"):
        LearnerState(index.parent)


@given(st.integers(1, 40), st.integers(1, 7))
def test_slices_of_all_ranks_are_the_tensor_and_zeros(numel, world):
    whole = torch.arange(1, numel + 1)
    count = -(-numel // world)
    together = torch.cat([_slice(whole, rank, count) for rank in range(world)])
    assert together[:numel].equal(whole) and not together[numel:].any() and len(together) == count * world

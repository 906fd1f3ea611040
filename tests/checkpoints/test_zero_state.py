"""Real ZeRO-3 ranks save and load: bit for bit with as many ranks, the same tensors with any other number."""

import pytest
import torch

from ib_lpo.checkpoints.learner_state import MOMENTS, WEIGHTS, LearnerState, write_index
from tests.checkpoints import odd

pytestmark = pytest.mark.slow


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def saved(ranks, world, directory, *, train_maps=True, dtype=torch.float32, steps=2):
    directory.mkdir()
    found = ranks.run(world, odd.save_and_go_on, directory, train_maps, dtype, steps)
    write_index(directory, [part for part, _, _ in found])
    return found


@pytest.mark.parametrize(
    ("dtype", "train_maps", "steps"),
    [(torch.float32, True, 2), (torch.bfloat16, False, 2), (torch.float32, True, 0)],
    ids=["float32", "bfloat16 with frozen maps", "before the first step"],
)
def test_as_many_ranks_go_on_bit_for_bit(ranks, tmp_path, dtype, train_maps, steps):
    found = saved(ranks, 2, tmp_path / "state", train_maps=train_maps, dtype=dtype, steps=steps)
    loaded = ranks.run(2, odd.load_and_go_on, tmp_path / "state", train_maps, dtype, None)
    for (_, then, after), (_, got, got_after) in zip(found, loaded, strict=True):
        assert same(got, then)
        assert same(got_after, after)
        assert int(then["steps"]) == steps and int(after["steps"]) == steps + 1
        assert not torch.equal(then["policy.0.weight"], after["policy.0.weight"])
    state = LearnerState(tmp_path / "state")
    assert state.progress.optimiser_steps == steps
    assert {name: entry.trained for name, entry in state.entries.items()} == {
        name: name.startswith("policy") or (train_maps and name.startswith("maps"))
        for name in odd.Odd(train_maps=True, seed=0).state_dict()
    }
    stored = state.tensor(WEIGHTS, "policy.0.weight")
    assert stored.dtype == torch.float32 and torch.equal(stored.to(dtype), found[0][1]["policy.0.weight"])
    assert state.tensor(WEIGHTS, "table").dtype == dtype


@pytest.mark.parametrize(("wrote", "reads"), [(2, 1), (1, 2), (2, 3)])
def test_another_number_of_ranks_loads_the_same_tensors(ranks, tmp_path, wrote, reads):
    found = saved(ranks, wrote, tmp_path / "state")
    (tmp_path / "again").mkdir()
    loaded = ranks.run(reads, odd.load_and_go_on, tmp_path / "state", True, torch.float32, tmp_path / "again")
    write_index(tmp_path / "again", [part for part, _, _ in loaded])
    first, again = LearnerState(tmp_path / "state"), LearnerState(tmp_path / "again")
    assert first.progress == again.progress and first.entries.keys() == again.entries.keys()
    for name, entry in first.entries.items():
        assert entry.fingerprints.keys() == ({WEIGHTS, *MOMENTS} if entry.trained else {WEIGHTS})
        for kind in entry.fingerprints:
            assert torch.equal(first.tensor(kind, name), again.tensor(kind, name)), (kind, name)
    for _, got, after in loaded:
        assert same(got, found[0][1])
        for name, want in found[0][2].items():
            assert torch.allclose(after[name], want, rtol=0, atol=1e-3 * odd.CONFIG.lr), name


def test_ranks_share_the_writing(ranks, tmp_path):
    parts = [part for part, _, _ in saved(ranks, 3, tmp_path / "state")]
    numbers = [{entry.file for entry in part.entries.values()} for part in parts]
    assert all(number % 3 == rank for rank, own in enumerate(numbers) for number in own) and all(numbers)
    assert sum(len(part.entries) for part in parts) == len(LearnerState(tmp_path / "state").entries)


def test_a_failed_save_leaves_the_group_usable(ranks, tmp_path):
    (tmp_path / "state").mkdir()
    found = ranks.run(2, odd.fail_and_save, tmp_path / "nowhere", tmp_path / "state")
    for message, _ in found:
        assert message.startswith("CheckpointError: ") and "nowhere: cannot be written" in message and "set runs_dir" in message
        assert "\n" not in message
    write_index(tmp_path / "state", [part for _, part in found])
    LearnerState(tmp_path / "state").verify(LearnerState(tmp_path / "state").entries)


def test_what_does_not_fit_or_is_damaged_is_refused_and_changes_nothing(ranks, tmp_path):
    saved(ranks, 1, tmp_path / "state")
    ((message, unchanged),) = ranks.run(1, odd.refusal, tmp_path / "state", False)
    assert unchanged and "was trained, here it is frozen; set latent.offpolicy as it was" in message
    state = LearnerState(tmp_path / "state")
    path = tmp_path / "state" / f"exp_avg-{state.entries['policy.0.weight'].file:05d}.safetensors"
    whole = bytearray(path.read_bytes())
    whole[-100] ^= 1
    path.write_bytes(whole)
    both = ranks.run(2, odd.refusal, tmp_path / "state", True)
    assert all(unchanged for _, unchanged in both)
    (told,) = [message for message, _ in both if message]  # of the rank that reads this tensor
    assert told.startswith(f"CheckpointError: {path}: damaged, policy.0.weight is not what was written")

"""A checkpoint of two real ZeRO-3 ranks, read outside of training: bit for bit what the learner had, or refused."""

import shutil

import pytest
import torch

from ib_lpo.errors import UserError
from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.latent.store import untrained_maps
from ib_lpo.learner.restore import require_checkpoint, restore
from ib_lpo.manifest import dump
from ib_lpo.policy.load import load_policy
from tests.checkpoints import training
from tests.learner.tiny import manifest

pytestmark = pytest.mark.slow


def parts(settings):
    policy = load_policy(settings.model, dtype=torch.float32, device="cpu")
    return policy, untrained_maps(settings, MapShape.of(policy.config, settings.latent))


def named(policy, maps):
    return dict(policy.named_parameters()) | {f"maps.{name}": tensor for name, tensor in maps.named_parameters()}


def test_what_is_restored_is_what_was_published(run):
    policy, maps = parts(run.manifest)
    before = {name: tensor.detach().clone() for name, tensor in named(policy, maps).items()}
    restore(policy, maps, run.checkpoint, run.manifest)
    found = named(policy, maps)
    assert found.keys() == run.published.keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in run.published.items())
    moved = {name for name, tensor in found.items() if not torch.equal(tensor, before[name])}
    assert {"maps.kv", "model.embed_tokens.weight", "model.layers.1.mlp.down_proj.weight"} <= moved
    ids = torch.arange(1, 9)[None]
    with torch.no_grad():
        assert policy.lm_head.weight is policy.model.embed_tokens.weight
        assert not torch.allclose(policy(ids).logits, parts(run.manifest)[0](ids).logits, atol=1e-3)


def test_the_policy_alone_and_in_a_shorter_type(run):
    policy = load_policy(run.manifest.model, dtype=torch.bfloat16, device="cpu")
    restore(policy, None, run.checkpoint, run.manifest)
    assert all(torch.equal(tensor, run.published[name].bfloat16()) for name, tensor in policy.named_parameters())


def test_a_rank_goes_on_from_it(run, ranks):
    """One rank of what two wrote: the same weights and step, and a third step that equals that of two ranks which loaded it."""
    state = run.checkpoint / "learner"
    ((at, found, alone),) = ranks.run(1, training.resumed, run.manifest, state)
    assert at == 2 and all(torch.equal(found[name], tensor) for name, tensor in run.published.items())
    both = ranks.run(2, training.resumed, run.manifest, state)
    assert all(at == 2 and all(torch.equal(found[n], t) for n, t in run.published.items()) for at, found, _ in both)
    for name in ("loss/policy", "loss/grad_norm", "entropy/mean", "is/weight"):
        assert alone[name] == pytest.approx(both[0][2][name], rel=1e-4, abs=1e-6), name


def copied(run, folder):
    return shutil.copytree(run.checkpoint, folder / run.checkpoint.name)


def incomplete(run, folder):
    checkpoint = copied(run, folder)
    (checkpoint / "complete").unlink()
    return checkpoint


def of_another_model(run, folder):
    checkpoint = copied(run, folder)
    other = run.manifest.model_copy(update={"model": run.manifest.model.model_copy(update={"path": "other/model"})})
    (checkpoint / "manifest.yaml").write_text(dump(other))
    return checkpoint


def without_manifest(run, folder):
    checkpoint = copied(run, folder)
    (checkpoint / "manifest.yaml").unlink()
    return checkpoint


def of_deepspeed(run, folder):
    checkpoint = copied(run, folder)
    (checkpoint / "learner" / "learner.json").write_text('{"ranks": 2}')
    return checkpoint


def without_a_file(run, folder):
    checkpoint = copied(run, folder)
    next((checkpoint / "learner").glob("weights-00001*")).unlink()
    return checkpoint


def with_a_changed_bit(run, folder):
    checkpoint = copied(run, folder)
    path = next((checkpoint / "learner").glob("weights-00001*"))
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    return checkpoint


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda run, folder: folder / "nowhere", "no such checkpoint; give one of a training run"),
        (incomplete, "not a complete checkpoint"),
        (of_another_model, "is a checkpoint of 'other/model'; set model.path to that"),
        (without_manifest, "has no manifest.yaml"),
        (of_deepspeed, "learner.json: format of DeepSpeed, this version of ib_lpo reads 1"),
        (without_a_file, r"weights-00001\.safetensors: damaged, or not there"),
        (with_a_changed_bit, r"weights-00001\.safetensors: damaged, .* is not what was written"),
    ],
)
def test_what_cannot_be_restored_is_refused(run, tmp_path, spoil, complaint):
    policy, maps = parts(run.manifest)
    before = {name: tensor.detach().clone() for name, tensor in named(policy, maps).items()}
    with pytest.raises(UserError, match=complaint) as refused:
        restore(policy, maps, spoil(run, tmp_path), run.manifest)
    assert "\n" not in str(refused.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in named(policy, maps).items())


def test_maps_of_another_shape_are_refused(run):
    policy, _ = parts(run.manifest)
    other = manifest(run.manifest.model.path, ranks=2, latent={"dim": 4})
    with pytest.raises(UserError, match=r"maps\.kv has shape .*, the model needs .*; use the `model` and `latent` sections"):
        restore(policy, LatentMaps(MapShape.of(policy.config, other.latent)), run.checkpoint, run.manifest)


def test_a_run_with_another_revision_or_latent_is_refused(run, tmp_path):
    model, latent = run.manifest.model, run.manifest.latent
    other = tmp_path / "latent"
    shutil.copytree(latent.weights, other)
    (other / "latent.safetensors").write_bytes(b"other weights")
    for update, complaint in (
        (
            {"model": model.model_copy(update={"revision": "v2"})},
            r"model\.revision='v2': .* was trained with None; set model",
        ),
        ({"latent": latent.model_copy(update={"dim": 4})}, r"latent\.dim=4: .* was trained with"),
        ({"latent": latent.model_copy(update={"psa": latent.psa.model_copy(update={"tau": 3.0})})}, r"latent\.psa\.tau=3\.0: "),
        ({"latent": latent.model_copy(update={"weights": other})}, r"latent\.weights=.* was trained with another latent; name that one"),
    ):
        with pytest.raises(UserError, match=complaint) as refused:
            require_checkpoint(run.checkpoint, run.manifest.model_copy(update=update))
        assert "\n" not in str(refused.value)
    plain = run.manifest.model_copy(update={"latent": latent.model_copy(update={"kind": "none", "dim": 4})})
    require_checkpoint(run.checkpoint, plain)

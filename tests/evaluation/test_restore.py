"""A checkpoint of two real ZeRO-3 ranks, read outside of training: bit for bit what the learner published, or refused."""

import shutil
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoConfig

from ib_lpo.errors import UserError
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.ray import RayFleet
from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.latent.store import CvaeShape, latent_digest, save_latent, untrained_maps
from ib_lpo.learner.checkpoint import write_checkpoint
from ib_lpo.learner.group import LearnerGroup
from ib_lpo.learner.restore import require_checkpoint, restore
from ib_lpo.manifest import dump
from ib_lpo.policy.load import load_policy
from tests.learner.tiny import forest, manifest, save_policy
from tests.learner.workers import Holder

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fleet():
    fleet = RayFleet(ClusterConfig(cpus=2, call_deadline_s=120))
    yield fleet
    fleet.shutdown()


def fitted(directory, settings):
    """A latent directory with maps, as a fit would leave it."""
    shape = MapShape.of(AutoConfig.from_pretrained(settings.model.path), settings.latent)
    sizes = CvaeShape(dim=shape.dim, features=1, hidden=1)
    save_latent(directory, networks={}, shape=sizes, manifest=settings, maps=untrained_maps(settings, shape), report={})
    return directory


@pytest.fixture(scope="module")
def run(fleet, tmp_path_factory):
    """Two steps that train policy and maps, then a publish and a checkpoint."""
    folder = tmp_path_factory.mktemp("restore")
    path = save_policy(folder / "model")
    latent = {"kind": "cvae", "offpolicy": "condition", "weights": fitted(folder / "latent", manifest(path, ranks=2))}
    settings = manifest(path, ranks=2, latent=latent, psa_lr=4e-3)
    group, holder = LearnerGroup(fleet, settings, "cpu"), fleet.spawn(Holder, "holder", name="holder")
    for step in (1, 2):
        group.update(forest(step), step)
    group.publish(2, [holder])
    (folder / "run").mkdir()
    (folder / "run" / "manifest.yaml").write_text(dump(settings))

    def save(directory):
        (directory / "learner").mkdir()
        group.save(directory / "learner")

    checkpoint = write_checkpoint(folder / "run" / "checkpoints", 2, save, {"step": 2, "latent": latent_digest(settings)}, keep=1)
    return SimpleNamespace(manifest=settings, checkpoint=checkpoint, published=holder.call("tensors").result())


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


def copied(run, folder):
    shutil.copytree(run.checkpoint.parent.parent, folder / "run")
    return folder / "run" / "checkpoints" / run.checkpoint.name


def incomplete(run, folder):
    checkpoint = copied(run, folder)
    (checkpoint / "complete").unlink()
    return checkpoint


def of_another_model(run, folder):
    checkpoint = copied(run, folder)
    other = run.manifest.model_copy(update={"model": run.manifest.model.model_copy(update={"path": "other/model"})})
    (folder / "run" / "manifest.yaml").write_text(dump(other))
    return checkpoint


def without_a_shard(run, folder):
    checkpoint = copied(run, folder)
    next(checkpoint.rglob("*rank_1*optim_states.pt")).unlink()
    return checkpoint


def with_a_damaged_shard(run, folder):
    checkpoint = copied(run, folder)
    next(checkpoint.rglob("*rank_1*optim_states.pt")).write_bytes(b"\x80\x02 half of a file")
    return checkpoint


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda run, folder: folder / "nowhere", "no such checkpoint; give one of a training run"),
        (incomplete, "not a complete checkpoint"),
        (of_another_model, "is a checkpoint of 'other/model'; set model.path to that"),
        (without_a_shard, "its shards cannot be read"),
        (with_a_damaged_shard, "its shards cannot be read"),
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

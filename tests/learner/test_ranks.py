"""Real ZeRO-3 ranks in Ray actors: parity with plain PyTorch, independence of ranks and micro-batching, publish, resume."""

import math

import pytest
import ray
import torch
from transformers import AutoConfig

from ib_lpo.checkpoints.directory import CheckpointError, newest_complete, write_checkpoint
from ib_lpo.fleet.base import FleetError
from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.fleet.ray import RayFleet
from ib_lpo.latent.injection import LatentMaps, MapShape
from ib_lpo.latent.store import CvaeShape, save_latent
from ib_lpo.learner.group import LearnerGroup
from ib_lpo.weights.delivery import PublishError
from ib_lpo.weights.place import Route
from ib_lpo.weights.publish import deliver
from tests.learner.reference import compare_with_engine, train
from tests.learner.tiny import forest, manifest, save_policy
from tests.learner.workers import Holder, StaleGradientProbe

pytestmark = pytest.mark.slow
STEPS = [forest(seed, questions=3) for seed in range(3)]


@pytest.fixture(scope="module")
def fleet():
    fleet = RayFleet(ClusterConfig(cpus=4, call_deadline_s=120))
    yield fleet
    fleet.shutdown()


@pytest.fixture(scope="module")
def policy_path(tmp_path_factory):
    return save_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def holder(fleet):
    return fleet.spawn(Holder, "holder-0", name="holder-0")


def group(fleet, settings):
    started = LearnerGroup(EventLoop(fleet, settings.cluster.call_deadline_s), settings, "cpu")
    started.start()
    return started


class Recorded:
    """What a group did: metrics and published weights."""

    def __init__(self, group, holder, fleet):
        self.group, self.holder, self.fleet = group, holder, fleet
        self.metrics, self.version = [], 0

    def update(self, trees, step):
        self.metrics.append(self.group.update(trees, step))

    def weights(self):
        self.version += 1
        parcel = self.group.publish(self.version, Route.of([self.holder], self.fleet))
        self.published = deliver(parcel, [self.holder])
        return self.holder.call("tensors").result()


@pytest.fixture(scope="module")
def two_ranks(fleet, holder, policy_path, tmp_path_factory):
    """Three steps with two ranks, a checkpoint after the second."""
    settings = manifest(policy_path, ranks=2, epochs=2)
    run = Recorded(group(fleet, settings), holder, fleet)
    run.manifest, run.root = settings, tmp_path_factory.mktemp("checkpoints")
    for step, trees in enumerate(STEPS, start=1):
        run.update(trees, step)
        if step == 2:
            write_checkpoint(run.root, step, run.group.save, {"step": step}, keep=2)
    run.final = run.weights()
    return run


def differences(a, b):
    return torch.cat([(a[name] - b[name]).abs().flatten() for name in b])


def assert_same_training(a, b):
    """AdamW divides by |gradient|: where that is near 0, rounding shows as a share of lr = 1e-3. The mean is far below."""
    apart = differences(a, b)
    assert apart.max() < 5e-5 and apart.mean() < 1e-8


def test_two_ranks_equal_plain_pytorch(two_ranks):
    start, _ = train(two_ranks.manifest, [])
    weights, history = train(two_ranks.manifest, STEPS)
    assert weights.keys() == {name for name in two_ranks.final if not name.startswith("maps.")}
    assert differences(start, weights).mean() > 1e-4, "the steps must move the weights, or the comparison says nothing"
    assert_same_training(two_ranks.final, weights)
    for got, want in zip(two_ranks.metrics, history, strict=True):
        assert got["loss/policy"] + got["loss/self_reward"] == pytest.approx(want["loss"], rel=1e-4, abs=1e-6)
        assert got["loss/grad_norm"] == pytest.approx(want["grad_norm"], rel=1e-4)
        assert got["loss/skipped_steps"] == 0.0
    assert max(m["loss/clip_low"] + m["loss/clip_high"] for m in two_ranks.metrics) > 0.05, "the second epoch must reach the clip range"


def test_measurements_equal_the_reference(two_ranks):
    free, sampled, engine, entropy, has_z = (
        column.double() for column in compare_with_engine(two_ranks.manifest, STEPS[0], two_ranks.final)
    )
    gap, weight = sampled - engine, torch.exp(free - engine).clamp_max(2.0)
    want = {
        "update/tokens": len(free),
        "entropy/mean": entropy.mean(),
        "mismatch/mean_abs": gap.abs().mean(),
        "mismatch/max_abs": gap.abs().max(),
        "mismatch/k3": (gap.exp() - 1 - gap).mean(),
        "mismatch/z_gap": (sampled - free).abs().sum() / has_z.sum(),
        "is/weight": weight.mean(),
        "is/capped": (weight == 2.0).double().mean(),
        "is/effective_share": weight.sum() ** 2 / (len(weight) * (weight**2).sum()),
    }
    for name, value in want.items():
        assert two_ranks.metrics[0][name] == pytest.approx(float(value), rel=2e-5), name
    assert want["mismatch/z_gap"] > 0.01


PACKED_OTHERWISE = {"tree_token_ratio", "padding", "waiting", "micro_batches"}


@pytest.mark.parametrize(
    "otherwise",
    [
        {"max_tokens_per_micro_batch": 400, "gradient_checkpointing": True},
        {"max_tokens_per_micro_batch": 55, "packing": "flat"},
    ],
    ids=["trees in large micro-batches, checkpointing", "flat"],
)
def test_one_rank_and_another_packing_give_the_same(fleet, holder, policy_path, two_ranks, otherwise):
    settings = manifest(policy_path, ranks=1, epochs=2, **otherwise)
    run = Recorded(group(fleet, settings), holder, fleet)
    for step, trees in enumerate(STEPS, start=1):
        run.update(trees, step)
    assert_same_training(run.weights(), two_ranks.final)
    for one, two in zip(run.metrics, two_ranks.metrics, strict=True):
        assert one.keys() == two.keys()
        for name in one.keys() - {"update/seconds"} - {f"learner/{name}" for name in PACKED_OTHERWISE}:
            assert one[name] == pytest.approx(two[name], rel=1e-3, abs=1e-5), name
    for name in PACKED_OTHERWISE - {"waiting"}:
        assert [m[f"learner/{name}"] for m in run.metrics] != [m[f"learner/{name}"] for m in two_ranks.metrics], name
    with pytest.raises(CheckpointError, match=r"no learner.json"):
        run.group.load(two_ranks.root)


def fitted(directory, policy_path, weights):
    """A directory as `ib-lpo latent fit` leaves it, with these maps."""
    fitted_with = manifest(policy_path, ranks=1)
    maps = LatentMaps(MapShape.of(AutoConfig.from_pretrained(policy_path), fitted_with.latent))
    maps.load_state_dict({name.removeprefix("maps."): tensor for name, tensor in weights.items()})
    shape = CvaeShape(dim=maps.shape.dim, features=1, hidden=1)
    save_latent(directory, networks={}, shape=shape, manifest=fitted_with, maps=maps, report={})


def test_conditioned_training_moves_the_maps_too(fleet, holder, policy_path, two_ranks, tmp_path):
    """latent.offpolicy=condition on 2 ranks and trees, with mini-batches, a KL term and another normaliser, against plain PyTorch."""
    weights = {name: two_ranks.final[name] * 0.5 for name in ("maps.kv", "maps.norm")}
    fitted(tmp_path / "latent", policy_path, weights)
    learner = {"psa_lr": 4e-3, "kl": {"coefficient": 0.2}, "loss": {"normaliser": "sequence_mean", "clip_high": 0.4}, "mini_batches": 2}
    settings = manifest(policy_path, ranks=2, latent={"kind": "cvae", "offpolicy": "condition", "weights": tmp_path / "latent"}, **learner)
    run = Recorded(group(fleet, settings), holder, fleet)
    for step, trees in enumerate(STEPS[:2], start=1):
        run.update(trees, step)
    want, history = train(settings, STEPS[:2], weights)
    got = run.weights()
    assert got.keys() == want.keys()
    assert_same_training(got, want)
    assert differences(got, weights).mean() > 1e-3, "the maps are trained"
    for metrics, expected in zip(run.metrics, history, strict=True):
        total = metrics["loss/policy"] + metrics["loss/self_reward"] + metrics["loss/kl_penalty"]
        assert total == pytest.approx(expected["loss"], rel=1e-4, abs=1e-6)
        assert metrics["loss/grad_norm"] == pytest.approx(expected["grad_norm"], rel=1e-4)
        assert 0 < metrics["loss/kl_penalty"] < metrics["loss/kl"]
        assert metrics["loss/optimiser_steps"] == 2.0 and metrics["lr/psa"] > metrics["lr/policy"]
    assert run.metrics[0]["mismatch/z_gap"] > 0.01


def test_resume_in_new_processes_is_bitwise_the_same(fleet, holder, two_ranks):
    run = Recorded(group(fleet, two_ranks.manifest), holder, fleet)
    path, state = newest_complete(two_ranks.root)
    assert run.group.load(path) == state["step"] == 2
    run.update(STEPS[2], 3)
    weights = run.weights()
    assert all(torch.equal(weights[name], two_ranks.final[name]) for name in two_ranks.final)
    for name in run.metrics[0].keys() - {"update/seconds"}:
        assert run.metrics[0][name] == two_ranks.metrics[2][name], name


def test_nothing_to_learn_leaves_every_bit(two_ranks):
    before = two_ranks.weights()
    flat = forest(7)
    for tree in flat:
        for t in tree.kept:
            t.advantage = 0.0
    metrics = two_ranks.group.update(flat, 4)
    assert metrics["update/no_signal"] == 1.0 and metrics["update/tokens"] > 0 and metrics["staleness/drift"] > 0
    assert metrics["staleness/max"] == metrics["staleness/mean"] == 3.0, "sampled by version 0, trained by version 3"
    assert two_ranks.group.update([], 5)["update/no_signal"] == 1.0
    after = two_ranks.weights()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_silent_part_of_a_step_is_counted_and_trains_where_a_term_needs_no_advantage(fleet, holder, policy_path, two_ranks):
    """Two mini-batches, one without signal: with a KL term both make a step, without it one does."""
    trees = forest(7, questions=2)
    for t in trees[1].kept:
        t.advantage = 0.0
    steps = {}
    for coefficient in (0.0, 0.1):
        settings = manifest(policy_path, ranks=2, mini_batches=2, kl={"coefficient": coefficient})
        metrics = group(fleet, settings).update(trees, 1)
        assert metrics["update/silent_mini_batches"] == 1.0 and metrics["update/no_signal"] == 0.0
        steps[coefficient] = metrics["loss/optimiser_steps"]
    assert steps == {0.0: 1.0, 0.1: 2.0}


def test_a_gradient_that_is_not_finite_is_skipped_and_counted(two_ranks):
    before = two_ranks.weights()
    broken = forest(8)
    broken[0].kept[0].logprobs[0] = math.nan
    metrics = two_ranks.group.update(broken, 6)
    assert metrics["loss/skipped_steps"] == 2.0 and "loss/grad_norm" not in metrics
    after = two_ranks.weights()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_publish_is_verified_and_survives_a_bad_receiver(two_ranks):
    names = set(two_ranks.weights())
    assert "lm_head.weight" not in names, "tied to the embedding, sent once"
    assert {"maps.kv", "maps.norm", "model.embed_tokens.weight"} <= names
    assert two_ranks.published["publish/buckets"] > 2
    assert two_ranks.published["publish/tensors"] == len(names)
    two_ranks.holder.call("spoil", "model.norm.weight").result()
    with pytest.raises(PublishError, match=r"holder-0: model.norm.weight has fingerprint .* publish of version"):
        two_ranks.weights()
    two_ranks.holder.call("spoil", None).result()
    assert set(two_ranks.weights()) == names


def test_a_parameter_unused_in_a_step_does_not_move_again(fleet):
    used, unused = fleet.spawn(StaleGradientProbe, name="probe").call("run").result()
    assert all(change > 0.01 for change in used.values())
    assert unused["first.weight"] > 0.01
    assert unused["second.weight"] == unused["second.bias"] == 0.0


def test_a_dead_rank_is_an_error_that_names_it(two_ranks):
    ray.kill(two_ranks.group._ranks[1].actor)
    with pytest.raises(FleetError, match=r"learner-1\.update: the worker died"):
        two_ranks.group.update(forest(9), 7)

"""Every manifest in configs/ loads, and says what its name promises."""

from pathlib import Path

import pytest
import yaml

from ib_lpo.manifest import dump, load, validate

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
ALL = sorted(CONFIGS.rglob("*.yaml"))


@pytest.mark.parametrize("path", ALL, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_loads_and_survives_a_round_trip(path):
    manifest = load(path)
    assert validate(yaml.safe_load(dump(manifest))) == manifest


def test_run_names_are_distinct():
    names = [load(path).name for path in ALL]
    assert len(names) == len(set(names))


def test_baseline_differs_from_the_method_only_where_it_must():
    method, grpo = load(CONFIGS / "qwen2.5-7b-math-dapo.yaml"), load(CONFIGS / "baselines/grpo.yaml")
    changed = {"name", "branching", "latent", "ib", "filter"}
    assert {key for key in type(method).model_fields if getattr(method, key) != getattr(grpo, key)} == changed
    trajectories = [m.branching.roots * (1 + m.branching.branches) for m in (method, grpo)]
    assert trajectories == [8, 8]
    assert (grpo.latent.kind, grpo.ib.estimator, grpo.ib.self_reward, grpo.keep_per_root) == ("none", "none", "none", 0)


def test_ablation_changes_the_latent_alone():
    method, ablation = load(CONFIGS / "qwen2.5-7b-math-dapo.yaml"), load(CONFIGS / "ablations/no-latent.yaml")
    assert {key for key in type(method).model_fields if getattr(method, key) != getattr(ablation, key)} == {"name", "latent"}
    assert ablation.latent == method.latent.model_copy(update={"kind": "none"})


@pytest.mark.parametrize(
    ("name", "gpus"),
    [("smoke-gpu", 1), ("smollm2-135m-arithmetic", 1), ("qwen2.5-7b-math-dapo", 8), ("qwen3-14b-math-dapo", 8), ("baselines/grpo", 8)],
)
def test_fits_its_gpus(name, gpus):
    m = load(CONFIGS / f"{name}.yaml")
    c = m.cluster
    assert m.rollout.engines * c.engine_gpus + m.learner.ranks * c.rank_gpus + c.scorer_gpus <= gpus


def test_smoke_fits_its_cpus():
    m = load(CONFIGS / "smoke.yaml")
    c = m.cluster
    assert m.rollout.engines * c.engine_cpus + m.learner.ranks * c.rank_cpus + c.scorer_cpus + 3 * c.service_cpus <= c.cpus

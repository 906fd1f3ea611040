"""Every manifest in configs/ loads, and says what its name promises."""

from pathlib import Path

import pytest
import yaml

from ib_lpo.learner.losses import LOSSES, normaliser_of
from ib_lpo.manifest import dump, load, validate
from ib_lpo.study.load import load_study
from ib_lpo.study.plan import plan

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
STUDIES = [path for path in sorted(CONFIGS.rglob("*.yaml")) if "variants" in yaml.safe_load(path.read_text())]
MANIFESTS = [path for path in sorted(CONFIGS.rglob("*.yaml")) if path not in STUDIES]
OURS_AND_THE_PAPERS = ["qwen2.5-7b-math-dapo", "qwen3-14b-math-dapo", "paper/qwen2.5-7b", "paper/qwen3-14b"]
ON_8_GPUS = [*OURS_AND_THE_PAPERS, *(f"baselines/{kind}" for kind in LOSSES)]

# Where each baseline differs from GRPO, in dotted keys, besides name, learner.loss.kind and the keys that only its loss has.
LOSS, ADVANTAGE = "learner.loss.", "learner.advantage."
CHANGES = {
    "dapo": {"data.batches_per_step", LOSS + "clip_high", ADVANTAGE + "overlong_buffer", ADVANTAGE + "overlong_penalty"},
    "dr_grpo": {ADVANTAGE + "normalise_std"},
    "gspo": {LOSS + "clip_low", LOSS + "clip_high"},
    "cispo": {LOSS + "clip_low", LOSS + "clip_high"},
    "entropy_reg": set(),
    "entropy_adv": set(),
    "kl_cov": set(),
    "clip_cov": set(),
    "high_entropy": set(),
}


def flat(values, prefix="") -> dict:
    """Leaves of nested mappings by dotted key."""
    if not isinstance(values, dict):
        return {prefix[:-1]: values}
    return {key: leaf for name, value in values.items() for key, leaf in flat(value, f"{prefix}{name}.").items()}


def differences(one, other) -> set[str]:
    """Dotted keys that both manifests have, with other values."""
    ours, theirs = (flat(manifest.model_dump()) for manifest in (one, other))
    return {key for key in ours.keys() & theirs.keys() if ours[key] != theirs[key]}


def baseline(kind):
    return load(CONFIGS / f"baselines/{kind}.yaml")


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_loads_and_survives_a_round_trip(path):
    manifest = load(path)
    assert validate(yaml.safe_load(dump(manifest))) == manifest


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_a_study_plans_its_runs(path):
    """Every manifest is valid, has a budget to be compared at, and has checks before it that say pass@k at their ends."""
    study = load_study(path)
    runs = plan(study)
    assert len(runs) == len(study.tasks) * len(study.variants) * len(study.seeds)
    for run in runs:
        assert run.manifest.budget.generated_tokens is not None and run.manifest.held_out.every > 0, run.name
        assert run.manifest.held_out.ks and run.manifest.data.held_out.size >= 256, run.name


def test_run_names_are_distinct():
    names = [load(path).name for path in MANIFESTS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("ours", "paper"), [("qwen2.5-7b-math-dapo", "qwen2.5-7b"), ("qwen3-14b-math-dapo", "qwen3-14b")])
def test_ours_differs_from_the_papers_settings_in_what_was_found_to_help(ours, paper):
    method, published = load(CONFIGS / f"{ours}.yaml"), load(CONFIGS / f"paper/{paper}.yaml")
    assert differences(method, published) == {"name", "branching.pivot", "latent.weights", LOSS + "clip_high"}
    assert (published.branching.pivot, published.learner.loss.clip_high) == ("keep", 0.2)
    assert (published.branching.roots, published.branching.branches, published.ib.beta) == (2, 3, 2.0)


def test_grpo_differs_from_the_method_only_where_it_must():
    method, grpo = load(CONFIGS / "qwen2.5-7b-math-dapo.yaml"), baseline("grpo")
    changed = {"name", "branching", "latent", "ib", "filter", "learner"}
    assert {key for key in type(method).model_fields if getattr(method, key) != getattr(grpo, key)} == changed
    of_learner = {key for key in differences(method, grpo) if key.startswith("learner.")}
    assert of_learner == {LOSS + "normaliser", LOSS + "clip_high", ADVANTAGE + "normalise_std"}
    assert (grpo.latent.kind, grpo.ib.estimator, grpo.ib.self_reward, grpo.kept_branches) == ("none", "none", "none", 0)


def test_every_loss_has_a_baseline():
    assert {path.stem for path in (CONFIGS / "baselines").glob("*.yaml")} == set(LOSSES) == {"grpo", *CHANGES}


@pytest.mark.parametrize("kind", CHANGES)
def test_baseline_differs_from_grpo_only_where_it_must(kind):
    grpo, manifest = baseline("grpo"), baseline(kind)
    assert differences(grpo, manifest) == {"name", "learner.loss.kind"} | CHANGES[kind]
    assert set(flat(grpo.model_dump())) <= set(flat(manifest.model_dump()))


@pytest.mark.parametrize("kind", LOSSES)
def test_baseline_is_its_loss_as_in_the_paper(kind):
    method, manifest = load(CONFIGS / "qwen2.5-7b-math-dapo.yaml"), baseline(kind)
    loss = manifest.learner.loss
    assert (manifest.name, loss.kind, loss.normaliser) == (f"qwen2.5-7b-{kind}", kind, "own")
    trajectories = [m.branching.roots * (1 + m.branching.branches) for m in (method, manifest)]
    assert trajectories == [8, 8]
    own = set(type(loss).model_fields) - set(type(method.learner.loss).model_fields)
    defaults = type(loss)()
    assert {key: getattr(loss, key) for key in own} == {key: getattr(defaults, key) for key in own}
    assert manifest.learner.kl.coefficient == 0.0


@pytest.mark.parametrize("kind", LOSSES)
def test_ratios_of_a_baseline_differ_from_one(kind):
    """Otherwise no clip acts, and most losses are the same."""
    assert baseline(kind).learner.mini_batches > 1


def test_all_but_three_baselines_average_over_tokens():
    token_mean = normaliser_of(load(CONFIGS / "qwen2.5-7b-math-dapo.yaml").learner.loss)
    averaged = {kind for kind in LOSSES if normaliser_of(baseline(kind).learner.loss) is token_mean}
    assert averaged == set(LOSSES) - {"grpo", "dr_grpo", "gspo"}


def test_dapo_is_overlong_in_proportion_to_the_paper():
    """16384 + 4096 tokens there, and rewards of -1 and 1."""
    dapo = baseline("dapo")
    advantage = dapo.learner.advantage
    assert advantage.overlong_buffer / dapo.rollout.max_response_tokens == pytest.approx(4096 / 20480, rel=1e-3)
    assert advantage.overlong_penalty == 1 / (1 - -1)


# What each ablation changes of the method, besides its name.
ABLATIONS = {
    "no-latent": {"latent.kind": "none", "latent.weights": None},
    "random-fork": {"branching.select": "random"},
    "chained": {"branching.mode": "chained"},
    "input-injection": {"latent.injection": "input", "latent.weights": Path("runs/qwen2.5-7b-input-injection-latent")},
    "softmax-injection": {"latent.injection": "softmax", "latent.weights": Path("runs/qwen2.5-7b-softmax-injection-latent")},
}


@pytest.mark.parametrize("name", ABLATIONS)
def test_ablation_changes_one_thing_alone(name):
    method, ablation = load(CONFIGS / "qwen2.5-7b-math-dapo.yaml"), load(CONFIGS / f"ablations/{name}.yaml")
    changed = differences(method, ablation)
    assert changed == {"name", *ABLATIONS[name]}
    assert {key: flat(ablation.model_dump())[key] for key in ABLATIONS[name]} == ABLATIONS[name]
    assert ablation.branching.roots * (1 + ablation.branching.most_branches) == 8


def test_every_ablation_says_what_it_changes():
    assert {path.stem for path in (CONFIGS / "ablations").glob("*.yaml")} == set(ABLATIONS)


@pytest.mark.parametrize(("name", "gpus"), [("smoke-gpu", 1), ("smollm2-135m-arithmetic", 1), *((name, 8) for name in ON_8_GPUS)])
def test_fits_its_gpus(name, gpus):
    m = load(CONFIGS / f"{name}.yaml")
    c = m.cluster
    assert m.rollout.engines * c.engine_gpus + m.learner.ranks * c.rank_gpus + m.ib.replicas * c.scorer_gpus <= gpus


def test_smoke_fits_its_cpus():
    m = load(CONFIGS / "smoke.yaml")
    c = m.cluster
    assert m.rollout.engines * c.engine_cpus + m.learner.ranks * c.rank_cpus + m.ib.replicas * c.scorer_cpus + 3 * c.service_cpus <= c.cpus

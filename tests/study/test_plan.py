"""The runs of a study: which, with what manifests, and what is refused."""

import pytest
import yaml

from ib_lpo.errors import UserError
from ib_lpo.study.load import load_study
from ib_lpo.study.plan import plan
from tests.study.made import STUDY, study_in


def test_every_variant_runs_with_every_pair_of_seeds(tmp_path):
    tasks = {name: {"manifest": "base.yaml", "model": "models/m{model_seed}"} for name in ("sums", "long")}
    study, runs = study_in(tmp_path, tasks=tasks, seeds=[[0, 5], [3, 5], [3, 6]])
    names = [f"small-{t}-{v}-m{m}-s{s}" for m, s in ((0, 5), (3, 5), (3, 6)) for t in ("sums", "long") for v in ("grpo", "forks")]
    assert [run.name for run in runs] == names  # whole pairs first
    one = next(run for run in runs if run.name == "small-long-forks-m3-s6").manifest
    assert (one.seed, one.model.path, one.run_dir) == (6, "models/m3", study.parent / "small-long-forks-m3-s6")
    assert (one.branching.pivot, one.branching.branches, one.budget.generated_tokens) == ("resample", 3, 100)


def test_what_is_nearer_to_the_variant_wins(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "piece.yaml").write_text(yaml.safe_dump({"learner": {"lr": 3e-3, "warmup_steps": 2}, "steps": 4}))
    overrides = ["learner.lr=2e-3", "steps=3", "max_staleness=0", "latent.weights=latents/{model_seed}-{run_seed}", "latent.kind=cvae"]
    task = {"manifest": "base.yaml", "model": "m{model_seed}", "overrides": overrides, "budget_tokens": 7}
    variants = {"grpo": {}, "forks": {"extends": ["deep/piece.yaml"], "overrides": ["learner.warmup_steps=1"]}}
    _, runs = study_in(tmp_path, tasks={"sums": task}, variants=variants, seeds=[[2, 9]])
    grpo, forks = (run.manifest for run in runs)
    assert (grpo.learner.lr, grpo.steps, grpo.learner.warmup_steps) == (2e-3, 3, 0)
    assert (forks.learner.lr, forks.steps, forks.learner.warmup_steps) == (3e-3, 4, 1)
    assert (str(forks.latent.weights), forks.budget.generated_tokens) == ("latents/2-9", 7)


def test_only_takes_patterns(tmp_path):
    study, _ = study_in(tmp_path)
    assert {run.variant for run in plan(study, ["sums/grpo"])} == {"grpo"}
    assert len(plan(study, ["*/forks", "sums/grpo"])) == 4
    with pytest.raises(UserError, match=r"^--only sums/gpro: matches no task/variant of the study; it has sums/grpo, sums/forks$"):
        plan(study, ["*/forks", "sums/gpro"])


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"baseline": "dapo"}, r"baseline='dapo': no such variant; use one of grpo, forks"),
        ({"seeds": [[0, 0], [1, 0], [0, 0]]}, r"seeds=.*\[0, 0\] stands there twice"),
        ({"seeds": []}, r"^seeds=.*at least 1 item"),
        ({"seeds": [[0]]}, r"^seeds\.0\.1: required"),
        ({"variant": {}}, r"^variant: unknown key"),
        ({"workers": "slurm"}, r"^workers.*'slurm'"),
        ({"workers": 0}, r"^workers.*0"),
        ({"tasks": {"a b": {"manifest": "base.yaml", "model": "m"}}}, r"a b"),
        ({"tasks": {"sums": {"manifest": "base.yaml", "model": "m"}}}, r"tasks\.sums\.model='m': is the same for all 2 model seeds"),
    ],
)
def test_a_bad_study_is_refused_with_its_key(tmp_path, values, complaint):
    with pytest.raises(UserError, match=complaint):
        study_in(tmp_path, **values)


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"variants": {"grpo": {"overrides": ["learner.lr=-1"]}}}, r"^sums/grpo, seeds \[0, 0\]: learner\.lr=-1"),
        ({"variants": {"grpo": {"overrides": ["learner.lr_schedule=linear"]}}}, r"^sums/grpo, .*budget\.generated_tokens=100: "),
        ({"variants": {"grpo": {"extends": ["nowhere.yaml"]}}}, r"^sums/grpo, .*nowhere\.yaml: no such manifest"),
    ],
)
def test_a_run_that_cannot_be_is_named(tmp_path, values, complaint):
    with pytest.raises(UserError, match=complaint):
        study_in(tmp_path, **values)


def test_two_runs_of_one_name_are_refused(tmp_path):
    of = {"manifest": "base.yaml", "model": "m{model_seed}"}
    with pytest.raises(UserError, match=r"^small-a-b-grpo-m0-s0: two runs of the study have this name"):
        study_in(tmp_path, tasks={"a": of, "a-b": of}, variants={"b-grpo": {}, "grpo": {}}, seeds=[[0, 0]])


def test_overrides_of_the_command_line(tmp_path):
    study_in(tmp_path)
    assert load_study(tmp_path / "study.yaml", ["workers=ray", "run_cpus=2"]).workers == "ray"
    assert load_study(tmp_path / "study.yaml", ["out=null"]).results_dir.as_posix() == f"studies/{STUDY['name']}"

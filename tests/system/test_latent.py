"""The trained latent end to end, as a user would: fit it, train with it, let RL refine its maps, study what it adds."""

import csv
import json
import random

import pytest

from ib_lpo.tracking import read_metrics
from tests.system.runs import LOCAL, finish, start, train, write_manifest
from tests.system.tiny_policy import save_task

pytestmark = pytest.mark.slow
FIT = {"steps": 3, "every": 2, "solutions_per_step": 4, "held_out": 4, "min_target_tokens": 2}
ANYTHING_GOES = {"min_use": -100.0, "min_active_units": 0}  # three steps make no latent
STUDY = {
    "forks": 4,
    "branches": 2,
    "tokens": 16,
    "gamma0": [0.0],
    "tau": [],
    "draws": ["antithetic"],
    "attention_forks": 2,
    "resamples": 200,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latent")
    save_task(folder, train=24, held_out=4)
    rng = random.Random(0)
    words = ["abab", "cdcd", "efef", "ghgh"]
    rows = [
        {
            "question": f"{i % 10}+{i // 10}",
            "answer": str(i % 4),
            "solution": f"{rng.choice(words)}. {rng.choice(words)} \\boxed{{{i % 4}}}",
        }
        for i in range(24)
    ]
    (folder / "solutions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def settings(folder, name, *, latent=(), **sections):
    psa = {"k_slots": 2, "layers": "all", "tau": 20, "init_std": 1.0}
    of_fit = FIT | ANYTHING_GOES | {"data": {"kind": "file", "path": "solutions.jsonl", "solution_column": "solution"}}
    values = {"name": name, "steps": 3, "latent": {"kind": "cvae", "dim": 8, "psa": psa, **dict(latent)}, "latent_fit": of_fit}
    return write_manifest(folder, **values, **sections)


@pytest.fixture(scope="module")
def fitted(folder):
    """runs/tiny-latent."""
    manifest = settings(folder, "tiny", latent={"weights": "runs/tiny-latent"})
    output = train(folder, manifest, *LOCAL, "tracking.wandb=disabled", command=("latent", "fit"))
    return output


def test_the_fit_reports_and_saves(folder, fitted):
    assert "held out" in fitted and "active units" in fitted and "saved: runs/tiny-latent" in fitted
    report = json.loads((folder / "runs/tiny-latent/latent.json").read_text())["report"]
    assert len(report["kl_per_dim"]) == 8 and report["kl"] == pytest.approx(sum(report["kl_per_dim"]), rel=1e-4)
    lines = read_metrics(folder / "runs/tiny-latent/metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3] and lines[1]["held_out/elbo"] < 0 and "held_out/elbo" not in lines[0]


def test_a_run_draws_from_the_trained_prior_and_rl_refines_its_maps(folder, fitted):
    """Under `condition` the maps change every step: engines and learner agree only if they are published with the policy."""
    latent = {"weights": "runs/tiny-latent", "offpolicy": "condition", "draw": "stratified"}
    manifest = settings(folder, "refined", latent=latent)
    train(folder, manifest, *LOCAL, "learner.psa_lr=0.05", "tracking.wandb=disabled")
    lines = read_metrics(folder / "runs/refined/metrics.jsonl")[1:]
    assert len(lines) == 3
    assert all(line["grow/branches"] > 0 and line["lr/psa"] == 0.05 for line in lines)
    assert all(line["mismatch/max_abs"] < 1e-4 for line in lines)
    gaps = [line["mismatch/z_gap"] for line in lines]
    assert len(set(gaps)) == 3 and gaps[0] > 0


def test_the_study_writes_tables_and_figures(folder, fitted):
    manifest = settings(folder, "tiny", latent={"weights": "runs/tiny-latent"}, analysis={"latent": STUDY})
    output = train(folder, manifest, *LOCAL, command=("analyze", "latent"))
    results = folder / "runs/tiny-analysis"
    assert "4 forks" in output and (results / "latent.md").read_text().count("| z") >= 4
    rows = list(csv.DictReader((results / "branches.csv").open()))
    names = {row["variant"] for row in rows}
    assert len(rows) == len(names) * 4 * 2 and {"no z", "z = mu(c)", "z", "z, antithetic", "z, gamma0 0"} <= names
    for figure in ("latent_effects", "latent_kl", "latent_attention"):
        assert (results / f"{figure}.png").stat().st_size > 10_000
        assert len((results / f"{figure}.csv").read_text().splitlines()) > 4
    control = [row["text"] for row in rows if row["variant"] == "no z"]
    assert control != [row["text"] for row in rows if row["variant"] == "z ~ N(0, I), untrained maps"]


def test_a_study_without_a_trained_latent_is_refused(folder):
    manifest = settings(folder, "untrained", latent={"kind": "normal", "untrained": True})
    code, output = finish(start(folder, manifest, command=("analyze", "latent")))
    assert code == 2 and "latent.kind=normal: the study compares a trained z with none" in output
    assert not (folder / "runs/untrained-analysis").exists()

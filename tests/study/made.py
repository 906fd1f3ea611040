"""Studies, results and run directories made by hand."""

import json

import yaml

from ib_lpo.manifest import dump
from ib_lpo.study.layout import Layout
from ib_lpo.study.load import load_study
from ib_lpo.study.plan import plan
from ib_lpo.study.record import Result

HERE = {"processor": "CPU one", "packages": {"torch": "2"}}
STUDY = {
    "name": "small",
    "tasks": {"sums": {"manifest": "base.yaml", "model": "models/m{model_seed}"}},
    "seeds": [[0, 0], [1, 0]],
    "variants": {"grpo": {"overrides": ["branching.branches=0"]}, "forks": {"overrides": ["branching.pivot=resample"]}},
    "budget_tokens": 100,
}
BASE = {"name": "base", "steps": 5, "model": {"path": "unused"}, "learner": {"lr": 1e-3}}


def study_in(folder, **values):
    """A study written into `folder`, with results and runs there, and its runs."""
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    own = {"out": str(folder / "out"), "runs_dir": str(folder / "runs")}
    (folder / "study.yaml").write_text(yaml.safe_dump(STUDY | own | values, sort_keys=False))
    study = load_study(folder / "study.yaml")
    return study, plan(study)


def record(run, tokens=(60, 60), accuracy=(0.2, 0.3, 0.5), manifest=None):
    """A run directory with a step per entry of `tokens`, and a held-out check before the first and after each."""
    directory = run.manifest.run_dir
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "manifest.yaml").write_text(dump(manifest or run.manifest))
    lines = [{"step": 0, "held_out/accuracy": accuracy[0], "seconds/held_out": 50.0}]
    for step, (generated, value) in enumerate(zip(tokens, accuracy[1:], strict=True), start=1):
        phases = {"seconds/grow": 1.5, "seconds/update": 0.5, "seconds/held_out": 9.0, "seconds/checkpoint": 9.0}
        trained = {"grade/mixed_questions": 0.25 * step, "grow/entropy": None if step == 1 else 0.1}
        lines.append({"step": step, "grow/tokens": generated, "held_out/accuracy": value, **phases, **trained})
    (directory / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def note_machine(study, run):
    path = Layout(study).machine(run)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(HERE))


def result(variant, model_seed=0, run_seed=0, *, curve=((0, 0.2), (100, 0.5)), processor="CPU one", model="w", **last):
    """A result with this curve of (tokens, accuracy); `last`: further metrics of the last check."""
    points = [{"step": i, "tokens": t, "seconds": t / 10, "held_out/accuracy": a} for i, (t, a) in enumerate(curve)]
    points[-1] |= {f"held_out/{name}": value for name, value in last.items()}
    return Result(
        run=f"small-sums-{variant}-m{model_seed}-s{run_seed}",
        task="sums",
        variant=variant,
        model_seed=model_seed,
        run_seed=run_seed,
        digest="d",
        settings={},
        model=model,
        processor=processor,
        packages={},
        workers=2,
        steps=len(points) - 1,
        tokens=int(points[-1]["tokens"]),
        seconds=points[-1]["seconds"],
        curve=points,
        trained={"grade/mixed_questions": 0.5},
    )

"""`ib-lpo eval` and evaluation during training as a user starts them, on a tiny trained policy."""

import contextlib
import json
import shutil
import time

import pytest

from ib_lpo.errors import UserError
from ib_lpo.evaluation.evaluate import evaluate
from ib_lpo.manifest import load
from ib_lpo.tracking import read_metrics
from tests.system.runs import LOCAL, dumps, finish, repeatable, start, train, write_manifest
from tests.system.tiny_policy import save_task

pytestmark = pytest.mark.slow
QUESTIONS = 12
BENCHMARKS = {"sums": {"source": {"kind": "file", "path": "bench.jsonl"}}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    save_task(folder)
    rows = (folder / "train.jsonl").read_text().splitlines()
    texts = {json.loads(row)["question"] for row in rows}
    asked = [{"question": f"{a}+{b}", "answer": str((a + b) % 4)} for a in range(10) for b in range(10) if f"{a}+{b}" not in texts]
    (folder / "bench.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked[:QUESTIONS]))
    return folder


def manifest(folder, name, **evaluation):
    return write_manifest(folder, name=name, evaluation={"benchmarks": BENCHMARKS, "samples": 8} | evaluation)


def evaluated(folder, name, *overrides, resume=False):
    """Results, of an evaluation in this process."""
    with contextlib.chdir(folder):
        evaluate(load(f"{name}.yaml", [*LOCAL, *overrides]), resume=resume)
    return json.loads((folder / "runs" / f"{name}-eval" / "results.json").read_text())


def samples(folder, name):
    lines = (folder / "runs" / f"{name}-eval" / "samples" / "sums.jsonl").read_text().splitlines()
    return {line["question"]: line["samples"] for line in map(json.loads, lines)}


@pytest.fixture(scope="module")
def whole(folder):
    manifest(folder, "whole", temperature=1.0)
    return evaluated(folder, "whole")


def test_results_are_those_of_the_samples(folder, whole):
    found, benchmark = samples(folder, "whole"), whole["benchmarks"]["sums"]
    right = [[sample["verdict"] == "correct" for sample in of] for of in found.values()]
    assert len(right) == QUESTIONS and {len(of) for of in right} == {8}
    numbers = {name: estimate["mean"] for name, estimate in benchmark["estimates"].items()}
    assert numbers["avg"] == pytest.approx(sum(map(sum, right)) / (8 * QUESTIONS)) and 0 < numbers["avg"] < 1
    assert numbers["pass@1"] == pytest.approx(numbers["avg"])
    assert numbers["pass@8"] == pytest.approx(sum(map(any, right)) / QUESTIONS) and numbers["pass@8"] > numbers["avg"]
    assert numbers["tokens"] == pytest.approx(sum(s["tokens"] for of in found.values() for s in of) / (8 * QUESTIONS))
    assert (benchmark["questions"], benchmark["complete"], benchmark["unverifiable"]) == (QUESTIONS, True, 0)
    spread = {name: estimate for name, estimate in benchmark["estimates"].items() if estimate["low"] is not None}
    assert {"avg", "pass@8", "tokens"} <= spread.keys()
    assert all(estimate["low"] <= estimate["mean"] <= estimate["high"] for estimate in spread.values())
    assert any(name.startswith("diversity/") for name in numbers)
    assert "pass@8" in (folder / "runs" / "whole-eval" / "results.md").read_text()


def test_killed_and_resumed_gives_the_numbers_of_an_uninterrupted_one(folder, whole):
    path = manifest(folder, "killed", temperature=1.0)
    arguments = ("rollout.max_running=4",)
    process = start(folder, path, *LOCAL, *arguments, command=("eval",))
    record, deadline = folder / "runs" / "killed-eval" / "samples" / "sums.jsonl", time.monotonic() + 300
    while (not record.exists() or not record.read_text()) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    finish(process)
    kept = samples(folder, "killed")
    assert 0 < len(kept) < QUESTIONS
    assert not (folder / "runs" / "killed-eval" / "results.json").exists()
    with record.open("a") as file:
        file.write('{"question": "half of a li')
    weights = folder / "runs" / "killed-eval" / "weights.json"
    ours = weights.read_text()
    weights.write_text(ours.replace(json.loads(ours)["model.path"], "0" * 64))
    with pytest.raises(UserError, match=r"model\.path: other weights than those sampled so far"):
        evaluated(folder, "killed", *arguments, resume=True)
    weights.write_text(ours)
    for change, complaint in (
        ("evaluation.temperature=0.5", "temperature 1.0, is now 0.5"),
        ("verifier.memory_mb=256", "memory_mb 512"),
    ):
        with pytest.raises(UserError, match=complaint):
            evaluated(folder, "killed", *arguments, change, resume=True)
    another = 'evaluation.benchmarks.more={"source": {"kind": "file", "path": "bench.jsonl", "size": 2}}'
    again = evaluated(folder, "killed", *arguments, "evaluation.resamples=1000", another, resume=True)
    assert again["benchmarks"]["more"]["questions"] == 2
    now = samples(folder, "killed")
    assert {id: now[id] for id in kept} == kept and now == samples(folder, "whole")
    means = [{name: e["mean"] for name, e in one["benchmarks"]["sums"]["estimates"].items()} for one in (again, whole)]
    assert means[0] == means[1]


@pytest.fixture(scope="module")
def trained(folder):
    """Two steps, evaluated before each and after the last."""
    path = manifest(folder, "trained", every=1, samples=4)
    train(folder, path, *LOCAL, "steps=2", "checkpoint.every=1")
    return read_metrics(folder / "runs" / "trained" / "metrics.jsonl")


def test_evaluation_during_training_is_recorded(trained):
    names = ("avg", "pass@1", "maj@1", "tokens", "truncated", "unverifiable")
    assert all(f"eval/sums/{name}" in line for line in trained for name in names)
    assert len({line["eval/sums/tokens"] for line in trained}) == 3
    assert all(line["seconds/evaluation"] > 0 for line in trained)


def test_evaluation_changes_nothing_else_and_resumes_exactly(folder, trained):
    """A first step without evaluation, and a second one, resumed, with it."""
    path = write_manifest(folder, name="half")
    train(folder, path, *LOCAL, "steps=1", "checkpoint.every=1")
    path = manifest(folder, "half", every=1, samples=4)
    train(folder, path, *LOCAL, "steps=2", "checkpoint.every=1", "--resume")
    whole, half = repeatable(folder, "trained"), repeatable(folder, "half")
    assert dumps(half[2]) == dumps(whole[2])
    assert not any(name.startswith("eval/") for line in half[:2] for name in line)
    first, second = ({k: v for k, v in line.items() if not k.startswith(("eval/", "held_out/"))} for line in (whole[1], half[1]))
    assert dumps(first) == dumps(second) and half[0]["held_out/accuracy"] == whole[0]["held_out/accuracy"]


def test_other_training_questions_cannot_be_resumed(folder, trained):
    """A benchmark that takes questions away from training."""
    shutil.copytree(folder / "runs" / "trained", folder / "taken" / "trained")
    sums = BENCHMARKS | {"taken": {"source": {"kind": "file", "path": "train.jsonl", "size": 3}}}
    path = write_manifest(folder, name="trained", runs_dir="taken", evaluation={"benchmarks": sums, "every": 1, "samples": 4})
    code, output = finish(start(folder, path, *LOCAL, "steps=3", "checkpoint.every=1", "--resume"))
    assert code == 2 and "data.train: after leaving out what is held out or in a benchmark" in output


def test_a_checkpoint_answers_otherwise_than_the_model_it_started_from(folder, trained):
    greedy = ("evaluation.temperature=0", "evaluation.samples=1", "name=greedy")
    manifest(folder, "greedy", every=0)
    checkpoint = "runs/trained/checkpoints/step-000002"
    answers = {}
    for of in (None, checkpoint):
        results = evaluated(folder, "greedy", *greedy, *([f"evaluation.checkpoint={of}"] if of else []))
        assert results["checkpoint"] == of
        answers[of] = [sample["text"] for one in samples(folder, "greedy").values() for sample in one]
    assert answers[None] != answers[checkpoint]


def test_every_sample_has_a_latent_of_its_own(folder, whole):
    manifest(folder, "latents", latents="prompt", temperature=0.01)
    evaluated(folder, "latents")
    with_z = samples(folder, "latents")
    manifest(folder, "cold", temperature=0.01)
    evaluated(folder, "cold")
    distinct = [{sample["text"] for sample in of} for of in with_z.values()]
    assert max(map(len, distinct)) > 1, "at this temperature only z tells the samples of a question apart"
    assert sum(map(len, distinct)) > sum(len({sample["text"] for sample in of}) for of in samples(folder, "cold").values())

"""`ib-lpo study` with real runs: killed with kill -9, gone on with, read, and as Ray tasks."""

import json
import re
import shutil
import time

import psutil
import pytest
import yaml

from ib_lpo.tracking import read_metrics
from tests.system.runs import LOCAL, MANIFEST, descendants, finish, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
STEPS = 4
GRPO = ["branching.branches=0", "branching.roots=4", "ib.estimator=none", "ib.self_reward=none", "latent.kind=none"]


@pytest.fixture(scope="module")
def study(shared):
    """Two variants, one pair of seeds, four steps, pass@k at both ends."""
    held_out = {"every": 1, "samples": 1, "samples_at_end": 8, "ks": [1, 8], "diversity": True}
    base = MANIFEST | {"name": "base", "steps": STEPS, "held_out": held_out, "checkpoint": {"every": 1}}
    (shared / "study-base.yaml").write_text(yaml.safe_dump(base))
    shutil.copytree(shared / "model", shared / "model-0")
    values = {
        "name": "tiny",
        "tasks": {"digits": {"manifest": "study-base.yaml", "model": "model-{model_seed}", "overrides": [*LOCAL]}},
        "seeds": [[0, 0]],
        "variants": {"grpo": {"overrides": GRPO, "note": "plain"}, "forks": {"overrides": ["latent.kind=none"]}},
        "workers": 2,
    }
    path = shared / "study.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False))
    return path


def results(shared, where="studies/tiny"):
    return {path.parent.name: json.loads(path.read_text()) for path in (shared / where / "results").rglob("*.json")}


def numbers(result):
    """Of a result, what the same run gives again."""
    points = [{name: value for name, value in point.items() if name != "seconds"} for point in result["curve"]]
    return points, result["trained"], result["tokens"], result["settings"]


def test_killed_and_started_again_it_goes_on_where_it_was(shared, study):
    process = start(shared, study, command=("study",))
    records = [shared / "runs" / "tiny" / f"tiny-digits-{variant}-m0-s0" / "metrics.jsonl" for variant in ("grpo", "forks")]
    deadline = time.monotonic() + 400
    first = [path.parent / "checkpoints" / "step-000001" / "complete" for path in records]
    while not any(marker.exists() for marker in first) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    children = descendants(process.pid)
    assert sum("train" in child.cmdline() for child in children) == 2
    process.kill()
    finish(process)
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert not (shared / "studies").exists()
    code, output = finish(start(shared, study, command=("study",)))
    assert code == 0, output
    assert "2 runs, 0 of them done, 2 to run" in output
    logs = [(path.parents[1] / "study" / f"{path.parent.name}.log").read_text() for path in records]
    assert any(re.search(r"from step [123]", log) for log in logs)
    found = results(shared)
    assert found.keys() == {"grpo", "forks"}
    for result, path in ((found["grpo"], records[0]), (found["forks"], records[1])):
        lines = read_metrics(path)
        assert [line["step"] for line in lines] == list(range(STEPS + 1)) == [point["step"] for point in result["curve"]]
        assert [point["tokens"] for point in result["curve"]] == [0, *(line["grow/tokens_total"] for line in lines[1:])]
        assert result["tokens"] == lines[-1]["grow/tokens_total"] and result["processor"] and result["model"]
        assert {"held_out/pass@8", "held_out/maj@8", "held_out/entropy"} <= result["curve"][-1].keys()
    page = (shared / "studies" / "tiny" / "digits.md").read_text()
    assert "| pairs | - | 1 |" in page and "Fewer than 3 pairs" in page and "| held-out pass@8 |" in page
    assert (shared / "studies" / "tiny" / "digits.png").stat().st_size > 10_000
    code, output = finish(start(shared, study, command=("study",)))
    assert code == 0 and "2 runs, 2 of them done, 0 to run" in output


def trains(process: psutil.Process) -> bool:
    """Whether it is a run; one that ends meanwhile is none."""
    try:
        return "train" in process.cmdline()
    except psutil.Error:
        return False


def test_ctrl_c_stops_its_runs(shared, study):
    process = start(shared, study, "runs_dir=runs/ended", "out=studies/ended", command=("study",))
    deadline = time.monotonic() + 200
    while sum(map(trains, descendants(process.pid))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(2.0)
    children = descendants(process.pid)
    process.send_signal(2)
    code, output = finish(process, 120)
    assert code == 130 and "the same command" in output, output
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive


def test_a_failed_run_is_told_and_the_others_go_on(shared, study):
    values = yaml.safe_load(study.read_text())
    values["variants"]["forks"]["overrides"].append("data.train.path=nowhere.jsonl")
    path = shared / "failing.yaml"
    path.write_text(yaml.safe_dump(values | {"name": "failing"}, sort_keys=False))
    code, output = finish(start(shared, path, "--only", "digits/*", command=("study",)))
    assert code == 1, output
    assert "FAILED failing-digits-forks-m0-s0: exit status 2" in output and "nowhere.jsonl" in output
    assert results(shared, "studies/failing").keys() == {"grpo"}
    page = (shared / "studies" / "failing" / "digits.md").read_text()
    assert "* failing-digits-forks-m0-s0: exit status 2: " in page
    assert numbers(results(shared, "studies/failing")["grpo"]) == numbers(results(shared)["grpo"])


def test_runs_as_ray_tasks_give_the_same_results(shared, study):
    overrides = ("workers=ray", "run_cpus=0.5", "runs_dir=runs/by-ray", "out=studies/by-ray")
    code, output = finish(start(shared, study, *overrides, command=("study",)))
    assert code == 0, output
    found, before = results(shared, "studies/by-ray"), results(shared)
    assert {name: numbers(result) for name, result in found.items()} == {name: numbers(result) for name, result in before.items()}
    assert {result["workers"] for result in found.values()} == {"ray"}

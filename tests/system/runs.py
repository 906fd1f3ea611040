"""Runs of the command line on the tiny policy, as a user would start them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import yaml

from ib_lpo.metrics.registry import describe
from ib_lpo.tracking import read_metrics

MANIFEST = {
    "name": "run",
    "steps": 6,
    "model": {"path": "model"},
    "runs_dir": "runs",
    "data": {
        "train": {"kind": "file", "path": "train.jsonl"},
        "held_out": {"kind": "file", "path": "held_out.jsonl"},
        "template": "Q: {q}=?",
        "questions_per_step": 4,
    },
    "held_out": {"every": 2},
    "rollout": {
        "engines": 2,
        "max_prompt_tokens": 32,
        "max_response_tokens": 60,
        "max_running": 32,
        "kv_cache_gb": 0.05,
        "temperature": 1.0,
    },
    "branching": {"floor": 0.3, "top_fraction": 0.2},
    "latent": {"kind": "normal", "untrained": True, "dim": 8, "psa": {"k_slots": 2, "layers": "all", "tau": 20}},
    "ib": {"replicas": 2},
    "learner": {"ranks": 2, "lr": 1e-3, "max_tokens_per_micro_batch": 512, "max_logprob_gap": 1e-4},
    "checkpoint": {"every": 2},
    "tracking": {"rollouts_every": 2, "rollouts": 8},
    "cluster": {
        "cpus": 2,
        "engine_cpus": 0.3,
        "rank_cpus": 0.3,
        "scorer_cpus": 0.15,
        "start_deadline_s": 400,
        "call_deadline_s": 300,
        "group_deadline_s": 120,
    },
}
LOCAL = ("cluster.mode=local", "rollout.engines=1", "learner.ranks=1", "ib.replicas=1")
_UNREPEATABLE = ("seconds", "gb_per_s", "verifier", "idle", "memory", "fleet")


def write_manifest(folder: Path, **values) -> Path:
    path = folder / f"{values.get('name', 'run')}.yaml"
    path.write_text(yaml.safe_dump(MANIFEST | values))
    return path


def start(folder: Path, manifest: Path, *arguments: str, command: tuple[str, ...] = ("train",)) -> subprocess.Popen:
    command = [sys.executable, "-m", "ib_lpo", *command, str(manifest), *arguments]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a test runner in the background has it ignored
    )


def environment() -> dict[str, str]:
    """This process's, for a run of its own: a run that shared the wandb service of the tests would leave its id there when it is killed."""
    own = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    return own | {"PYTHONPATH": str(Path(__file__).parents[2])}


def finish(process: subprocess.Popen, seconds: float = 500) -> tuple[int, str]:
    output, _ = process.communicate(timeout=seconds)
    return process.returncode, output


def train(folder: Path, manifest: Path, *arguments: str, command: tuple[str, ...] = ("train",)) -> str:
    code, output = finish(start(folder, manifest, *arguments, command=command))
    assert code == 0, output
    assert unnamed(folder) == set()
    return output


def unnamed(folder: Path) -> set[str]:
    """Metrics that runs under `folder` recorded and ib_lpo/metrics does not name."""
    lines = (line for path in folder.rglob("metrics.jsonl") for line in read_metrics(path))
    return {name for line in lines for name in line if describe(name) is None}


def repeatable(folder: Path, name: str, runs: str = "runs") -> list[dict]:
    """metrics.jsonl without figures of the clock and of the machine."""
    lines = read_metrics(folder / runs / name / "metrics.jsonl")
    return [{k: v for k, v in line.items() if not any(word in k for word in _UNREPEATABLE)} for line in lines]


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def dumps(value) -> str:
    return json.dumps(value, indent=1, sort_keys=True)

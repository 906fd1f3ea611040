"""A real Ray head, and a manifest submitted to it as a job."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from ib_lpo.tracking import read_metrics
from tests.system.tiny_policy import save_policy, save_questions

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    for held in sockets:
        held.bind(("127.0.0.1", 0))
    ports = [held.getsockname()[1] for held in sockets]
    for held in sockets:
        held.close()
    return ports


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def environment() -> dict[str, str]:
    private = {name: value for name, value in os.environ.items() if name not in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")}
    return private | {"PATH": f"{BIN}:{os.environ['PATH']}", "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def dashboard(environment) -> Iterator[str]:
    """Address of a Ray head with ports and a folder of its own; only its own processes are stopped afterwards."""
    folder = tempfile.mkdtemp(prefix="ib-ray-")
    gcs, port, agent, client = free_ports(4)
    command = ["ray", "start", "--head", "--block", "--num-cpus=2", "--node-ip-address=127.0.0.1", "--dashboard-host=127.0.0.1"]
    command += [f"--port={gcs}", f"--dashboard-port={port}", f"--dashboard-agent-listen-port={agent}"]
    command += [f"--ray-client-server-port={client}", f"--temp-dir={folder}", "--object-store-memory=200000000"]
    with open(f"{folder}/head.log", "w") as log:
        head = psutil.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 60
        while not (listening(port) and listening(agent)):  # jobs are started by the agent
            assert time.monotonic() < deadline and head.poll() is None, Path(f"{folder}/head.log").read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        if head.is_running():
            family = head.children(recursive=True)
            head.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs([head, *family], timeout=20)
        for process in alive:
            process.kill()
        psutil.wait_procs(alive, timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_submitted_manifest_trains_on_the_cluster(dashboard, environment, tmp_path):
    save_policy(tmp_path / "model")
    save_questions(tmp_path / "train.jsonl", 8, seed=1)
    overrides = {
        "name": "sent",
        "steps": 1,
        "runs_dir": tmp_path / "runs",
        "model.path": tmp_path / "model",
        "data": "{train: {kind: file, path: %s}, template: 'Q: {q}=?', questions_per_step: 2}" % (tmp_path / "train.jsonl"),
        "rollout.max_prompt_tokens": 32,
    }
    done = subprocess.run(
        [ROOT / "cluster/submit.sh", "configs/smoke.yaml", *(f"{key}={value}" for key, value in overrides.items())],
        env=environment | {"RAY_API_SERVER_ADDRESS": dashboard},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    lines = read_metrics(tmp_path / "runs" / "sent" / "metrics.jsonl")
    assert [line["step"] for line in lines] == [0, 1]
    assert lines[1]["publish/syncs"] == 1

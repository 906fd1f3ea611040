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
    command += [f"--ray-client-server-port={client}", f"--temp-dir={folder}", "--object-store-memory=100000000"]
    with open(f"{folder}/head.log", "w") as log:
        head = psutil.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    family: list[psutil.Process] = []
    try:
        deadline = time.monotonic() + 60
        while not listening(port):
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
def test_submitted_manifest_runs_on_the_cluster(dashboard, environment):
    done = subprocess.run(
        [ROOT / "cluster/submit.sh", "configs/smoke.yaml", "name=sent", "--dry-run"],
        env=environment | {"RAY_API_SERVER_ADDRESS": dashboard},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "name: sent" in done.stdout and "succeeded" in done.stdout

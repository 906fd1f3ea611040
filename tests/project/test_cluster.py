"""cluster/ and docker/: the files agree with the manifests, with the pins and with Ray's own schemas."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from ib_lpo.fleet.config import ClusterConfig

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
PINS = dict(text.split("==") for text in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"] if "==" in text)


def rayjob() -> dict:
    return yaml.safe_load((CLUSTER / "kuberay-rayjob.yaml").read_text())


def named_manifests() -> set[str]:
    texts = [path.read_text() for path in CLUSTER.iterdir() if path.is_file()]
    return {found for text in texts for found in re.findall(r"configs/[\w./-]+\.yaml", text)}


def test_named_manifests_exist():
    assert named_manifests()
    assert [name for name in named_manifests() if not (ROOT / name).exists()] == []


def test_rayjob_matches_the_installed_ray_and_the_manifest():
    job = rayjob()
    cluster = job["spec"]["rayClusterSpec"]
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["rayVersion"] == PINS["ray[default]"]
    (worker,) = cluster["workerGroupSpecs"]
    gpus = worker["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] * worker["replicas"]
    assert gpus == 8
    assert job["spec"]["entrypoint"].startswith("ib-lpo train configs/") and "--resume=auto" in job["spec"]["entrypoint"]
    assert job["spec"]["backoffLimit"] > 0 and cluster["authOptions"] == {"mode": "token"}
    assert yaml.safe_load(job["spec"]["runtimeEnvYAML"])["working_dir"] == "/opt/ib-lpo"


def test_every_container_has_its_volumes():
    cluster = rayjob()["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


def test_launcher_satisfies_rays_schema():
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((CLUSTER / "launcher.yaml").read_text())
    validate_config(prepare_config(config))


def test_runtime_env_satisfies_rays_schema():
    from ray.runtime_env import RuntimeEnv

    values = yaml.safe_load((CLUSTER / "runtime_env.yaml").read_text())
    assert RuntimeEnv(**values)["env_vars"]["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize("name", ["cluster/submit.sh", "cluster/slurm.sbatch", ".ci/run"])
def test_shell_scripts_parse_and_run(name):
    assert subprocess.run(["bash", "-n", ROOT / name], capture_output=True, timeout=30, check=False).returncode == 0
    assert "set -euo pipefail" in (ROOT / name).read_text()


@pytest.mark.parametrize(
    ("arguments", "address", "message"),
    [
        ([], "http://127.0.0.1:1", "which manifest"),
        (["configs/none.yaml"], "http://127.0.0.1:1", "no such manifest"),
        (["configs/smoke.yaml", "runs_dir=/data"], "", "which cluster"),
        (["configs/smoke.yaml"], "http://127.0.0.1:1", "runs_dir"),
        (["configs/smoke.yaml", "runs_dir=runs"], "http://127.0.0.1:1", "runs_dir"),
    ],
)
def test_submit_refuses_what_cannot_work(tmp_path, arguments, address, message):
    ray = tmp_path / "ray"
    ray.write_text("#!/bin/sh\nexit 99\n")
    ray.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RAY_API_SERVER_ADDRESS": address}
    done = subprocess.run(
        [CLUSTER / "submit.sh", *arguments], env=environment, capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False
    )
    assert done.returncode == 2
    assert message in done.stderr and len(done.stderr.splitlines()) == 1


def submit(tmp_path, *arguments: str, failures: int = 0, **environment: str) -> tuple[subprocess.CompletedProcess, list[str]]:
    """With a `ray` whose first jobs fail; also what was asked of it, a line per call."""
    calls, ray = tmp_path / "calls", tmp_path / "ray"
    ray.write_text(f'#!/bin/sh\necho "$@" >> {calls}\n[ $(wc -l < {calls}) -gt {failures} ]\n')
    ray.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "RAY_API_SERVER_ADDRESS": "http://127.0.0.1:1"} | environment
    command = [CLUSTER / "submit.sh", "configs/smoke.yaml", "runs_dir=/data", *arguments]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=30, check=False)
    return done, calls.read_text().splitlines() if calls.exists() else []


def test_a_submitted_run_goes_on_by_itself(tmp_path):
    done, calls = submit(tmp_path, "steps=3", failures=2, TRIES="5", SUBMISSION_ID="job")
    assert done.returncode == 0 and done.stderr.count("goes on from the newest complete checkpoint") == 2
    assert all(call.endswith("-- ib-lpo train configs/smoke.yaml runs_dir=/data steps=3 --resume=auto") for call in calls)
    assert [call.split("--submission-id ")[1].split()[0] for call in calls] == ["job", "job-2", "job-3"]


def test_a_job_that_fails_is_submitted_as_often_as_asked(tmp_path):
    done, calls = submit(tmp_path, failures=9)
    assert (done.returncode, len(calls)) == (1, 1)
    done, calls = submit(tmp_path, failures=9, TRIES="2")
    assert (done.returncode, len(calls)) == (1, 3)


@pytest.mark.parametrize("given", ["--fresh", "--dry-run", "--resume", "--resume=runs/x/checkpoints/step-000002"])
def test_what_is_given_stays_as_it_is(tmp_path, given):
    assert submit(tmp_path, given)[1][0].endswith(f"runs_dir=/data {given}")


def test_several_tries_cannot_all_begin_anew(tmp_path):
    done, calls = submit(tmp_path, "--fresh", TRIES="3")
    assert done.returncode == 2 and "each try would begin anew" in done.stderr and calls == []


def test_no_secret_and_no_open_dashboard_in_a_file_of_ours():
    texts = {path.name: path.read_text() for path in CLUSTER.iterdir() if path.is_file()}
    assert [
        name for name, text in texts.items() if re.search(r"^\s*(WANDB_API_KEY|HF_TOKEN|HUGGING_FACE_HUB_TOKEN)\s*[:=]", text, re.M)
    ] == []
    assert [name for name, text in texts.items() if "dashboard-host" in text and "0.0.0.0" in text] == ["kuberay-rayjob.yaml"]
    containers = [group["template"]["spec"]["containers"][0] for group in _groups()]
    assert all(container["envFrom"] == [{"secretRef": {"name": "ib-lpo-secrets", "optional": True}}] for container in containers)


def _groups() -> list[dict]:
    cluster = rayjob()["spec"]["rayClusterSpec"]
    return [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.cuda"])
def test_image_copies_what_is_there_before_it_installs(name):
    text = (ROOT / "docker" / name).read_text()
    copied = [source for line in text.splitlines() if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    before = text[: text.index("RUN python3 tools/setup_env.py")]
    assert all(part in before for part in ("pyproject.toml", "requirements", "tools/setup_env.py", "LICENSE"))
    assert not {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()} & set(copied)


def test_pods_are_given_longer_than_a_run_takes_to_save():
    grace = ClusterConfig().grace_s
    cluster = rayjob()["spec"]["rayClusterSpec"]
    for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        command = pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"]
        (waits,) = map(int, re.findall(r"seq (\d+)", command[-1]))
        assert grace < waits < pod["terminationGracePeriodSeconds"]
        assert subprocess.run([*command[:1], "-n", "-c", command[-1]], timeout=30, check=False).returncode == 0


def slurm_job(tmp_path: Path, driver: str) -> subprocess.Popen:
    """cluster/slurm.sbatch as its batch shell runs it, with stand-ins for Slurm and Ray; `driver` is what `ib-lpo` does."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    stands = {
        "srun": 'if [ "$1" = --overlap ]; then while [[ "$1" == --* ]]; do shift; done; else shift; fi; exec "$@"',
        "ray": 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"',
        "scontrol": 'if [ "$1" = show ]; then echo node1; else echo "$@" >> scontrol.log; fi',
        "getent": "echo 10.0.0.1 STREAM",
        "ib-lpo": driver,
    }
    for name, text in stands.items():
        (tmp_path / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_JOB_NODELIST": "node1", "SLURM_JOB_NUM_NODES": "1", "SLURM_JOB_ID": "7"}
    command = ["bash", str(CLUSTER / "slurm.sbatch"), "m.yaml", "name=a b"]
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}"} | job
    return subprocess.Popen(command, cwd=tmp_path, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_slurm_job_whose_time_is_nearly_over_asks_the_driver_alone_and_is_requeued(tmp_path):
    driver = "trap 'echo saved; exit 143' TERM; echo \"$@\"; while true; do sleep 0.05; done"
    job = slurm_job(tmp_path, driver)
    assert job.stdout.readline() == "train m.yaml name=a b --resume=auto\n"
    job.terminate()
    out, told = job.communicate(timeout=60)
    assert (job.returncode, out) == (143, "saved\n") and "the driver saves" in told
    assert (tmp_path / "scontrol.log").read_text() == "requeue 7\n"
    assert not list(tmp_path.glob("*.pid"))


@pytest.mark.parametrize(("code", "requeued"), [(0, False), (2, False), (3, True)])
def test_a_slurm_job_ends_with_the_code_of_its_driver(tmp_path, code, requeued):
    job = slurm_job(tmp_path, f"exit {code}")
    job.communicate(timeout=60)
    assert job.returncode == code and (tmp_path / "scontrol.log").exists() == requeued

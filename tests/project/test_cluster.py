"""cluster/ and docker/: the files agree with the manifests, with the pins and with Ray's own schemas."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

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
    assert job["spec"]["entrypoint"].startswith("ib-lpo train configs/") and "--resume" in job["spec"]["entrypoint"]
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


@pytest.mark.parametrize("name", ["Dockerfile.cpu", "Dockerfile.cuda"])
def test_image_copies_what_is_there_before_it_installs(name):
    text = (ROOT / "docker" / name).read_text()
    copied = [source for line in text.splitlines() if line.startswith("COPY ") for source in line.split()[1:-1]]
    assert [source for source in copied if not (ROOT / source).exists()] == []
    before = text[: text.index("RUN python3 tools/setup_env.py")]
    assert all(part in before for part in ("pyproject.toml", "requirements", "tools/setup_env.py", "LICENSE"))
    assert not {line.strip("/") for line in (ROOT / ".dockerignore").read_text().splitlines()} & set(copied)

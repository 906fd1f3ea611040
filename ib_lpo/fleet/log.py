"""A worker's stderr, kept in a file: `<log_dir>/<worker>.err`.

The worker's file descriptor 2 is the file, so that what C libraries print is there, and all of it even after a SIGKILL. The file is
begun anew by every worker of that name and stays below MOST_BYTES between two calls; secrets in it are overwritten with asterisks after
each call, and by whoever reads it.
"""

import os
import sys
from pathlib import Path

from ib_lpo.redaction import redact, secret_spans

MOST_BYTES = 8 << 20
_KEPT_BYTES = 1 << 16  # of a file that grew beyond that
_READ_BYTES = 1 << 15  # that a tail is looked for in
_OVERLAP = 1 << 12  # bytes looked at once more: a secret may have been half written
_TAIL_LINES = 10
_LINE_CHARS = 240
_RAY_MARKS = (":actor_name:", ":job_id:", ":task_name:")  # that Ray puts between the lines


class StderrFile:
    """Of this process; there is one at most."""

    def __init__(self, path: Path):
        """Send this process's stderr there from now on. Raises OSError when the file cannot be written."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        sys.stderr.flush()
        os.dup2(descriptor, 2)
        os.close(descriptor)
        self.path = path
        self._clean = 0  # bytes that hold no secret

    def tidy(self) -> None:
        """Hide the secrets of what was written since the last time, and cut a file that grew too long. Costs one system call when nothing
        was written."""
        size = os.fstat(2).st_size
        if size == self._clean:
            return
        self._clean = hide_secrets(self.path, max(0, self._clean - _OVERLAP))
        if size > MOST_BYTES:
            last = self.path.read_bytes()[-_KEPT_BYTES:]
            os.ftruncate(2, 0)
            self._clean = os.write(2, last)


def hide_secrets(path: Path, start: int = 0) -> int:
    """Overwrite the secrets from byte `start` on, in place; returns where the file ends."""
    with path.open("r+b") as file:
        file.seek(start)
        data = file.read()
        text = data.decode("utf-8", "surrogateescape")
        seen, at = 0, start  # characters, and the byte of the file where the next one is
        for begin, end in secret_spans(text):
            before, secret = (len(text[a:b].encode("utf-8", "surrogateescape")) for a, b in ((seen, begin), (begin, end)))
            file.seek(at + before)
            file.write(b"*" * secret)
            seen, at = end, at + before + secret
    return start + len(data)


def tail(path: Path | None) -> str:
    """The last lines of a worker's stderr, indented, each on a new line; "" without a file, or where nothing was printed."""
    if path is None:
        return ""
    try:
        hide_secrets(path)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _READ_BYTES))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"\n  its stderr, {path}, cannot be read ({error.strerror}); choose a runs_dir that every machine sees"
    printed = (line.rstrip() for line in redact(text).splitlines())
    lines = [line[:_LINE_CHARS] for line in printed if line and not line.startswith(_RAY_MARKS)][-_TAIL_LINES:]
    if not lines:
        return ""
    return "".join([f"\n  the end of its stderr, {path}:", *(f"\n  | {line}" for line in lines)])

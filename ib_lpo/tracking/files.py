"""JSON lines by step, and files that are replaced whole.

A step's lines stand in their file once: whoever goes on from a checkpoint first drops what was written after it. Lines are on disk, as
far as another process can see, when `add` returns.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO


class StepLines:
    """An append-only file of JSON objects with a `step`. The file is there from the first line on."""

    def __init__(self, path: Path, resume_from: int | None) -> None:
        """`resume_from`: the last step whose lines stay; None starts the file anew."""
        self.path = path
        self._file: TextIO | None = None
        kept = [] if resume_from is None else [line for line in read_metrics(path) if line["step"] <= resume_from]
        if kept or path.exists():
            replace_text(path, _text(kept))

    def add(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Append lines, in one write."""
        text = _text(lines)
        if not text:
            return
        if self._file is None:
            self._file = self.path.open("a", encoding="utf-8")
        self._file.write(text)
        self._file.flush()

    def close(self) -> None:
        """Idempotent."""
        if self._file is not None:
            self._file.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl or rollouts.jsonl, [] without a file. A last line that a killed process left half-written is skipped."""
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8").rpartition("\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def replace_text(path: Path, text: str) -> None:
    """Write `text` so that a reader, or a crash, sees the old file or the new one and nothing between."""
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def _text(lines: Iterable[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(line) + "\n" for line in lines)

"""Reads what wandb wrote offline: records of wandb's own protocol in the log format of LevelDB, after a header of 7 bytes.

wandb's own process may still be writing: a fragment counts when all of it is there and its checksum is right, and reading ends before the
first one that is not.
"""

import json
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

_BLOCK, _HEADER, _FRAGMENT = 32768, 7, struct.Struct("<IHB")  # checksum, length, kind
_FULL, _FIRST, _LAST = 1, 2, 4


def records(content: bytes) -> Iterator[Record]:
    """All whole records at the beginning of what a .wandb file holds so far, in order."""
    at, parts = _HEADER, []
    assert content[:4] == b":W&B"[: len(content)]
    while at + _FRAGMENT.size <= len(content):
        room = _BLOCK - at % _BLOCK
        if room < _FRAGMENT.size:
            at += room
            continue
        checksum, length, kind = _FRAGMENT.unpack_from(content, at)
        at += _FRAGMENT.size
        fragment = content[at : at + length]
        if len(fragment) < length or zlib.crc32(bytes([kind]) + fragment) != checksum:
            return
        parts = [*([] if kind in (_FULL, _FIRST) else parts), fragment]
        at += length
        if kind in (_FULL, _LAST):
            record = Record()
            record.ParseFromString(b"".join(parts))
            yield record


class OfflineRun:
    """The newest offline run under a run directory; waits for its end, which wandb's own process writes after `finish` has returned."""

    def __init__(self, run_dir: Path, deadline_s: float = 120):
        self.folder = max(path for path in (run_dir / "wandb").iterdir() if path.name.startswith("offline-run-"))
        (file,) = self.folder.glob("*.wandb")
        begun = time.monotonic()
        while True:
            self._records = list(records(file.read_bytes()))
            found = [record.WhichOneof("record_type") for record in self._records]
            if "exit" in found:
                return
            assert time.monotonic() < begun + deadline_s, f"{file}: no end after {deadline_s} s, only {found}"
            time.sleep(0.05)

    @property
    def history(self) -> list[dict[str, Any]]:
        """What was logged, one mapping per step, with `_step`; nested names with dots."""
        lines = (record.history for record in self._records if record.WhichOneof("record_type") == "history")
        return [{".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in line.item} for line in lines]

    @property
    def best(self) -> dict[str, str]:
        """By metric, which of its values the summary holds besides the last one."""
        found = (record.metric for record in self._records if record.WhichOneof("record_type") == "metric")
        return {metric.name: "max" if metric.summary.max else "min" for metric in found if metric.summary.max or metric.summary.min}

    @property
    def run(self) -> Any:
        """wandb's record of the run: id, project, notes, config."""
        return next(record.run for record in self._records if record.WhichOneof("record_type") == "run")

    def table(self, step: int) -> list[dict[str, Any]]:
        """Rows of the table `rollouts` of a step."""
        (logged,) = [line for line in self.history if line["_step"] == step]
        assert logged["rollouts._type"] == "table-file"
        held = json.loads((self.folder / "files" / logged["rollouts.path"]).read_text())
        return [dict(zip(held["columns"], row, strict=True)) for row in held["data"]]

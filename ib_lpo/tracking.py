"""Metrics of a run: one line per step in metrics.jsonl, which is the record, and a copy to wandb, which may fail.

Each step stands in metrics.jsonl once: a resumed run first drops what was written after its checkpoint. A wandb failure is
logged, counted in `tracking/wandb_failures` of every later line, and never stops training. A number that is not finite is
written as null and counted in `tracking/non_finite`.
"""

import json
import logging
import math
import os
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ib_lpo.manifest import Manifest, dump

log = logging.getLogger(__name__)


class Tracker:
    """The only writer of a run directory's manifest.yaml, metrics.jsonl and wandb/."""

    def __init__(self, run_dir: Path, manifest: Manifest, resume_from: int | None = None) -> None:
        """`resume_from`: the last step of the checkpoint that is gone on from; None starts metrics.jsonl anew."""
        run_dir.mkdir(parents=True, exist_ok=True)
        replace_text(run_dir / "manifest.yaml", dump(manifest))
        self.path = run_dir / "metrics.jsonl"
        kept = [] if resume_from is None else [line for line in read_metrics(self.path) if line["step"] <= resume_from]
        replace_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._file = self.path.open("a", encoding="utf-8")
        self._wandb = _Wandb(run_dir, manifest)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Write one step's metrics; on return they are in the file."""
        finite = {name: _number(value) for name, value in metrics.items()}
        lost = sum(value is None for value in finite.values())
        if lost:
            finite["tracking/non_finite"] = lost
        self._wandb.log(step, {name: value for name, value in finite.items() if value is not None})
        if self._wandb.failures:
            finite["tracking/wandb_failures"] = self._wandb.failures
        self._file.write(json.dumps({"step": step, **finite}) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Finish the files. Idempotent."""
        self._file.close()
        self._wandb.close()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl, [] without a file. A last line that a killed process left half-written is skipped."""
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


class _Wandb:
    """One wandb run, the same one after a resume. Gets the manifest and metrics: no environment, git remote, code or console."""

    def __init__(self, run_dir: Path, manifest: Manifest) -> None:
        self.failures = 0
        self._run: Any = None
        if manifest.tracking.wandb == "disabled":
            return
        import wandb

        settings = wandb.Settings(
            console="off", disable_code=True, disable_git=True, save_code=False, silent=True, x_disable_meta=True, x_save_requirements=False
        )
        with _Counted(self, "init"):
            self._run = wandb.init(
                project=manifest.tracking.project,
                name=manifest.name,
                id=_run_id(run_dir),
                resume="allow",
                dir=run_dir,
                mode=manifest.tracking.wandb,
                config=manifest.model_dump(mode="json"),
                settings=settings,
            )

    def log(self, step: int, metrics: dict[str, float]) -> None:
        if self._run is not None:
            with _Counted(self, f"log of step {step}"):
                self._run.log(metrics, step=step)

    def close(self) -> None:
        run, self._run = self._run, None
        if run is not None:
            with _Counted(self, "finish"):
                run.finish()


class _Counted:
    """Turns wandb's failures inside the block into a log line and a count."""

    def __init__(self, owner: _Wandb, action: str) -> None:
        self._owner, self._action = owner, action

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        import wandb.errors
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        expected = (wandb.errors.Error, HandleAbandonedError, MailboxClosedError, OSError, TimeoutError)
        if not isinstance(error, expected):
            return False
        self._owner.failures += 1
        log.warning("wandb %s failed (%s); metrics.jsonl is complete without it", self._action, " ".join(str(error).split()))
        return True


def _run_id(run_dir: Path) -> str:
    """The id of this run directory's wandb run, kept so that a resumed run continues it."""
    path = run_dir / "wandb_id"
    if not path.exists():
        replace_text(path, uuid.uuid4().hex[:12])
    return path.read_text().strip()


def _number(value: float) -> float | int | None:
    """A plain number from a Python, numpy or 0-d tensor one; None when it is not finite."""
    plain = value.item() if hasattr(value, "item") else value
    return plain if math.isfinite(plain) else None

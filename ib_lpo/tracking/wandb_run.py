"""The copy of the record in wandb, which may fail: a failure is logged and counted, and never stops training.

It gets the manifest, metrics and rollouts: no environment, git remote, code or console.
"""

import logging
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ib_lpo.manifest import Manifest
from ib_lpo.metrics.registry import describe
from ib_lpo.redaction import redact
from ib_lpo.tracking.files import replace_text
from ib_lpo.tracking.rollouts import Row, shortened

log = logging.getLogger(__name__)


class WandbRun:
    """One wandb run, the same one after a resume. With `tracking.wandb: disabled` it does nothing and imports nothing."""

    def __init__(self, run_dir: Path, manifest: Manifest) -> None:
        self.failures = 0
        self._run: Any = None
        self._seen: set[str] = set()
        self._run_dir = run_dir
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
                notes=manifest.tracking.notes or None,
                id=_run_id(run_dir),
                resume="allow",
                dir=run_dir,
                mode=manifest.tracking.wandb,
                config=manifest.model_dump(mode="json"),
                settings=settings,
            )

    def log(self, step: int, metrics: Mapping[str, float], rollouts: Sequence[Row]) -> None:
        """A step's metrics, and its rollouts as the table `rollouts`; each is tried, whatever becomes of the other."""
        if self._run is None:
            return
        with _Counted(self, f"log of step {step}"):
            self._define(metrics)
            self._run.log(dict(metrics), step=step)
        if rollouts:
            with _Counted(self, f"table of step {step}"), _staged(self._run_dir):
                self._run.log({"rollouts": _table(rollouts)}, step=step)

    def close(self) -> None:
        """Idempotent."""
        run, self._run = self._run, None
        if run is not None:
            with _Counted(self, "finish"):
                run.finish()

    def _define(self, metrics: Mapping[str, float]) -> None:
        """Have wandb's summary hold the best value besides the last one of every metric that has a best one."""
        for name in metrics.keys() - self._seen:
            self._seen.add(name)
            metric = describe(name)
            if metric is not None and metric.best is not None:
                self._run.define_metric(name, summary=f"last,{metric.best}")


class _Counted:
    """Turns wandb's failures inside the block into a log line and a count."""

    def __init__(self, owner: WandbRun, action: str) -> None:
        self._owner, self._action = owner, action

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> bool:
        import wandb.errors
        from wandb.sdk.mailbox import HandleAbandonedError, MailboxClosedError

        expected = (wandb.errors.Error, HandleAbandonedError, MailboxClosedError, OSError, TimeoutError)
        if not isinstance(error, expected):
            return False
        self._owner.failures += 1
        reason = redact(" ".join(str(error).split()))
        log.warning("wandb %s failed (%s); the files of the run are complete without it", self._action, reason)
        return True


def _table(rollouts: Sequence[Row]) -> Any:
    import wandb

    rows = [row | {"text": shortened(row["text"])} for row in rollouts]
    return wandb.Table(columns=list(rows[0]), data=[list(row.values()) for row in rows], allow_mixed_types=True)


@contextmanager
def _staged(run_dir: Path) -> Iterator[None]:
    """Have wandb keep what a table's upload needs, until it has happened, under the run directory, and not under the user's home. A
    WANDB_DATA_DIR that is set stays."""
    if "WANDB_DATA_DIR" in os.environ:
        yield
        return
    os.environ["WANDB_DATA_DIR"] = str((run_dir / "wandb" / "data").resolve())
    try:
        yield
    finally:
        del os.environ["WANDB_DATA_DIR"]


def _run_id(run_dir: Path) -> str:
    """The id of this run directory's wandb run, kept so that a resumed run continues it."""
    path = run_dir / "wandb_id"
    if not path.exists():
        replace_text(path, uuid.uuid4().hex[:12])
    return path.read_text().strip()

"""All checkpoints of one run: written, compared, pruned and uploaded.

Invariant: the newest `checkpoint.keep`, the best one and whatever is being uploaded are on disk. The driver is the only one that writes; a
call waits for the disk and never for an upload, `close` alone does.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ib_lpo.checkpoints.best import best_of, point, rank_of
from ib_lpo.checkpoints.config import CheckpointConfig
from ib_lpo.checkpoints.directory import Checkpoint, add, complete, prune, set_later_aside
from ib_lpo.checkpoints.upload import UPLOADED, Uploader
from ib_lpo.progress import say


class Checkpoints:
    """`runs/<name>/checkpoints`."""

    def __init__(self, root: Path, config: CheckpointConfig, *, name: str):
        """`name`: the run's. Changes nothing on disk."""
        self._root, self._config = root, config
        self._uploader = None if config.upload is None else Uploader(config.upload, name=name, deadline_s=config.upload_deadline_s)
        self._unranked = 0

    def go_on_from(self, found: Checkpoint) -> None:
        """Begin a run that resumes: later checkpoints are set aside, and `found` is uploaded unless that was finished before."""
        set_later_aside(self._root, found.step)
        point(self._root, best_of(complete(self._root), self._config))
        if self._uploader is not None and not (found.path / UPLOADED).exists():
            self._uploader.submit(found.path, found.step)

    def write(self, step: int, fill: Callable[[Path], None], state: Mapping[str, Any], metrics: Mapping[str, float]) -> Path:
        """Save `step`: `fill` fills the directory, `state` is its JSON, `metrics` the line that checkpoint.best is looked up in."""
        rank = rank_of(metrics, self._config)
        if self._config.best is not None and not rank:
            self._tell_unranked(step)
        path = add(self._root, step, fill, {**state, **rank})
        if self._uploader is not None:
            self._uploader.submit(path, step)
        self._prune()
        return path

    def metrics(self) -> dict[str, float]:
        """`checkpoint/...` counts since the process started, of what is configured; also looks after uploads, so call it every step."""
        counts: dict[str, float] = {} if self._config.best is None else {"checkpoint/unranked": float(self._unranked)}
        if (uploader := self._uploader) is not None:
            uploader.poll()
            counts |= {
                "checkpoint/uploads": float(uploader.uploads),
                "checkpoint/upload_failures": float(uploader.failures),
                "checkpoint/uploads_superseded": float(uploader.superseded),
            }
        return counts

    def close(self, *, wait: bool = True) -> None:
        """End uploads: wait for them up to checkpoint.upload_deadline_s, or stop them at once, which a resumed run makes up for."""
        if self._uploader is not None:
            self._uploader.close(wait=wait)
            if self._root.exists():
                self._prune()

    def _prune(self) -> None:
        best = best_of(complete(self._root), self._config)
        point(self._root, best)
        spared = ({best.path} if best else set()) | (self._uploader.busy if self._uploader else set())
        prune(self._root, self._config.keep, spared)

    def _tell_unranked(self, step: int) -> None:
        self._unranked += 1
        if self._unranked == 1:
            say(
                f"checkpoint.best={self._config.best}: step {step} has no finite value of it, so its checkpoint is compared with no other; "
                "name a metric of docs/metrics.md that is measured in every step that is saved"
            )

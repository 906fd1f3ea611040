"""The record of a run: one line per step in metrics.jsonl, samples of trajectories in rollouts.jsonl, and a copy to wandb, which may fail.

Each step stands in both files once: a resumed run first drops what was written after its checkpoint. A number that is not finite is
written as null and counted in `tracking/non_finite`, a metric that ib_lpo/metrics does not name is written and counted in
`tracking/unnamed`, and wandb's failures are counted in `tracking/wandb_failures` of every later line.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ib_lpo.manifest import Manifest, dump
from ib_lpo.metrics.registry import describe
from ib_lpo.tracking.files import StepLines, replace_text
from ib_lpo.tracking.rollouts import Row
from ib_lpo.tracking.wandb_run import WandbRun


class Tracker:
    """The only writer of a run directory's manifest.yaml, metrics.jsonl, rollouts.jsonl and wandb/."""

    def __init__(self, run_dir: Path, manifest: Manifest, resume_from: int | None = None) -> None:
        """`resume_from`: the last step of the checkpoint that is gone on from; None starts the files anew."""
        run_dir.mkdir(parents=True, exist_ok=True)
        replace_text(run_dir / "manifest.yaml", dump(manifest))
        self._metrics = StepLines(run_dir / "metrics.jsonl", resume_from)
        self._rollouts = StepLines(run_dir / "rollouts.jsonl", resume_from)
        self._wandb = WandbRun(run_dir, manifest)

    @property
    def path(self) -> Path:
        """metrics.jsonl."""
        return self._metrics.path

    def log(self, step: int, metrics: Mapping[str, float], rollouts: Sequence[Row] = ()) -> None:
        """Write one step's metrics and rollouts; on return they are in the files."""
        finite = {name: _number(value) for name, value in metrics.items()}
        rows = [{name: _finite(value) for name, value in row.items()} for row in rollouts]
        lost = _lost(metrics, finite) + sum(_lost(row, kept) for row, kept in zip(rollouts, rows, strict=True))
        unnamed = sum(describe(name) is None for name in metrics)
        finite |= {name: count for name, count in (("tracking/non_finite", lost), ("tracking/unnamed", unnamed)) if count}
        self._rollouts.add(rows)
        self._wandb.log(step, {name: value for name, value in finite.items() if value is not None}, rows)
        if self._wandb.failures:
            finite["tracking/wandb_failures"] = self._wandb.failures
        self._metrics.add([{"step": step, **finite}])

    def close(self) -> None:
        """Finish the files. Idempotent."""
        self._metrics.close()
        self._rollouts.close()
        self._wandb.close()

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _number(value: float) -> float | int | None:
    """A plain number from a Python, numpy or 0-d tensor one; None when it is not finite."""
    return _finite(value.item() if hasattr(value, "item") else value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _lost(before: Mapping[str, Any], after: Mapping[str, Any]) -> int:
    return sum(after[name] is None and value is not None for name, value in before.items())

"""A run directory as its readers see it: manifest, metrics, trees and checkpoints of a run that is over, under way or killed.

Nothing here writes. What is missing or damaged is one line that names the file.
"""

import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, load_recorded
from ib_lpo.tracking import read_metrics
from ib_lpo.tree import RolloutTree
from ib_lpo.tree_store import read_rows, read_trees

Read = TypeVar("Read")
_TREES = re.compile(r"step-(\d+)\.parquet")


class RunDirectory:
    """`runs/<name>/`."""

    def __init__(self, path: Path):
        """Raises UserError when `path` is no run directory."""
        self.path = path
        recorded = path / "manifest.yaml"
        if not recorded.exists():
            raise UserError(f"{path}: no run directory (no manifest.yaml in it); give one that `ib-lpo train` wrote, such as runs/smoke")
        try:
            self.manifest: Manifest = load_recorded(recorded)
        except UserError as error:
            problems = "; ".join(str(error).splitlines())
            raise UserError(f"{recorded}: not a manifest that this version of ib_lpo reads ({problems})") from None

    @property
    def name(self) -> str:
        return self.manifest.name

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, oldest first; step 0 is the starting policy. Raises UserError when there are none."""
        recorded = self.path / "metrics.jsonl"
        try:
            lines = read_metrics(recorded)
        except (ValueError, OSError) as error:
            raise UserError(f"{recorded}: cannot be read ({error}); the file is damaged") from None
        if not lines:
            raise UserError(f"{self.path}: metrics.jsonl holds no step yet; train the run, or wait for its first step")
        return lines

    @property
    def steps(self) -> list[int]:
        """Steps whose trees are on disk, ascending."""
        named = (_TREES.fullmatch(path.name) for path in (self.path / "trees").glob("step-*.parquet"))
        return sorted(int(match[1]) for match in named if match)

    @property
    def recorded_steps(self) -> list[int]:
        """Steps with a line in metrics.jsonl and trees on disk, ascending; trees without a line are leftovers of a run that was killed and
        goes on from before. Raises as `metrics`."""
        lines = {line["step"] for line in self.metrics()}
        return [step for step in self.steps if step in lines]

    def trees_path(self, step: int) -> Path:
        """Where the trees of `step` lie."""
        return self.path / "trees" / f"step-{step:06d}.parquet"

    def trees(self, step: int, only: Collection[int] | None = None) -> list[RolloutTree]:
        """The trees of `step`; with `only`, those with these indices in their file. Raises UserError when there are none, or the file is
        damaged."""
        return self._read(step, lambda path: read_trees(path, only))

    def rows(self, step: int, columns: Sequence[str]) -> list[dict[str, Any]]:
        """Some columns of the trees of `step`, a row per trajectory (tree_store.read_rows). Raises as `trees`."""
        return self._read(step, lambda path: read_rows(path, columns))

    def _read(self, step: int, read: Callable[[Path], Read]) -> Read:
        path = self.trees_path(step)
        try:
            return read(path)
        except FileNotFoundError:
            steps = self.steps
            there = f"it has those of {len(steps)} steps from {steps[0]} to {steps[-1]}" if steps else "it has none of any step"
            raise UserError(f"{self.path}: no trees of step {step}; {there}") from None
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: cannot be read as parquet ({' '.join(str(error).split())}); the file is damaged") from None

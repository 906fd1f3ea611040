"""A run directory as its readers see it: manifest, metrics, trees and checkpoints of a run that is over, under way or killed.

Nothing here writes. What is missing or damaged is one line that names the file.
"""

import re
from pathlib import Path
from typing import Any

import pyarrow as pa

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, load
from ib_lpo.tracking import read_metrics
from ib_lpo.tree import RolloutTree
from ib_lpo.tree_store import read_trees

_TREES = re.compile(r"step-(\d+)\.parquet")


class RunDirectory:
    """`runs/<name>/`."""

    def __init__(self, path: Path):
        """Raises UserError when `path` is no run directory."""
        self.path = path
        recorded = path / "manifest.yaml"
        if not recorded.exists():
            raise UserError(f"{path}: no run directory (no manifest.yaml in it); give one that `ib-lpo train` wrote, such as runs/smoke")
        self.manifest: Manifest = load(recorded)

    @property
    def name(self) -> str:
        return self.manifest.name

    def metrics(self) -> list[dict[str, Any]]:
        """The lines of metrics.jsonl, oldest first; step 0 is the starting policy. Raises UserError when there are none."""
        lines = read_metrics(self.path / "metrics.jsonl")
        if not lines:
            raise UserError(f"{self.path}: metrics.jsonl holds no step yet; train the run, or wait for its first step")
        return lines

    @property
    def steps(self) -> list[int]:
        """Steps whose trees are on disk, ascending."""
        named = (_TREES.fullmatch(path.name) for path in (self.path / "trees").glob("step-*.parquet"))
        return sorted(int(match[1]) for match in named if match)

    def trees(self, step: int) -> list[RolloutTree]:
        """The trees of `step`. Raises UserError when there are none, or the file is damaged."""
        path = self.path / "trees" / f"step-{step:06d}.parquet"
        try:
            return read_trees(path)
        except FileNotFoundError:
            steps = self.steps
            there = f"it has those of {len(steps)} steps from {steps[0]} to {steps[-1]}" if steps else "it has none of any step"
            raise UserError(f"{self.path}: no trees of step {step}; {there}") from None
        except (pa.ArrowException, OSError) as error:
            raise UserError(f"{path}: cannot be read as parquet ({' '.join(str(error).split())}); the file is damaged") from None

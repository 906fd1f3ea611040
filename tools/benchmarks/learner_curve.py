"""What tree packing gains over the share of tokens that trajectories have in common: tree_packing.csv and tree_packing.png."""

import csv
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.compare import Comparison
from benchmarks.learner_batch import BRANCHES, ROOTS, TreeSize

NAME = "tree_packing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One size of tree."""

    prompt: int  # tokens
    response: int  # tokens
    fork: int  # response tokens before the fork
    shared: float  # share of the flat tokens that the tree does not compute again
    ideal: float  # flat tokens / tree tokens
    speedup: float  # median flat time / median tree time

    @classmethod
    def of(cls, size: TreeSize, found: Comparison) -> "Point":
        return cls(**asdict(size), shared=size.shared, ideal=size.ideal, speedup=found.ratio("tree"))


def draw(points: list[Point], about: str, folder: Path) -> None:
    """Write the data and the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{NAME}.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, list(asdict(points[0])), lineterminator="\n")
        table.writeheader()
        table.writerows({name: round(value, 4) for name, value in asdict(point).items()} for point in points)
    _figure(points, about, folder / f"{NAME}.png")


def _figure(points: list[Point], about: str, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panel = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
    shared = np.linspace(0, max(point.shared for point in points) * 1.05, 100)
    panel.plot(shared, 1 / (1 - shared), color="grey", linestyle="--", label="ideal: flat tokens / tree tokens")
    for prompt in sorted({point.prompt for point in points}):
        mine = sorted((p.shared, p.speedup) for p in points if p.prompt == prompt)
        panel.plot(*zip(*mine, strict=True), marker="o", label=f"measured, prompt of {prompt} tokens")
    panel.set(
        xlabel="share of tokens that trajectories have in common",
        ylabel="flat time / tree time",
        title=f"Forward and backward of trees with M={ROOTS}, K={BRANCHES}, {about}",
    )
    panel.title.set_fontsize("medium")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
    figure.savefig(out, dpi=110)
    plt.close(figure)

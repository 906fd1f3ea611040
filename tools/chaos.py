"""Kill every part of a real run, again and again, and check that nothing is lost: prints a Markdown table for docs/reliability.md.

    python tools/chaos.py                                     every kind, 5 times each
    python tools/chaos.py --kind learner --kind driver --kills 3
    python tools/chaos.py --max-staleness 2

A tiny policy is trained by the command line on Ray. What must not change the numbers (all but engines, whose requests move, and graders,
whose item is dropped) is compared with an undisturbed run, bit for bit, when max_staleness is 0. Exits with 1 when anything is wrong.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import typer

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu", "TORCHDYNAMO_DISABLE": "1"}
os.environ |= {"HF_HUB_OFFLINE": "1", "RAY_AUTH_MODE": "disabled", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from kills.campaign import KINDS, Kill
from kills.moments import MOMENTS
from kills.table import HEADER, rows
from kills.trial import prepare, struck, undisturbed

TOGETHER = (("engine", "hang", "grader"), ("scorer", "verifier", "sampler", "learner"), ("driver",))
"""Kinds that are killed in the same synchronous run, in turn: those that may change the numbers, those that must not, the driver."""


def main(
    kills: Annotated[int, typer.Option(min=1, help="Kills of each kind; a hang is made once.")] = 5,
    kind: Annotated[list[str] | None, typer.Option(help=f"What to kill: {', '.join(KINDS)}; all when absent.")] = None,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
    max_staleness: Annotated[int, typer.Option(min=0, help="Steps that growing may run ahead of the learner.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of model, questions and runs; temporary when absent.")] = None,
) -> None:
    """Kill, check, report."""
    if unknown := [name for name in kind or () if name not in KINDS]:
        raise typer.BadParameter(f"{', '.join(unknown)}: choose from {', '.join(KINDS)}")
    folder = Path(tempfile.mkdtemp(prefix="chaos-")) if out is None else out.resolve()
    prepare(folder)
    groups = TOGETHER if max_staleness == 0 else (KINDS[:-1], KINDS[-1:])
    plans = [plan for group in groups if (plan := planned([name for name in group if name in (kind or KINDS)], kills))]
    steps = 10 + 8 * kills
    exact = max_staleness == 0 and any(name not in TOGETHER[0] for plan in plans for name, _ in plan)
    reference = undisturbed(folder, steps) if exact else None
    done: list[Kill] = []
    wrong: list[str] = []
    for number, plan in enumerate(plans):
        how = {"steps": steps, "seed": seed + number, "max_staleness": max_staleness}
        trial = struck(folder, f"struck-{number}", plan, **how, reference=reference)
        done += trial.kills
        wrong += trial.wrong
    print("\n".join([HEADER, *rows(done), *(f"WRONG {problem}" for problem in wrong)]), flush=True)
    raise typer.Exit(1 if wrong else 0)


def planned(kinds: Sequence[str], kills: int) -> list[tuple[str, str]]:
    """(kind, moment) of every kill, kinds in turn."""
    moments = list(islice(cycle(MOMENTS), kills))
    return [(kind, moment) for turn, moment in enumerate(moments) for kind in kinds if kind != "hang" or turn == 0]


if __name__ == "__main__":
    typer.run(main)

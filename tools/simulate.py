"""What the driver costs and how much engines idle, on simulated workers in virtual time; prints Markdown tables for docs/reliability.md.

python tools/simulate.py [--engines 256] [--largest 100000]
"""

import sys
import time
from pathlib import Path
from typing import Annotated

import typer

sys.path.insert(0, str(Path(__file__).resolve().parent))

from sim.scenario import Outcome, Scenario, simulate

from ib_lpo import progress
from ib_lpo.rollout import engines as rollout_engines


def main(
    engines: Annotated[int, typer.Option(help="Simulated rollout engines.")] = 256,
    largest: Annotated[int, typer.Option(help="Most trajectories in flight.")] = 100_000,
) -> None:
    """Three tables: staleness, deaths, size."""
    rollout_engines.say = lambda text: None  # thousands of deaths
    slots = 64 * engines
    print("| max_staleness | engine time idle | slots decoding | tokens by age, versions | minutes |\n|---|---|---|---|---|")
    for bound in (0, 1, 2, 4):
        o = _simulated(Scenario(engines=engines, in_flight=slots * (bound + 1) // 2, max_staleness=bound, steps=8))
        print(f"| {bound} | {o.idle:.1%} | {o.filled:.0%} | {_ages(o)} | {60 * o.hours:.1f} |", flush=True)
    print(
        "\n| mean time between deaths of an engine | deaths | requests issued again | lost | twice | engine time idle |\n|---|---|---|---|---|---|"
    )
    for minutes in (60.0, 15.0):
        o = _simulated(Scenario(engines=engines, in_flight=slots, max_staleness=2, steps=8, mtbf_s=60 * minutes))
        print(f"| {minutes:g} min | {o.deaths} | {o.reissued} | {o.lost} | {o.twice} | {o.idle:.1%} |", flush=True)
    print("\n| trajectories in flight | trajectories in all | driver, ms per trajectory | engine time idle |\n|---|---|---|---|")
    for in_flight in (1_000, 10_000, largest):
        o = _simulated(Scenario(engines=engines, in_flight=in_flight, max_staleness=2, steps=max(4, min(60, 120_000 // in_flight))))
        print(f"| {in_flight:,} | {o.trajectories:,} | {o.driver_ms:.3f} | {o.idle:.1%} |", flush=True)


def _simulated(scenario: Scenario) -> Outcome:
    began = time.monotonic()
    outcome = simulate(scenario)
    progress.get_console().print(f"{scenario}: {time.monotonic() - began:.0f} s", style="dim", highlight=False, soft_wrap=True)
    return outcome


def _ages(outcome: Outcome) -> str:
    return ", ".join(f"{age}: {share:.0%}" for age, share in sorted(outcome.staleness.items()))


if __name__ == "__main__":
    typer.run(main)

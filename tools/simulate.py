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

FEW = 16  # engines that even the fewest trajectories fill


def main(
    engines: Annotated[int, typer.Option(help="Simulated rollout engines.")] = 256,
    largest: Annotated[int, typer.Option(help="Most trajectories in flight.")] = 100_000,
) -> None:
    """Three tables: size, staleness, deaths."""
    rollout_engines.say = lambda text: None  # thousands of deaths
    _sizes(largest)
    _staleness(engines, largest)
    _deaths(engines)


def _sizes(largest: int) -> None:
    """More and more trajectories on as many engines."""
    _head("trajectories in flight", "engines", "trajectories in all", "driver, ms per trajectory")
    for in_flight in (largest // 100, largest // 10, largest):
        steps = max(3, min(100, largest // in_flight))
        o = _simulated(Scenario(engines=FEW, in_flight=in_flight, max_staleness=2, steps=steps))
        _row(f"{in_flight:,}", FEW, f"{o.trajectories:,}", f"{o.driver_ms:.3f}")


def _staleness(engines: int, largest: int) -> None:
    """Steps of one size, twice as many trajectories as the engines decode together; then larger ones."""
    names = ("engine time idle", "slots decoding", "tokens by age, versions", "seconds per step", "driver, ms per trajectory")
    _head("max_staleness", "in flight", *names)
    for bound, in_flight in (*((bound, 32 * engines * (bound + 1)) for bound in (0, 1, 2, 4)), (2, largest)):
        o = _simulated(Scenario(engines=engines, in_flight=in_flight, max_staleness=bound, steps=2 * bound + 4))
        _row(bound, f"{in_flight:,}", f"{o.idle:.1%}", f"{o.filled:.0%}", _ages(o), f"{o.step_s:.0f}", f"{o.driver_ms:.3f}")


def _deaths(engines: int) -> None:
    """One death in four is a silent one."""
    _head("mean time between deaths of an engine", "deaths", "requests issued again", "lost", "twice", "engine time idle")
    for minutes in (60, 15):
        o = _simulated(Scenario(engines=engines, in_flight=64 * engines, max_staleness=2, steps=9, mtbf_s=60.0 * minutes))
        _row(f"{minutes} min", o.deaths, o.reissued, o.lost, o.twice, f"{o.idle:.1%}")


def _simulated(scenario: Scenario) -> Outcome:
    began = time.monotonic()
    outcome = simulate(scenario)
    progress.get_console().print(f"{scenario}: {time.monotonic() - began:.0f} s", style="dim", highlight=False, soft_wrap=True)
    return outcome


def _head(*names: str) -> None:
    print()
    _row(*names)
    _row(*["---"] * len(names))


def _row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def _ages(outcome: Outcome) -> str:
    return ", ".join(f"{age}: {share:.0%}" for age, share in sorted(outcome.staleness.items()))


if __name__ == "__main__":
    typer.run(main)

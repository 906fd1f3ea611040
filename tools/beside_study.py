"""Put a run beside the committed results of a study: what other models and seeds came to at the same number of generated tokens.

    python tools/beside_study.py runs/smoke studies/ladder --task sums --variants grpo,distinct

Accuracy varies from one tiny model to the next by more than between variants, so one run alone says little.
"""

from pathlib import Path
from typing import Annotated

import typer

from ib_lpo.errors import UserError
from ib_lpo.run_directory import RunDirectory
from ib_lpo.study.curves import ACCURACY, end_of, value_at
from ib_lpo.study.record import Result, curve_of, read_result


def beside(curve: list[dict[str, float]], results: list[Result]) -> str:
    """One line: the run's accuracy where its record or the shortest of the results ends, and the range of each variant there.

    Raises UserError for a run without a held-out check, or for no results at all.
    """
    if not curve or not results:
        raise UserError("nothing to compare: " + ("there are no results of a study" if curve else "the run has no held-out check"))
    at = min(map(end_of, (curve, *(result.curve for result in results))))
    ranges = [f"{variant} {_range(results, variant, at)}" for variant in dict.fromkeys(result.variant for result in results)]
    where = ", ".join(sorted({result.processor for result in results}))
    own = value_at(curve, at)
    return (
        f"held-out accuracy {curve[0][ACCURACY]:.2f} -> {own:.2f} after {at:,.0f} generated tokens; "
        f"{len(results)} runs of the study there: {', '.join(ranges)} ({where})"
    )


def read_results(study: Path, task: str, variants: list[str]) -> list[Result]:
    """The committed results of these variants of a task, in their order. Raises UserError for a damaged file."""
    paths = [path for variant in variants for path in sorted(study.glob(f"results/{task}/{variant}/*.json"))]
    return [result for path in paths if (result := read_result(path)) is not None]


def _range(results: list[Result], variant: str, at: float) -> str:
    found = [value for r in results if r.variant == variant and (value := value_at(r.curve, at)) is not None]
    return f"{min(found):.2f} to {max(found):.2f}" if found else "none"


def main(
    run: Annotated[Path, typer.Argument(help="Run directory.")],
    study: Annotated[Path, typer.Argument(help="Directory of a study, with results/ in it.")],
    task: Annotated[str, typer.Option(help="Task of the study.")],
    variants: Annotated[str, typer.Option(help="Variants to show, separated by commas.")] = "grpo",
) -> None:
    """Print one line that puts RUN beside the results in STUDY."""
    try:
        print(beside(curve_of(RunDirectory(run).metrics()), read_results(study, task, variants.split(","))))
    except UserError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)

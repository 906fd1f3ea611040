"""Tables and figures of a study, from the results that are there."""

from collections.abc import Sequence

from ib_lpo.analysis.compare.manifests import differing
from ib_lpo.analysis.figures import write_csv
from ib_lpo.errors import UserError
from ib_lpo.progress import say
from ib_lpo.study.compare import compare
from ib_lpo.study.config import StudyConfig
from ib_lpo.study.failures import read_failure
from ib_lpo.study.figure import draw
from ib_lpo.study.layout import Layout
from ib_lpo.study.measures import common_budget
from ib_lpo.study.plan import PlannedRun
from ib_lpo.study.state import Standing, State, standings
from ib_lpo.study.table import HEADER, TaskResults, csv_rows, markdown


def write_report(study: StudyConfig, runs: Sequence[PlannedRun]) -> None:
    """Table, CSV and figure of every task. `runs`: all of the study. Raises UserError for results of other settings, and
    for a folder that cannot be written."""
    layout = Layout(study)
    found = standings(runs, layout)
    try:
        study.results_dir.mkdir(parents=True, exist_ok=True)
        for task in study.tasks:
            of = task_results(study, task, [one for one in found if one.run.task == task])
            write_csv(layout.page(task, ".csv"), HEADER, csv_rows(of))
            layout.page(task, ".md").write_text(markdown(of, f"{task}.png"), encoding="utf-8")
            draw(of, layout.page(task, ".png"))
            say(f"written: {layout.page(task, '.md')}, .csv, .png")
    except OSError as error:
        raise UserError(f"out={study.results_dir}: cannot be written ({error.strerror}); set out=<a folder of yours>") from None


def task_results(study: StudyConfig, task: str, found: Sequence[Standing]) -> TaskResults:
    """Of one task, from how far its runs are."""
    layout = Layout(study)
    there = {variant: [one.result for one in found if one.result is not None and one.run.variant == variant] for variant in study.variants}
    failures = {one.run.name: failure for one in found if one.state is not State.DONE and (failure := read_failure(one.run, layout))}
    budget = common_budget([result for of in there.values() for result in of], _limit(study, task, found))
    first = {variant: next(one.run.settings for one in found if one.run.variant == variant) for variant in study.variants}
    return TaskResults(
        task=task,
        study=study.name,
        baseline=study.baseline,
        budget=budget,
        notes={name: variant.note for name, variant in study.variants.items()},
        results=there,
        cells=compare({variant: of for variant, of in there.items() if of}, study.baseline, budget),
        failures=list(failures.values()),
        missing=[one.run.name for one in found if one.state is not State.DONE and one.run.name not in failures],
        differing=differing(first),
    )


def _limit(study: StudyConfig, task: str, found: Sequence[Standing]) -> int | None:
    """The study's budget, or else the one that all manifests of the task have in common."""
    if (limit := study.budget_of(task)) is not None:
        return limit
    own = {one.run.manifest.budget.generated_tokens for one in found}
    return own.pop() if len(own) == 1 else None

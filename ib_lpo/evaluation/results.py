"""Results of an evaluation: all numbers as JSON, tables for a page and a terminal. The paper's numbers have columns of their own."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from ib_lpo.evaluation.published import own_name, published_model, results_of
from ib_lpo.evaluation.summary import DIVERSITY, Summary
from ib_lpo.manifest import Manifest
from ib_lpo.tracking import replace_text

_ABSENT = "-"


def write_results(directory: Path, manifest: Manifest, summaries: list[Summary]) -> None:
    """results.json and results.md of the benchmarks that are complete; the others are named as incomplete."""
    replace_text(directory / "results.json", json.dumps(as_json(manifest, summaries), indent=1))
    parts = [f"### {table.title}\n\n{_markdown(table)}" for table in shown(manifest, summaries)]
    replace_text(directory / "results.md", "\n".join(parts))


def as_json(manifest: Manifest, summaries: list[Summary]) -> dict[str, Any]:
    """Rates are fractions with their 95 % intervals; the paper's rates are percent, as printed there."""
    config, found = manifest.evaluation, {summary.benchmark: summary for summary in summaries}
    keys = config.benchmarks
    return {
        "name": manifest.name,
        "seed": manifest.seed,
        "model": manifest.model.model_dump(mode="json"),
        "checkpoint": None if config.checkpoint is None else str(config.checkpoint),
        "settings": config.model_dump(mode="json") | {"max_response_tokens": manifest.rollout.max_response_tokens},
        "benchmarks": {
            name: asdict(found[name]) | {"complete": True} if name in found else {"benchmark": name, "complete": False} for name in keys
        },
        "published": {
            "model": published_model(manifest),
            "results": [asdict(one) for key in keys.values() for one in results_of(published_model(manifest), key.published)],
        },
    }


def shown(manifest: Manifest, summaries: list[Summary]) -> list[Table]:
    """The tables that have rows: ours, diversity, and ours beside the paper's."""
    found = [
        _ours(manifest, summaries),
        _diversity(summaries, manifest.evaluation.diversity_samples),
        _beside_the_paper(manifest, summaries),
    ]
    return [table for table in found if table.row_count]


def _ours(manifest: Manifest, summaries: list[Summary]) -> Table:
    config = manifest.evaluation
    how = "with a z of its own for every sample" if config.latents == "prompt" else "without z"
    what = f"{manifest.model.path}, {config.checkpoint}" if config.checkpoint else manifest.model.path
    title = f"{what}: sampled {how} at temperature {config.temperature:g}; means over all questions with 95 % intervals, rates in percent"
    named = (name for s in summaries for name in s.estimates if not name.startswith(DIVERSITY))
    names = {name for name in named if not name.endswith("@1")}  # pass@1 is avg@n
    counts = {"questions": lambda s: s.questions, "n": lambda s: s.samples}
    lost = {"samples without an answer": lambda s: s.no_answer, "samples unverifiable": lambda s: s.unverifiable}
    table = _table(title, ["", *(s.benchmark for s in summaries)])
    for name, of in counts.items():
        table.add_row(name, *(f"{of(s):,}" for s in summaries))
    for name in sorted(names, key=_place):
        table.add_row("avg@n" if name == "avg" else name, *(_cell(name, s) for s in summaries))
    if any(s.uncompared for s in summaries):
        lost["spellings not compared"] = lambda s: s.uncompared
    for name, of in lost.items():
        table.add_row(name, *(f"{of(s):,}" for s in summaries))
    return table


def _place(name: str) -> tuple[int, int]:
    """Where a row stands: pass@k by k, then maj@k by k."""
    kind, _, k = name.partition("@")
    return ("avg", "pass", "maj", "tokens", "truncated").index(kind), int(k or 0)


def _cell(name: str, s: Summary) -> str:
    e = s.estimates.get(name)
    if e is None:
        return _ABSENT
    return e.shown(",.0f") if name == "tokens" else e.shown(".1f", scale=100)


def _diversity(summaries: list[Summary], most: int) -> Table:
    measured = [s for s in summaries if any(name.startswith(DIVERSITY) for name in s.estimates)]
    names = list(dict.fromkeys(name for s in measured for name in s.estimates if name.startswith(DIVERSITY)))
    title = f"diversity of the first {most} samples of a question; means over questions with 95 % intervals"
    table = _table(title, ["", *(s.benchmark for s in measured)])
    for name in names:
        cells = (e.shown(".3f") if (e := s.estimates.get(name)) else _ABSENT for s in measured)
        table.add_row(name.removeprefix(DIVERSITY), *cells)
    return table


def _beside_the_paper(manifest: Manifest, summaries: list[Summary]) -> Table:
    """P@1 / P@k / tokens as the paper prints them, a column for us and one per method of the paper; ours at the paper's k if it was
    measured."""
    model, keys = published_model(manifest), manifest.evaluation.benchmarks
    known = {s.benchmark: {one.method: one for one in results_of(model, keys[s.benchmark].published)} for s in summaries}
    methods = list(dict.fromkeys(method for of in known.values() for method in of))
    table = _table(_caption(manifest, model), ["benchmark", "k", "ours", *(f"paper: {method}" for method in methods)])
    for s in summaries:
        theirs = known[s.benchmark]
        if not theirs:
            continue
        k = next(iter(theirs.values())).k
        at_k = s.estimates.get(f"pass@{k}")
        own = [100 * s.estimates["avg"].mean, None if at_k is None else 100 * at_k.mean, s.estimates["tokens"].mean]
        printed = [[one.pass_at_1, one.pass_at_k, one.tokens] if (one := theirs.get(method)) else None for method in methods]
        table.add_row(s.benchmark, str(k), *(_ABSENT if row is None else _three(row) for row in (own, *printed)))
    return table


def _three(row: list[float | None]) -> str:
    at_1, at_k, tokens = row
    return f"{at_1:.1f} / {_ABSENT if at_k is None else format(at_k, '.1f')} / {tokens:,.0f}"


def _caption(manifest: Manifest, model: str | None) -> str:
    other = "" if own_name(manifest) == model else f"; ours is ANOTHER model, {own_name(manifest)}: the columns are not comparable"
    return f"P@1 / P@k in percent / tokens. The paper's columns (arXiv 2601.05870) are its own runs on {model}, as printed there{other}"


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    return table


def _markdown(table: Table) -> str:
    """A rich table as Markdown."""
    columns = [list(column.cells) for column in table.columns]
    rule = ["---" if column.justify == "left" else "---:" for column in table.columns]
    rows = [[str(column.header) for column in table.columns], rule, *map(list, zip(*columns, strict=True))]
    return "".join(f"| {' | '.join(str(cell) for cell in row)} |\n" for row in rows)

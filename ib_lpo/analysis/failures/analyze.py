"""`ib-lpo analyze failures`: what goes wrong in a run's trajectories of low S_IB (method.md section 2), with examples.

<out>/failures.png           modes over steps, S_IB, reward, length, place of the evidence
<out>/failures_summary.csv   the figure's numbers
<out>/failures.csv           a row per low trajectory
<out>/failures.md            the clearest examples of each mode, the evidence marked
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich import get_console
from rich.table import Table

from ib_lpo.analysis.failures.examples import CLOSE, FORK, OPEN, SHOWN, choose, entry, evidence_of, marked, rule
from ib_lpo.analysis.failures.figure import draw_failures
from ib_lpo.analysis.failures.rows import COLUMNS, Scored, Scores, compared, csv_rows, scored
from ib_lpo.analysis.failures.summary import Kind, summarised, summary_rows
from ib_lpo.analysis.figures import write_csv
from ib_lpo.analysis.runs.directories import open_runs, recorded_steps, results_folder, rows_of
from ib_lpo.analysis.runs.intervals import INTERVALS, shown
from ib_lpo.errors import UserError
from ib_lpo.progress import say
from ib_lpo.run_directory import RunDirectory
from ib_lpo.scoring.answer_span import Decode

EXAMPLES = 5
"""Of each kind."""
_TEXT = ("id", "tree", "question_text", "question_answer", "prefix_ids", "token_ids")


def analyze(path: Path, out: Path | None) -> Path:
    """Figure, table, CSV and examples of the run; returns the folder. Raises UserError for a run that cannot be read or has no scores."""
    ((label, run),) = open_runs([path]).items()
    steps, below = recorded_steps(run), run.manifest.ib.failures.below
    if run.manifest.ib.estimator == "none":
        raise UserError(
            f"{path}: its trajectories have no S_IB (ib.estimator=none), so none of them is low; analyze a run with an estimator"
        )
    decode = _decoder(run)
    scores = compared([one for step, rows in rows_of(label, run, steps, COLUMNS) for one in scored(step, rows, below)])
    if not scores.members:
        raise UserError(f"{path}: no trajectory of its trees has an S_IB; analyze a run whose ib.estimator was on")
    kinds, about = summarised(scores), _about(label, scores, below)
    page = _page(label, about, _examples(run, scores.members, decode))
    with results_folder([path], out) as folder:
        write_csv(folder / "failures.csv", *csv_rows(scores.members))
        write_csv(folder / "failures_summary.csv", *summary_rows(kinds, scores.group))
        caption = f"{about}\nMeans over questions; bars: {INTERVALS}"
        draw_failures(kinds, caption, below, folder / "failures.png")
        (folder / "failures.md").write_text(page, encoding="utf-8")
    get_console().print(_table(kinds, scores, below))
    say(about)
    say(f"written to {folder}: failures.png, failures_summary.csv, failures.csv, failures.md")
    return folder


def _about(label: str, scores: Scores, below: float) -> str:
    low, questions = sum(one.low for one in scores.members), len({one.question for one in scores.members})
    parts = [
        f"{label}: {low:,} of {len(scores.members):,} scored {scores.group} of {questions} questions are low (S_IB < {below:g})",
        "one that shows two modes counts for both",
    ]
    if scores.roots:
        parts.append(f"{scores.roots:,} roots, ranked among themselves, are left out")
    if scores.unusable:
        parts.append(f"{scores.unusable:,} trajectories whose S_IB is no finite number are left out")
    return "; ".join(parts)


def _decoder(run: RunDirectory) -> Decode:
    """Token ids to text, as the run decoded them."""
    from ib_lpo.policy.load import PolicyError, load_tokenizer, text_decoder

    try:
        return text_decoder(load_tokenizer(run.manifest.model))
    except PolicyError as error:
        raise UserError(f"{run.path}: marking examples needs the tokenizer of the run's model; {error}") from None


def _page(label: str, about: str, sections: Sequence[str]) -> str:
    parts = [
        f"# Failure modes of {label}",
        f"{about}. Per mode at most {EXAMPLES} examples, one per question, by the rule in its heading; nothing is picked by hand. {OPEN} "
        f"and {CLOSE} enclose the evidence, {FORK} is where a branch leaves its parent.",
    ]
    return "\n\n".join([*parts, *sections]) + "\n"


def _examples(run: RunDirectory, everyone: Sequence[Scored], decode: Decode) -> list[str]:
    """A heading per mode, and its examples; every step's file is read once."""
    chosen = {kind: choose(everyone, kind, EXAMPLES) for kind in SHOWN}
    asked = {(one.step, one.tree, one.id) for of in chosen.values() for one in of}
    rows = {
        (step, row["tree"], row["id"]): row
        for step in sorted({step for step, _, _ in asked})
        for row in run.rows(step, _TEXT)
        if (step, row["tree"], row["id"]) in asked
    }
    parts = []
    for kind, of in chosen.items():
        found = sum(kind in one.kinds for one in everyone)
        parts.append(f"## {kind.replace('_', ' ')}: {found:,} trajectories; shown: {rule(kind)}")
        parts += [_example(one, rows[one.step, one.tree, one.id], kind, decode) for one in of] or ["None."]
    return parts


def _example(one: Scored, row: dict[str, Any], kind: str, decode: Decode) -> str:
    response = np.concatenate([row["prefix_ids"], row["token_ids"]])
    text = marked(response, row["prefix_ids"].size, evidence_of(one, kind), decode)
    return entry(one, kind, row["question_text"], row["question_answer"], text)


def _table(kinds: Sequence[Kind], scores: Scores, below: float) -> Table:
    table = Table("kind", "n", "questions", "share", "reward", "tokens", "S_IB", title_justify="left")
    table.title = (
        f"scored {scores.group}; low: S_IB < {below:g}; means over questions [95 % interval]\nn: trajectories; tokens: of the response"
    )
    for kind in kinds:
        values = (kind.share, *(kind.means[value] for value in ("reward", "response_tokens", "score")))
        table.add_row(kind.name.replace("_", " "), f"{kind.trajectories:,}", f"{kind.questions:,}", *(shown(e) for e in values))
    return table

"""`ib-lpo analyze failures`: what goes wrong in a run's trajectories of low S_IB (method.md section 2), with examples.

<out>/failures.png   modes over steps, S_IB, reward, length, place of the evidence
<out>/failures.csv   a row per low trajectory
<out>/failures.md    the clearest examples of each mode, the evidence marked
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import get_console
from rich.table import Table

from ib_lpo.analysis.failures.examples import CLOSE, FORK, OPEN, SHOWN, choose, entry, evidence_of, marked, rule
from ib_lpo.analysis.failures.figure import draw_failures
from ib_lpo.analysis.failures.rows import COLUMNS, KINDS, Scored, by_question, csv_rows, scored
from ib_lpo.analysis.figures import write_csv
from ib_lpo.analysis.runs.directories import open_runs, recorded_steps, results_folder, rows_of
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
    everyone = [one for step, rows in rows_of(label, run, steps, COLUMNS) for one in scored(step, rows, below)]
    if not everyone:
        raise UserError(f"{path}: no trajectory of its trees has an S_IB; analyze a run whose ib.estimator was on")
    folder = results_folder([path], out)
    write_csv(folder / "failures.csv", *csv_rows(everyone))
    draw_failures(everyone, label, below, folder / "failures.png")
    (folder / "failures.md").write_text(_page(label, run, everyone, decode), encoding="utf-8")
    get_console().print(_table(everyone, below))
    say(f"written to {folder}: failures.png, failures.csv, failures.md")
    return folder


def _decoder(run: RunDirectory) -> Decode:
    """Token ids to text, as the run decoded them."""
    from ib_lpo.policy.load import PolicyError, load_tokenizer, text_decoder

    try:
        return text_decoder(load_tokenizer(run.manifest.model))
    except PolicyError as error:
        raise UserError(f"{run.path}: marking examples needs the tokenizer of the run's model; {error}") from None


def _page(label: str, run: RunDirectory, everyone: Sequence[Scored], decode: Decode) -> str:
    below = run.manifest.ib.failures.below
    parts = [
        f"# Failure modes of {label}",
        f"Low: S_IB under {below:g}. Per mode at most {EXAMPLES} examples, one per question, by the rule in its heading; nothing is "
        f"picked by hand. {OPEN} and {CLOSE} enclose the evidence, {FORK} is where a branch leaves its parent.",
    ]
    for kind in SHOWN:
        found = sum(kind in one.kinds for one in everyone)
        parts.append(f"## {kind.replace('_', ' ')}: {found:,} trajectories; shown: {rule(kind)}")
        parts += [_example(run, one, kind, decode) for one in choose(everyone, kind, EXAMPLES)] or ["None."]
    return "\n\n".join(parts) + "\n"


def _example(run: RunDirectory, one: Scored, kind: str, decode: Decode) -> str:
    row = next(row for row in run.rows(one.step, _TEXT) if (row["tree"], row["id"]) == (one.tree, one.id))
    response = np.concatenate([row["prefix_ids"], row["token_ids"]])
    text = marked(response, row["prefix_ids"].size, evidence_of(one, kind), decode)
    return entry(one, kind, row["question_text"], row["question_answer"], text)


def _table(everyone: Sequence[Scored], below: float) -> Table:
    table = Table("kind", "trajectories", "share", "reward", "response tokens", "mean S_IB", title_justify="left")
    table.title = f"scored trajectories; low: S_IB < {below:g}; means over questions [95 % interval]"
    for kind in KINDS:
        members = [one for one in everyone if kind in one.kinds]
        if members:
            values = (by_question(everyone, kind, value) for value in ("reward", "response_tokens"))
            shown = ("-" if e is None else f"{e.mean:.3g} [{e.low:.3g}, {e.high:.3g}]" for e in values)
            score = np.mean([one.ib.score for one in members])
            table.add_row(kind.replace("_", " "), f"{len(members):,}", f"{len(members) / len(everyone):.1%}", *shown, f"{score:+.2f}")
    return table

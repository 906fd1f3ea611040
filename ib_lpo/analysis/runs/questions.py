"""What the responses to each question of a step are like, roots and branches apart: the numbers that dynamics and comparisons rest on.

Roots are plain samples of the policy, with runs of every kind comparable; branches share their parent's prefix and are made under z, where
there is one. Lengths and repetition are those of whole responses, prefix included; entropies of the tokens generated for the trajectory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from ib_lpo.analysis.runs.directories import rows_of
from ib_lpo.analysis.runs.intervals import AMOUNT, SHARE
from ib_lpo.run_directory import RunDirectory
from ib_lpo.scoring.repetition import repeated_tokens
from ib_lpo.tree import Status, Verdict

GROUPS = ("roots", "branches")
WITHIN = {"accuracy": SHARE, "tokens": AMOUNT, "truncated": SHARE, "repetition": SHARE, "entropy": AMOUNT}
"""What measures can be, where that is known."""
COLUMNS = ("tree", "question_id", "question_text", "parent", "prefix_ids", "token_ids", "entropies", "status", "verdict", "reward")


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionMeans:
    """Means over the roots, or over the branches, of one question in one step."""

    step: int
    tree: int  # index in the step
    question: tuple[str, str]  # id and text: ids alone may be those of another data set in another run
    group: str  # of GROUPS
    responses: int
    accuracy: float  # correct / verifiable; nan without a verifiable one
    reward: float  # mean over those that have one; nan without any
    tokens: float  # of the response
    truncated: float  # share
    repetition: float  # share of response tokens that complete an earlier 4-gram of it
    entropy: float  # nats, mean over own tokens; nan without any


def question_means(label: str, run: RunDirectory, steps: Sequence[int]) -> list[QuestionMeans]:
    """Of all questions of `steps`, reading one file at a time."""
    return [means for step, rows in rows_of(label, run, steps, COLUMNS) for means in means_of(step, rows)]


def means_of(step: int, rows: Sequence[dict[str, Any]]) -> Iterator[QuestionMeans]:
    """Of one step's trajectories, which come tree by tree and hold COLUMNS."""
    for tree, of_tree in groupby(rows, key=lambda row: row["tree"]):
        everyone = list(of_tree)
        for group in GROUPS:
            if members := [row for row in everyone if (row["parent"] is None) == (group == "roots")]:
                yield _means(step, tree, group, members)


def held_out_questions(line: Mapping[str, Any], samples: int) -> int:
    """Questions behind the held-out check of a line of metrics.jsonl; where it does not say, they have `samples` each."""
    return int(line.get("held_out/questions") or max(1, round(line["held_out/samples"] / samples)))


def _means(step: int, tree: int, group: str, rows: list[dict[str, Any]]) -> QuestionMeans:
    verifiable = [row["verdict"] for row in rows if row["verdict"] not in (None, Verdict.UNVERIFIABLE)]
    lengths = [row["prefix_ids"].size + row["token_ids"].size for row in rows]
    repeated = [_share(repeated_tokens(np.concatenate([row["prefix_ids"], row["token_ids"]]))) for row in rows]
    return QuestionMeans(
        step=step,
        tree=tree,
        question=(rows[0]["question_id"], rows[0]["question_text"]),
        group=group,
        responses=len(rows),
        accuracy=_share([verdict is Verdict.CORRECT for verdict in verifiable], empty=np.nan),
        reward=_share([row["reward"] for row in rows if row["reward"] is not None], empty=np.nan),
        tokens=_share(lengths),
        truncated=_share([row["status"] is Status.TRUNCATED for row in rows]),
        repetition=_share(repeated),
        entropy=_share(np.concatenate([row["entropies"] for row in rows]), empty=np.nan),
    )


def _share(values: Sequence[float] | np.ndarray, empty: float = 0.0) -> float:
    return float(np.mean(values, dtype=np.float64)) if len(values) else empty

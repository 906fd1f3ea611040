"""The study: four cases and sampled trajectories, each under every estimator."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from estimator_study.cases import QUESTION_FILE, case_tree
from estimator_study.sample import grade, trajectories
from estimator_study.scoring import Scoring, log_entropies, score
from estimator_study.setup import WORKED, manifest, questions
from ib_lpo.policy.load import load_tokenizer, text_decoder
from ib_lpo.scoring.estimators import ESTIMATORS
from ib_lpo.scoring.passes import Decode, reasoning_end
from ib_lpo.tree import RolloutTree, Verdict

NO_LEAD = 'pmi, answer_lead=""'


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A row of the tables: an estimator, and how the gold answer is led in to."""

    name: str
    estimator: str
    data: dict[str, str]


VARIANTS = (
    *(Variant(name=name, estimator=name, data={}) for name in ESTIMATORS),
    Variant(name=NO_LEAD, estimator="pmi", data={"answer_lead": ""}),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Graded trajectories as columns, those left out that could not be graded. N rows."""

    ids: list[str]
    question: np.ndarray  # str [N]
    right: np.ndarray  # bool [N]
    reached: np.ndarray  # bool [N], the gold answer stands in the reasoning, before the final answer
    tokens: np.ndarray  # int64 [N], with the end token
    verdicts: list[Verdict]

    @classmethod
    def of(cls, trees: Sequence[RolloutTree], decode: Decode) -> "Sample":
        rows = [(tree.question, t) for tree in trees for t in tree.trajectories if t.verdict is not Verdict.UNVERIFIABLE]
        return cls(
            ids=[t.id for _, t in rows],
            question=np.array([question.id for question, _ in rows]),
            right=np.array([t.verdict is Verdict.CORRECT for _, t in rows]),
            reached=np.array(
                [stands_in(question.answer, decode(t.response_ids[: reasoning_end(t, decode)].tolist())) for question, t in rows]
            ),
            tokens=np.array([t.token_ids.size for _, t in rows]),
            verdicts=[t.verdict for _, t in rows],
        )


def stands_in(number: str, text: str) -> bool:
    """Whether `number` stands in `text` as a number of its own, not as a part of another one."""
    return re.search(rf"(?<![\d.,]){re.escape(number)}(?!\d|[.,]\d)", text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Scorings are by the name of their variant, in the order of VARIANTS."""

    cases: RolloutTree
    of_cases: dict[str, Scoring]
    trees: list[RolloutTree]  # all that were sampled
    sample: Sample  # of those that were scored
    of_sample: dict[str, Scoring]


def study_cases(model: Path, variants: Sequence[Variant] = VARIANTS) -> tuple[RolloutTree, dict[str, Scoring]]:
    """The four cases, graded, under the project's own prompt; their scorings by name of variant."""
    plain = manifest(model)
    tree = case_tree(plain)
    grade([tree], plain)
    log_entropies(plain, tree)
    return tree, _score_all(model, [tree], QUESTION_FILE, variants)


def study(model: Path, file: Path, *, count: int | None, samples: int, scored: int, folder: Path, rollout: dict | None = None) -> Findings:
    """The four cases, and `samples` trajectories to each of the first `count` questions of `file`, sampled into `folder`.

    Only `scored` of the questions are scored. `rollout`: keys of that section of the manifest to change.
    """
    sections = {"data": WORKED, "rollout": rollout or {}}
    run = manifest(model, samples=samples, **sections)
    trees = trajectories(run, questions(file, run, count), folder)
    chosen = solved_first(trees)[:scored]
    cases, of_cases = study_cases(model)
    of_sample = _score_all(model, chosen, file, VARIANTS, **sections)
    return Findings(
        cases=cases, of_cases=of_cases, trees=trees, sample=Sample.of(chosen, text_decoder(load_tokenizer(run.model))), of_sample=of_sample
    )


def solved_first(trees: Sequence[RolloutTree]) -> list[RolloutTree]:
    """Questions with a right trajectory before those without: right ones are rare, and a wrong one more tells little. Else as they were."""
    return sorted(trees, key=lambda tree: all(t.verdict is not Verdict.CORRECT for t in tree.trajectories))


def _score_all(model: Path, trees: list[RolloutTree], file: Path, variants: Sequence[Variant], **sections: dict) -> dict[str, Scoring]:
    scorings = {}
    for variant in variants:
        run = manifest(model, estimator=variant.estimator, **sections | {"data": sections.get("data", {}) | variant.data})
        asked = {question.id: question for question in questions(file, run)}
        scorings[variant.name] = score(variant.name, run, trees, [asked[tree.question.id] for tree in trees])
    return scorings

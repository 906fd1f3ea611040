"""Benchmarks, loaded and checked before anything is sampled.

Every question of a benchmark counts, always: none is dropped, whatever its gold answer looks like or how its samples ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ib_lpo.data.preparation.text import normalise
from ib_lpo.data.questions import QuestionSets, check_enough, load_questions
from ib_lpo.data.sources import DataError
from ib_lpo.manifest import Manifest
from ib_lpo.progress import say
from ib_lpo.tree import Question

_NAMED = 5  # bad gold answers that a message spells out
_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """A benchmark as it is sampled."""

    name: str
    questions: list[Question]
    samples: int  # n, per question
    ks: tuple[int, ...]  # of pass@k and maj@k, ascending


def load_benchmarks(manifest: Manifest, tokenizer: Any) -> list[Benchmark]:
    """The benchmarks of `evaluation`, in the manifest's order. Raises DataError, which names the benchmark, as `load_questions` does."""
    found, config = [], manifest.evaluation
    for name, one in config.benchmarks.items():
        template = manifest.data.template if one.template is None else one.template
        data = manifest.data.model_copy(
            update={"template": template, "chat": manifest.data.chat if one.chat is None else one.chat, "answer_hint": ""}
        )
        try:
            questions = load_questions(one.source, data, tokenizer, max_prompt_tokens=manifest.rollout.max_prompt_tokens)
        except DataError as error:
            key = f"evaluation.benchmarks.{name}"
            raise DataError(f"{key}: {str(error).replace('data.template', f'{key}.template')}") from None
        found.append(Benchmark(name=name, questions=questions, samples=config.samples_of(name), ks=config.ks_of(name)))
    return found


def golds_of(benchmarks: Sequence[Benchmark]) -> list[str]:
    """The gold answers of all questions, in order."""
    return [question.answer for one in benchmarks for question in one.questions]


def require_golds(benchmarks: Sequence[Benchmark], bad: Sequence[int], manifest: Manifest) -> None:
    """Raise DataError when gold answers, those with an index of `golds_of` in `bad`, cannot be judged against.

    With data.bad_answers=drop it only says so: their questions stay, and their samples are unverifiable, which counts as not solved.
    """
    if not bad:
        return
    asked = [(one.name, question) for one in benchmarks for question in one.questions]
    chosen = [asked[i] for i in sorted(bad)]
    named = "; ".join(f"{name} question {question.id}: {question.answer[:_SHOWN_CHARS]!r}" for name, question in chosen[:_NAMED])
    more = f"; and {len(bad) - _NAMED} more" if len(bad) > _NAMED else ""
    if manifest.data.bad_answers == "error":
        raise DataError(
            f"evaluation.benchmarks: {len(bad)} gold answers cannot be judged against ({named}{more}); correct them, or set "
            "data.bad_answers=drop to count their questions as not solved"
        )
    say(f"data.bad_answers=drop: {len(bad)} gold answers cannot be judged against; their questions count as not solved ({named}{more})")


def without_benchmarks(sets: QuestionSets, benchmarks: Sequence[Benchmark], manifest: Manifest) -> QuestionSets:
    """The sets without training questions whose normalised text is in a benchmark; they are added to `overlap`. Raises DataError when too
    few are left."""
    texts = {normalise(question.text) for one in benchmarks for question in one.questions}
    kept = [question for question in sets.train if normalise(question.text) not in texts] if texts else sets.train
    check_enough(len(kept), len(sets.train), manifest.data, removed="those of the benchmarks")
    return sets._replace(train=kept, overlap=sets.overlap + len(sets.train) - len(kept))

"""Questions that come twice, within a source or in two.

Of equal questions with equal answers the first is kept. When two answers of a question are not equal as mathematics, one is wrong and
nothing says which: all of them go, and are counted apart. Answers are compared by the reward `math`, whatever `verifier.reward` is.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.stage import Context, Outcome
from ib_lpo.data.preparation.text import normalise
from ib_lpo.scoring.grades import Grade
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Verdict

WITHIN, ACROSS, CONTRADICTORY = "repeat one of the same source", "repeat one of another source", "same question, contradictory answers"


def duplicates(candidates: Sequence[Candidate], context: Context) -> Outcome | None:
    """Keeps the first of each group of equal questions whose answers agree."""
    if not context.manifest.prepare.deduplicate:
        return None
    groups = grouped(candidates)
    contradictory = _contradictory(groups.values(), context)
    kept, dropped, examples = [], Counter[str](), []
    for group in groups.values():
        if group[0].id in contradictory:
            dropped[CONTRADICTORY] += len(group)
            examples.append({"question": group[0].question[:300], "answers": {one.id: one.answer[:100] for one in group[:4]}})
            continue
        kept.append(group[0])
        dropped.update(WITHIN if one.source == group[0].source else ACROSS for one in group[1:])
    return Outcome(kept=kept, dropped=dropped, details={"contradictory": examples[:5]})


def grouped(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """By normalised text; groups by their first member, members in order."""
    keys: dict[str, str] = {}
    groups: dict[str, list[Candidate]] = {}
    for candidate in candidates:
        key = keys.get(candidate.question)
        if key is None:
            key = keys[candidate.question] = normalise(candidate.question)
        groups.setdefault(key, []).append(candidate)
    return groups


def _contradictory(groups: Iterable[list[Candidate]], context: Context) -> set[str]:
    """Ids of the first members of groups with an answer that differs from the first one's, or that cannot be compared with it."""
    pairs = [
        (group[0], other)
        for group in groups
        if len(group) > 1
        for other in dict.fromkeys(one.answer for one in group)
        if other != group[0].answer
    ]
    grades = _compared([(f"\\boxed{{{other}}}", first.answer) for first, other in pairs], context)
    return {first.id for (first, _), grade in zip(pairs, grades, strict=True) if grade.verdict is not Verdict.CORRECT}


def _compared(pairs: list[tuple[str, str]], context: Context) -> list[Grade]:
    config = context.manifest.verifier
    if config.reward == "math" or not pairs:
        return context.verifier.grade(pairs)
    verifier = Verifier(config.model_copy(update={"reward": "math"}))
    try:
        return verifier.grade(pairs)
    finally:
        verifier.close()

"""Training questions that overlap with questions of a benchmark, or of the held-out set (see overlap.py)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.config import ContaminationConfig
from ib_lpo.data.preparation.overlap import Overlap, Overlaps
from ib_lpo.data.preparation.stage import Context, Outcome
from ib_lpo.data.sources import Row

_SHOWN_CHARS = 300


def contamination(candidates: Sequence[Candidate], context: Context) -> Outcome | None:
    """Drops or notes what overlaps, as `prepare.contamination.action` says; the details hold a report per benchmark.

    What has less than `min_share` in common is noted alone. A question that overlaps with several benchmarks is counted once, under the
    first, and in the report of each.
    """
    config = context.manifest.prepare.contamination
    if config is None:
        return None
    overlapping: dict[str, str] = {}  # reason by id
    sharing: dict[str, str] = {}
    report = {}
    for name, rows in context.benchmarks.items():
        index = Overlaps({row.id: row.question for row in rows}, config.ngram)
        pairs = [(candidate, overlap) for candidate in candidates for overlap in index.of(candidate.question)]
        for candidate, overlap in pairs:
            enough = overlap.share >= config.min_share
            (overlapping if enough else sharing).setdefault(candidate.id, f"{'overlap' if enough else 'share a phrase'} with {name}")
        report[name] = _report(rows, pairs, config)
    noted = Counter(reason for identity, reason in sharing.items() if identity not in overlapping)
    counts = Counter(overlapping.values())
    details = {"ngram": config.ngram, "min_share": config.min_share, "action": config.action, "benchmarks": report}
    if config.action == "report":
        return Outcome(kept=list(candidates), dropped=Counter(), noted=counts + noted, details=details)
    kept = [candidate for candidate in candidates if candidate.id not in overlapping]
    return Outcome(kept=kept, dropped=counts, noted=noted, details=details)


def _report(rows: list[Row], pairs: list[tuple[Candidate, Overlap]], config: ContaminationConfig) -> dict[str, Any]:
    questions = {row.id: row.question for row in rows}
    most = sorted(pairs, key=lambda pair: -pair[1].share)[: config.examples]
    overlapping = {candidate.id for candidate, overlap in pairs if overlap.share >= config.min_share}
    return {
        "questions": len(rows),
        "overlapped": len({overlap.key for _, overlap in pairs if overlap.share >= config.min_share}),
        "training_questions": len(overlapping),
        "training_questions_below_min_share": len({candidate.id for candidate, _ in pairs} - overlapping),
        "examples": [
            {
                "training": candidate.id,
                "training_question": candidate.question[:_SHOWN_CHARS],
                "benchmark": overlap.key,
                "benchmark_question": questions[overlap.key][:_SHOWN_CHARS],
                "share_of_ngrams": round(overlap.share, 4),
                "in_common": overlap.text[:_SHOWN_CHARS],
            }
            for candidate, overlap in most
        ],
    }

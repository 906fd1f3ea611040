"""Training questions that overlap with questions of a benchmark, or of the held-out set (see overlap.py)."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.overlap import Overlap, Overlaps
from ib_lpo.data.preparation.stage import Context, Outcome
from ib_lpo.data.sources import Row

_SHOWN_CHARS = 300


def contamination(candidates: Sequence[Candidate], context: Context) -> Outcome | None:
    """Drops or notes what overlaps, as `prepare.contamination.action` says; the details hold a report per benchmark.

    A question that overlaps with several benchmarks is dropped once, under the first, and counted in the report of each.
    """
    config = context.manifest.prepare.contamination
    if config is None:
        return None
    counts, overlapping, report = Counter[str](), set[str](), {}
    for name, rows in context.benchmarks.items():
        index = Overlaps({row.id: row.question for row in rows}, config.ngram)
        pairs = [(candidate, overlap) for candidate in candidates for overlap in index.of(candidate.question)]
        touched = dict.fromkeys(candidate.id for candidate, _ in pairs)
        counts[f"overlap with {name}"] = sum(identity not in overlapping for identity in touched)
        overlapping.update(touched)
        report[name] = _report(rows, pairs, len(touched), config.examples)
    counts = +counts
    dropping = config.action == "drop"
    kept = [candidate for candidate in candidates if not (dropping and candidate.id in overlapping)]
    details = {"ngram": config.ngram, "action": config.action, "benchmarks": report}
    return Outcome(kept=kept, dropped=counts if dropping else Counter(), noted=Counter() if dropping else counts, details=details)


def _report(rows: list[Row], pairs: list[tuple[Candidate, Overlap]], training: int, shown: int) -> dict[str, Any]:
    questions = {row.id: row.question for row in rows}
    most = sorted(pairs, key=lambda pair: -pair[1].share)[:shown]
    return {
        "questions": len(rows),
        "overlapped": len({overlap.key for _, overlap in pairs}),
        "training_questions": training,
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

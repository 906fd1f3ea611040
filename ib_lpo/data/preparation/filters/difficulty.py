"""Questions that the model always or never solves: they have no advantage to learn from.

The pass rate is taken over verifiable samples; a question without any has none and goes.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.filters.lengths import TOO_LONG_PROMPT, too_long
from ib_lpo.data.preparation.pass_rates import measure
from ib_lpo.data.preparation.stage import Context, Outcome

UNVERIFIABLE = "no sample could be verified"


def difficulty(candidates: Sequence[Candidate], context: Context) -> Outcome | None:
    """Keeps low < pass rate < high. Samples what is not in the record of an earlier, interrupted call."""
    config = context.manifest.prepare.difficulty
    if not config.samples:
        return None
    long = set(too_long(candidates, context))
    tallies = measure([candidate for candidate in candidates if candidate.id not in long], context)
    kept, dropped, rates = [], Counter[str](), Counter[str]()
    for candidate in candidates:
        tally = tallies.get(candidate.id)
        rate = None if tally is None else tally.pass_rate
        if candidate.id in long:
            dropped[TOO_LONG_PROMPT] += 1
        elif rate is None:
            dropped[UNVERIFIABLE] += 1
        elif rate <= config.low:
            dropped[f"pass rate at or below {config.low:g}"] += 1
        elif rate >= config.high:
            dropped[f"pass rate at or above {config.high:g}"] += 1
        else:
            kept.append(replace(candidate, pass_rate=rate))
        if rate is not None:
            rates[f"{rate:.2f}"] += 1
    totals = {name: sum(getattr(tally, name) for tally in tallies.values()) for name in ("correct", "wrong", "unverifiable", "truncated")}
    details = {"samples": config.samples, "questions_by_pass_rate": dict(sorted(rates.items())), "verdicts": totals}
    return Outcome(kept=kept, dropped=dropped, details=details)

"""Gold answers that responses can be judged against, by the reward that training uses."""

from collections import Counter
from collections.abc import Sequence

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.stage import Context, Outcome

REASON = "gold answer cannot be judged against"


def verifiable(candidates: Sequence[Candidate], context: Context) -> Outcome | None:
    """Drops what `verifier.reward` does not accept, or not within the verifier's bounds."""
    if not context.manifest.prepare.verifiable:
        return None
    bad = set(context.verifier.check_gold([candidate.answer for candidate in candidates]))
    kept = [candidate for index, candidate in enumerate(candidates) if index not in bad]
    examples = [{"id": candidates[i].id, "answer": candidates[i].answer[:200]} for i in sorted(bad)[:5]]
    return Outcome(kept=kept, dropped=Counter({REASON: len(bad)}) if bad else Counter(), details={"examples": examples})

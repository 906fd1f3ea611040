"""Which step is the last one; pure.

How many tokens a run has generated is read from its record, never counted along: a run that was killed, or whose
learner was lost, drops the lines of steps that it does again, and ends where it would have ended.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from ib_lpo.manifest import Manifest


def generated_tokens(lines: Iterable[Mapping[str, Any]]) -> int:
    """Tokens generated for training in the recorded steps: those of every trajectory grown, whether it was trained on,
    filtered out, or dropped with its question by dynamic sampling. A token that trajectories share counts once."""
    return sum(int(line.get("grow/tokens") or 0) for line in lines)


def is_last(step: int, tokens: int, manifest: Manifest) -> bool:
    """Whether training ends with `step`, at which `tokens` are generated in all: at `steps`, or with the budget."""
    return step >= manifest.steps or spent(tokens, manifest)


def spent(tokens: int, manifest: Manifest) -> bool:
    """Whether `tokens` reach budget.generated_tokens."""
    limit = manifest.budget.generated_tokens
    return limit is not None and tokens >= limit

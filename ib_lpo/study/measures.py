"""The numbers of a run that a study compares; pure."""

import re
from collections.abc import Sequence

from ib_lpo.diversity.measures import MEASURES
from ib_lpo.study.curves import end_of, mean_until, value_at
from ib_lpo.study.record import Result

AT_BUDGET, MEAN = "held-out accuracy at the budget", "held-out accuracy, mean up to it"
_DIVERSITY = "held_out/diversity/"
_AT_K = re.compile(r"held_out/(pass|maj)@(\d+)")
_LAST = {"held_out/entropy": "held-out token entropy, nats", "held_out/response_tokens": "held-out response tokens"}
_TRAINED = {
    "grade/mixed_questions": "training: questions with mixed rewards",
    "grow/entropy": "training: token entropy, nats",
    "grow/response_tokens": "training: response tokens",
}


def measured(result: Result, budget: float) -> dict[str, float]:
    """By title, what was measured. Accuracy is that at `budget` tokens, absent when the run has no check there or
    beyond; other held-out measures are those of the last check, training measures means over steps."""
    curve, last = result.curve, result.curve[-1] if result.curve else {}
    found = {AT_BUDGET: value_at(curve, budget), MEAN: mean_until(curve, budget)}
    at_k = sorted((match for name in last if (match := _AT_K.fullmatch(name))), key=lambda m: (m[1] != "pass", int(m[2])))
    found |= {f"held-out {match[1]}@{match[2]}": last[match[0]] for match in at_k}
    found |= {title: last.get(name) for name, title in _LAST.items()}
    found |= {f"held-out {one.title}": last.get(_DIVERSITY + name) for name, one in MEASURES.items()}
    found |= {title: result.trained.get(name) for name, title in _TRAINED.items()}
    found |= {"generated tokens": float(result.tokens), "training seconds": result.seconds, "steps": float(result.steps)}
    return {title: value for title, value in found.items() if value is not None}


def common_budget(results: Sequence[Result], limit: int | None) -> float:
    """Tokens at which runs are compared: `limit`, or without one the most that all have a check at or beyond."""
    return float(limit) if limit is not None else min((end_of(result.curve) for result in results), default=0.0)

"""Alarms: what a person should hear of while the run goes on, worked out from the metrics of its steps alone.

Pure functions of metric lines, oldest first, as in metrics.jsonl: a resumed run, which reads them from there, raises what a run without an
interruption raises. An alarm that stays on is told when it starts and then every `learner.advantage.silent_steps` steps; each of its steps
is counted, as `alarms/<name>`.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile

from ib_lpo.learner.config import LearnerConfig

Line = Mapping[str, float | None]  # None: not finite
Alarm = Callable[[Sequence[Line], LearnerConfig], str | None]  # what is wrong after the last line, and what to do about it
_NEARLY_ALL = 0.9  # share of a step's responses

# By the metric that counts groups without signal for this cause, each group once: what was seen, and what to do about it.
_CAUSES = {
    "advantage/all_right_groups": (
        "every answer was right",
        "the questions are too easy: train on harder ones, or raise data.batches_per_step so that a step draws on until rewards differ",
    ),
    "advantage/all_wrong_groups": (
        "every answer was wrong",
        "the questions are too hard: train on easier ones, raise branching.roots, or see whether answers are cut off (grow/truncated)",
    ),
    "advantage/unverifiable_groups": (
        "no answer could be verified",
        "look for the reason among verifier/...; check the gold answers, or raise verifier.deadline_s",
    ),
    "advantage/filtered_groups": (
        "the filter left no rewards that differ",
        "raise filter.keep, set filter.keep_roots=true, or set learner.advantage.baseline=all",
    ),
}


def silence(lines: Sequence[Line], learner: LearnerConfig) -> str | None:
    """No group with signal for `advantage.silent_steps` steps in a row; names the cause that most groups of these steps share."""
    needed = learner.advantage.silent_steps
    silent = list(takewhile(_is_silent, reversed(lines)))
    if len(silent) < needed:
        return None
    recent = silent[:needed]
    groups = {metric: sum(line.get(metric) or 0.0 for line in recent) for metric in _CAUSES}
    cause = max(groups, key=lambda metric: groups[metric])
    seen, remedy = _CAUSES[cause]
    share = f"{groups[cause]:.0f} of the last {sum(groups.values()):.0f} groups"
    return f"no group had signal in {len(silent)} steps, so nothing is learnt; in {share} {seen}. {remedy}"


def mismatch(lines: Sequence[Line], learner: LearnerConfig) -> str | None:
    """Engine and learner log-probs further apart than `max_logprob_gap`, or not comparable because they are not finite;
    without a limit never."""
    last, limit = lines[-1], learner.max_logprob_gap
    if limit is None or "mismatch/mean_abs" not in last or (_known(last["mismatch/mean_abs"]) and last["mismatch/mean_abs"] <= limit):
        return None
    mean, largest = (_show(last.get(f"mismatch/{name}")) for name in ("mean_abs", "max_abs"))
    return (
        f"engine and learner disagree: mean |difference of log-probs| {mean} nats, largest {largest}; learner.max_logprob_gap={limit:g}. "
        "Importance weights cannot mend that: compare learner.dtype=float32, and see whether mismatch/mean_abs was small at the first step"
    )


def skipped(lines: Sequence[Line], learner: LearnerConfig) -> str | None:
    """Optimiser steps that were not applied because their gradient was not finite."""
    count = lines[-1].get("loss/skipped_steps") or 0.0
    if count == 0:
        return None
    return (
        f"{count:.0f} optimiser step{'s' if count > 1 else ''} skipped: the gradient was not finite. "
        "If this goes on, lower learner.lr, try learner.dtype=float32, or go back to an earlier checkpoint"
    )


def endless(lines: Sequence[Line], learner: LearnerConfig) -> str | None:
    """Nearly all responses cut off at their limit, or with an end token in their middle: they do not end where the model ends them."""
    cut, inside = (lines[-1].get(f"grow/{name}") or 0.0 for name in ("truncated", "end_inside"))
    if inside >= _NEARLY_ALL:
        return (
            f"{inside:.0%} of the responses go on after an end token, or another special token, of the model: what they end at is said at "
            "start; name all of the model's end tokens in rollout.stop_tokens, and see whether data.chat fits the model"
        )
    if cut >= _NEARLY_ALL:
        return (
            f"{cut:.0%} of the responses were cut off at rollout.max_response_tokens: raise it, see whether the model ends answers with "
            "a token that rollout.stop_tokens lacks (what counts is said at start), or turn thinking off in data.chat_template_kwargs"
        )
    return None


ALARMS: dict[str, Alarm] = {"silence": silence, "mismatch": mismatch, "skipped": skipped, "endless": endless}


def raise_alarms(earlier: Sequence[Line], metrics: Line, learner: LearnerConfig) -> tuple[dict[str, float], list[str]]:
    """The alarms of the step with `metrics`, which follows the steps in `earlier`.

    Returns `alarms/<name>`, 1 while it is on and 0 otherwise, and the texts to tell now.
    """
    lines = [*earlier, metrics]
    found = {name: alarm(lines, learner) for name, alarm in ALARMS.items()}
    told = [text for name, text in found.items() if text and _steps_on(earlier, name) % learner.advantage.silent_steps == 0]
    return {f"alarms/{name}": float(text is not None) for name, text in found.items()}, told


def _is_silent(line: Line) -> bool:
    groups = line.get("advantage/groups") or 0.0
    return 0 < groups == sum(line.get(metric) or 0.0 for metric in _CAUSES)


def _steps_on(lines: Sequence[Line], name: str) -> int:
    return sum(1 for _ in takewhile(lambda line: line.get(f"alarms/{name}"), reversed(lines)))


def _known(value: float | None) -> bool:
    return value is not None and value == value


def _show(value: float | None) -> str:
    return f"{value:.2g}" if _known(value) else "not finite"

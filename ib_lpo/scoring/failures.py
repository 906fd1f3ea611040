"""Failure modes of trajectories of low S_IB (method.md section 2), each with the response tokens that show it.

A trajectory is judged by the tokens it owns: evidence lies at or after the fork of a branch, and points of the profile before it do not
count. A low trajectory that shows none of the modes is counted, not forced into one.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.config import FailureConfig
from ib_lpo.scoring.loops import compressed_share, repeating_stretches
from ib_lpo.tree import Failure, FailureMode, RolloutTree, Trajectory


def label_failures(trees: list[RolloutTree], config: FailureConfig, decode: Decode) -> dict[str, float]:
    """Set `failures` of every trajectory, in the order of FailureMode; () for one that is not low. `decode` maps token ids to text.

    Returns counts of trajectories: `failure/low` (S_IB under `config.below`), one per mode (a trajectory may show several),
    `failure/unexplained` (low, without a mode) and `failure/unprofiled` (low, with too few points of I(r;a) to find anything but loops).
    Nothing is returned when no trajectory has a score.
    """
    everyone = [t for tree in trees for t in tree.trajectories]
    low = [t for t in everyone if t.ib is not None and t.ib.score < config.below]
    for trajectory in everyone:
        trajectory.failures = ()
    for trajectory in low:
        trajectory.failures = find_failures(trajectory, config, decode)
    if all(t.ib is None for t in everyone):
        return {}
    modes = Counter(failure.mode for t in low for failure in t.failures)
    counts = {"low": len(low), "unexplained": sum(not t.failures for t in low), "unprofiled": sum(len(_profile(t)) < 2 for t in low)}
    return {f"failure/{name}": float(count) for name, count in (counts | {mode: modes[mode] for mode in FailureMode}).items()}


def find_failures(trajectory: Trajectory, config: FailureConfig, decode: Decode) -> tuple[Failure, ...]:
    """What went wrong in a trajectory, in the order of FailureMode: fluff is what neither a loop nor a drift explains."""
    loop, drift = repetitive_loop(trajectory, config, decode), logical_drift(trajectory, config)
    explained = [failure for failure in (loop, drift) if failure is not None]
    fluff = empty_fluff(trajectory, config, explained)
    return tuple(failure for failure in (fluff, loop, drift) if failure is not None)


def repetitive_loop(trajectory: Trajectory, config: FailureConfig, decode: Decode) -> Failure | None:
    """The longest stretch of repeated 4-grams, `loop_tokens` or more of it the trajectory's own, whose text compresses to `loop_ratio`.

    The evidence starts where the response began to repeat itself, after the first pass. `measure`: compressed share of its text.
    """
    response, fork = trajectory.response_ids, len(trajectory.prefix_ids)
    own = [(max(start, fork), end) for start, end in repeating_stretches(response)]
    for start, end in sorted(own, key=lambda stretch: stretch[0] - stretch[1]):
        if end - start < config.loop_tokens:
            return None
        share = compressed_share(decode(response[start:end].tolist()))
        if share <= config.loop_ratio:
            return Failure(mode=FailureMode.REPETITIVE_LOOP, start=start, end=end, measure=share)
    return None


def logical_drift(trajectory: Trajectory, config: FailureConfig) -> Failure | None:
    """I(r;a) ends `drift_drop` or more below its peak: from the peak (the last, if there are several) on, the response argues away from
    the gold answer. `measure`: the drop, nats per answer token.

    The peak may lie at the start and need not rise above it: I(r;a) is 0 before the first token of a root, so falling from there means
    that the response made the answer less likely than the question alone does, and falling from a fork, less likely than the prefix does.
    A fall that is made good before the end is a detour, no drift.
    """
    points = _profile(trajectory)
    if not points:
        return None
    peak_value, peak = max((value, at) for at, value in points)
    end, last_value = points[-1]
    if peak_value - last_value < config.drift_drop:
        return None
    return Failure(mode=FailureMode.LOGICAL_DRIFT, start=peak, end=end, measure=peak_value - last_value)


def empty_fluff(trajectory: Trajectory, config: FailureConfig, others: Sequence[Failure]) -> Failure | None:
    """The longest stretch over which I(r;a) never rises more than `fluff_gain` above where it started, `fluff_tokens` or more.

    Tokens of `others` (a loop, a drift) have a cause of their own: they do not count for the length, and may not be most of the stretch.
    `measure`: I(r;a) at the end of the stretch minus at its start, nats per answer token.
    """
    explained = np.zeros(len(trajectory.prefix_ids) + len(trajectory.token_ids), dtype=np.bool_)
    for other in others:
        explained[other.start : other.end] = True
    found: tuple[int, Failure] | None = None
    for start, end, gain in _plateaus(_profile(trajectory), config.fluff_gain):
        length, fluff = end - start, int(np.count_nonzero(~explained[start:end]))
        longer = found is None or (fluff, -length) > (found[0], found[1].start - found[1].end)
        if fluff >= config.fluff_tokens and 2 * fluff >= length and longer:
            found = fluff, Failure(mode=FailureMode.EMPTY_FLUFF, start=start, end=end, measure=gain)
    return found[1] if found else None


def _profile(trajectory: Trajectory) -> list[tuple[int, float]]:
    """(response tokens, I(r;a) after them) at and after the fork, ascending."""
    if trajectory.ib is None:
        return []
    points = zip(trajectory.ib.profile_at, trajectory.ib.profile, strict=True)
    return [(at, value) for at, value in points if at >= len(trajectory.prefix_ids)]


def _plateaus(points: Sequence[tuple[int, float]], rise: float) -> Iterator[tuple[int, int, float]]:
    """(start, end, gain) of every stretch between two points in which no point lies more than `rise` above the first."""
    for first, (start, value) in enumerate(points):
        for end, later in points[first + 1 :]:
            if later - value > rise:
                break
            yield start, end, later - value

"""Stage `grade`: the verifiable reward of every trajectory.

Each trajectory is graded on its whole response, however it ended. Reward 1 for CORRECT, 0 for WRONG and NO_ANSWER; an UNVERIFIABLE
trajectory has no reward and leaves training here: kept False, label UNVERIFIABLE.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from ib_lpo.tree import Label, RolloutTree, Trajectory, Verdict

Grader = Callable[[list[tuple[str, str]]], list[Verdict]]
REWARDS: dict[Verdict, float | None] = {
    Verdict.CORRECT: 1.0,
    Verdict.WRONG: 0.0,
    Verdict.NO_ANSWER: 0.0,
    Verdict.UNVERIFIABLE: None,
}


def grade_trees(trees: list[RolloutTree], grader: Grader, decode: Callable[[Sequence[int]], str]) -> dict[str, float]:
    """Set verdict and reward of every trajectory; returns the `grade/...` metrics. `decode` maps token ids to text.

    Raises ValueError when the grader does not return one verdict per item.
    """
    graded = [(trajectory, tree.question.answer) for tree in trees for trajectory in tree.trajectories]
    verdicts = grader([(decode(trajectory.response_ids.tolist()), answer) for trajectory, answer in graded])
    if len(verdicts) != len(graded):
        raise ValueError(f"the grader returned {len(verdicts)} verdicts for {len(graded)} responses; it must return one each, in order")
    for (trajectory, _), verdict in zip(graded, verdicts, strict=True):
        trajectory.verdict, trajectory.reward = verdict, REWARDS[verdict]
        if trajectory.reward is None:
            trajectory.kept, trajectory.label = False, Label.UNVERIFIABLE
    return grading_metrics(trees)


def grading_metrics(trees: list[RolloutTree]) -> dict[str, float]:
    """`grade/...`: counts by verdict, and means over verifiable trajectories; a mean over nothing is absent.

    `reward`, `root_reward`, `branch_reward`: fraction correct. `no_answer_rate`: share of verifiable ones without an answer.
    `unverifiable_rate`: share of all. `mixed_questions`: share of questions with both a right and a wrong verifiable trajectory.
    """
    everyone = [t for tree in trees for t in tree.trajectories]
    counts = Counter(t.verdict for t in everyone)
    verifiable = [t for t in everyone if t.reward is not None]
    means = {
        "reward": _mean(t.reward for t in verifiable),
        "root_reward": _mean(t.reward for t in verifiable if t.parent is None),
        "branch_reward": _mean(t.reward for t in verifiable if t.parent is not None),
        "no_answer_rate": _mean(t.verdict is Verdict.NO_ANSWER for t in verifiable),
        "unverifiable_rate": _mean(t.reward is None for t in everyone),
        "mixed_questions": _mean(_mixed(tree.trajectories) for tree in trees),
    }
    metrics = {f"grade/{verdict}": float(counts[verdict]) for verdict in Verdict} | {"grade/trajectories": float(len(everyone))}
    return metrics | {f"grade/{name}": value for name, value in means.items() if value is not None}


def _mixed(trajectories: list[Trajectory]) -> bool:
    return len({t.reward for t in trajectories if t.reward is not None}) > 1


def _mean(values: Iterable[float]) -> float | None:
    held = list(values)
    return sum(held) / len(held) if held else None

"""Stage `grade`: the verifiable reward of every trajectory.

Each trajectory is graded on its whole response, however it ended. Its reward is the verifier's: 1 for CORRECT, less for WRONG, 0 for
NO_ANSWER. An UNVERIFIABLE trajectory has no reward and leaves training here: kept False, label UNVERIFIABLE.
"""

from collections import Counter
from collections.abc import Callable, Iterable

from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.grades import Grade
from ib_lpo.tree import Label, RolloutTree, Trajectory, Verdict

Grader = Callable[[list[tuple[str, str]]], list[Grade]]


def grade_trees(trees: list[RolloutTree], grader: Grader, decode: Decode) -> dict[str, float]:
    """Set verdict and reward of every trajectory that has none; returns the `grade/...` metrics of all. `decode` maps
    token ids to text.

    Raises ValueError when the grader does not return one grade per item, or a reward for an UNVERIFIABLE one alone.
    """
    set_grades(trees, grader(to_grade(trees, decode)))
    return grading_metrics(trees)


def to_grade(trees: list[RolloutTree], decode: Decode) -> list[tuple[str, str]]:
    """(response, gold answer) of every trajectory without a verdict, in order."""
    asked = [(tree, t) for tree in trees for t in tree.trajectories if t.verdict is None]
    return [(decode(t.response_ids.tolist()), tree.question.answer) for tree, t in asked]


def set_grades(trees: list[RolloutTree], grades: list[Grade]) -> None:
    """Give every trajectory of `to_grade` its grade. Raises ValueError as `grade_trees` does."""
    graded = [trajectory for tree in trees for trajectory in tree.trajectories if trajectory.verdict is None]
    if len(grades) != len(graded):
        raise ValueError(f"the grader returned {len(grades)} grades for {len(graded)} responses; it must return one each, in order")
    for trajectory, grade in zip(graded, grades, strict=True):
        if (grade.reward is None) != (grade.verdict is Verdict.UNVERIFIABLE):
            raise ValueError(f"{trajectory.id}: {grade}; a grade has a reward if and only if it is not UNVERIFIABLE")
        trajectory.verdict, trajectory.reward = grade.verdict, grade.reward
        if trajectory.reward is None:
            trajectory.kept, trajectory.label = False, Label.UNVERIFIABLE


def grading_metrics(trees: list[RolloutTree]) -> dict[str, float]:
    """`grade/...`: counts by verdict, and means over verifiable trajectories; a mean over nothing is absent.

    `reward`, `root_reward`, `branch_reward`: in [0, 1]; the fraction correct where no reward gives partial credit. `no_answer_rate`:
    share of verifiable ones without an answer. `unverifiable_rate`: share of all. `mixed_questions`: share of questions whose
    verifiable trajectories differ in reward.
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

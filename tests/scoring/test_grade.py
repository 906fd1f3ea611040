import pytest

from ib_lpo.scoring.grade import grade_trees
from ib_lpo.tree import Label, Status, Verdict
from tests.scoring.trees import question, trajectory, tree

TEXT = {1: "right", 2: "wrong", 3: "none", 4: "stuck", 5: "+"}
VERDICTS = {"right": Verdict.CORRECT, "wrong": Verdict.WRONG, "none": Verdict.NO_ANSWER, "stuck": Verdict.UNVERIFIABLE}


def decode(ids):
    assert all(type(i) is int for i in ids)
    return "".join(TEXT[i] for i in ids)


def grader(items):
    return [VERDICTS[text.replace("+", "")] for text, _ in items]


def test_rewards_follow_verdicts_and_the_unverifiable_leave_training():
    graded = tree(*(trajectory(f"q/r{i}", [i]) for i in (1, 2, 3, 4)))
    metrics = grade_trees([graded], grader, decode)
    assert [t.reward for t in graded.trajectories] == [1.0, 0.0, 0.0, None]
    assert [t.kept for t in graded.trajectories] == [True, True, True, False]
    assert [t.label for t in graded.trajectories] == [None, None, None, Label.UNVERIFIABLE]
    assert metrics["grade/reward"] == pytest.approx(1 / 3)
    assert metrics["grade/no_answer_rate"] == pytest.approx(1 / 3)
    assert metrics["grade/unverifiable_rate"] == pytest.approx(1 / 4)
    assert metrics["grade/unverifiable"] == metrics["grade/correct"] == 1.0


def test_a_branch_is_graded_on_its_whole_response_and_a_truncated_one_like_others():
    seen = []

    def recording(items):
        seen.extend(items)
        return grader(items)

    branch = trajectory("q/r0/b0", [1], prefix_ids=[5], parent="q/r0", status=Status.TRUNCATED)
    grade_trees([tree(trajectory("q/r0", [2]), branch, of=question(answer="42"))], recording, decode)
    assert seen == [("wrong", "42"), ("+right", "42")]
    assert branch.reward == 1.0


def test_roots_and_branches_have_means_of_their_own():
    branches = [trajectory(f"q/r0/b{i}", [token], parent="q/r0") for i, token in enumerate((1, 1, 2, 4))]
    metrics = grade_trees([tree(trajectory("q/r0", [2]), *branches), tree(trajectory("p/r0", [1]))], grader, decode)
    assert metrics["grade/root_reward"] == 0.5
    assert metrics["grade/branch_reward"] == pytest.approx(2 / 3)
    assert metrics["grade/mixed_questions"] == 0.5


def test_a_mean_over_nothing_is_absent():
    metrics = grade_trees([tree(trajectory("q/r0", [4]))], grader, decode)
    assert "grade/reward" not in metrics and "grade/branch_reward" not in metrics
    assert metrics["grade/unverifiable_rate"] == 1.0


def test_a_grader_that_loses_items_is_an_error():
    with pytest.raises(ValueError, match="0 verdicts for 1"):
        grade_trees([tree(trajectory("q/r0", [1]))], lambda items: [], decode)

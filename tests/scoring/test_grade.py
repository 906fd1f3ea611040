import pytest

from ib_lpo.scoring.grade import grade_trees
from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG, Cause, Grade, unverifiable
from ib_lpo.tree import Label, Status, Verdict
from tests.scoring.trees import question, trajectory, tree

TEXT = {1: "right", 2: "wrong", 3: "none", 4: "stuck", 5: "+"}
GRADES = {"right": CORRECT, "wrong": WRONG, "none": NO_ANSWER, "stuck": unverifiable(Cause.OVERRUN)}


def decode(ids):
    assert all(type(i) is int for i in ids)
    return "".join(TEXT[i] for i in ids)


def grader(items):
    return [GRADES[text.replace("+", "")] for text, _ in items]


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
    with pytest.raises(ValueError, match="0 grades for 1"):
        grade_trees([tree(trajectory("q/r0", [1]))], lambda items: [], decode)


def test_partial_credit_is_the_reward_and_enters_the_means():
    half = Grade(Verdict.WRONG, None, 0.5)
    graded = tree(*(trajectory(f"q/r{i}", [i]) for i in (1, 2)))
    metrics = grade_trees([graded], lambda items: [half, CORRECT], decode)
    assert [(t.verdict, t.reward, t.kept) for t in graded.trajectories] == [(Verdict.WRONG, 0.5, True), (Verdict.CORRECT, 1.0, True)]
    assert metrics["grade/reward"] == 0.75 and metrics["grade/mixed_questions"] == 1.0


@pytest.mark.parametrize("grade", [Grade(Verdict.UNVERIFIABLE, Cause.CRASH, 0.0), Grade(Verdict.WRONG)])
def test_an_unverifiable_response_never_has_a_reward_and_others_always(grade):
    with pytest.raises(ValueError, match="if and only if it is not UNVERIFIABLE"):
        grade_trees([tree(trajectory("q/r0", [1]))], lambda items: [grade], decode)

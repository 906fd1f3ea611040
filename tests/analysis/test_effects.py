"""Effects of z: what is paired with what, at which size, and which answers are one."""

import numpy as np
import pytest
import torch

from ib_lpo.analysis.latent.effects import MEASURES, Branch, differences, measure, read_branches
from ib_lpo.analysis.latent.forks import StudiedFork
from ib_lpo.manifest import validate
from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG
from ib_lpo.tree import Question, Verdict

MANIFEST = validate({"name": "t", "steps": 1, "model": {"path": "unused"}})
TEXTS = {1: "it is \\boxed{18}", 2: "so \\boxed{18.00}", 3: "thus \\boxed{7}", 4: "who knows", 9: "first "}


def decode(ids):
    return "".join(TEXTS[i] for i in ids)


def grade(items):
    """As the verifier would: numbers by value."""

    def one(response, gold):
        if "boxed" not in response:
            return NO_ANSWER
        return CORRECT if float(response.rpartition("{")[2].rstrip("}")) == float(gold) else WRONG

    return [one(*item) for item in items]


def studied(id, answer):
    question = Question(id=id, text="q", answer=answer, prompt_ids=(5, 6), answer_ids=())
    return StudiedFork(id=id, question=question, shared_ids=np.array([9], np.int32), entropy=1.0)


def test_branches_are_graded_as_whole_responses_and_equal_answers_are_one():
    ids = [[np.array([i], np.int32) for i in of] for of in ((2, 1, 3, 4), (3, 3, 4, 1))]
    first, second = read_branches([studied("a", "18"), studied("b", "7")], ids, decode, grade)
    assert [b.verdict for b in first] == [Verdict.CORRECT, Verdict.CORRECT, Verdict.WRONG, Verdict.NO_ANSWER]
    assert [b.answer for b in first] == ["18.00", "18.00", "7", None]  # under the first spelling in the fork
    assert [b.answer for b in second] == ["7", "7", None, "18"]
    assert [b.text for b in first] == [TEXTS[i] for i in (2, 1, 3, 4)]


def branches(fork, texts, answers=("1", "2"), right=(True, False)):
    return [
        Branch(fork=fork, token_ids=np.array(ids, np.int32), text="", answer=a, verdict=Verdict.CORRECT if r else Verdict.WRONG)
        for ids, a, r in zip(texts, answers, right, strict=True)
    ]


def encoder(sequences):
    """A feature per token id 0..3."""
    return torch.stack([torch.bincount(torch.as_tensor(ids).long(), minlength=4).float() for ids in sequences])


GROWN = {
    "base": [branches("f", [[0] * 8, [0] * 8], ("1", "1")), branches("g", [[0, 1] * 4, [2, 3] * 4]), branches("h", [[1, 2], [2, 1]])],
    "other": [branches("f", [[0] * 16, [1] * 16]), branches("g", [[0, 1] * 4, [2, 3] * 4]), branches("h", [[0, 1, 2, 3] * 2, [3] * 8])],
}


def test_measures_are_per_fork_and_distinct_4_at_equal_size():
    found = measure(GROWN, encoder)
    np.testing.assert_allclose(found["base"]["distance"], [0.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found["other"]["distance"][:2], [1.0, 1.0], atol=1e-6)
    np.testing.assert_allclose(found["base"]["answer_entropy"], [0.0, np.log(2), np.log(2)])
    np.testing.assert_allclose(found["base"]["distinct_4"][:2], [1 / 10, 4 / 10])
    assert found["other"]["distinct_4"][0] == pytest.approx(2 / 10, abs=2e-3)  # of ten 4-grams, as the shorter variant has
    assert np.isnan(found["base"]["distinct_4"][2]) and np.isnan(found["other"]["distinct_4"][2])  # nothing to compare with
    assert set(found["base"]) == set(MEASURES)


def test_differences_are_paired_and_leave_out_what_cannot_be_compared():
    found = differences(measure(GROWN, encoder), "base", MANIFEST)
    assert list(found) == ["base", "other"]
    assert found["base"]["distance"].mean == pytest.approx(1 / 3)
    gap = measure(GROWN, encoder)["other"]["distance"] - measure(GROWN, encoder)["base"]["distance"]
    assert found["other"]["distance"].mean == pytest.approx(gap.mean())
    assert found["other"]["distinct_4"].mean == pytest.approx(0.05, abs=2e-3)  # over two forks
    assert found["other"]["accuracy"].mean == 0.0 and found["other"]["accuracy"].low is None  # alike at every fork

"""The paper's case study on a real pretrained model: the published order, through the real verifier, scorer and ranking."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from estimator_study.cases import CASES, LOOP_TOKENS  # noqa: E402
from estimator_study.study import VARIANTS, study_cases  # noqa: E402

from ib_lpo.scoring.estimators import ESTIMATORS  # noqa: E402
from ib_lpo.tree import Verdict  # noqa: E402

FETCH_DEADLINE_S, TEST_DEADLINE_S = 900, 1500
pytestmark = [pytest.mark.slow, pytest.mark.timeout(TEST_DEADLINE_S)]


@pytest.fixture(scope="module")
def studied():
    """The graded tree of the four cases, and its scorings by estimator, under SmolLM2-135M-Instruct."""
    subprocess.run([sys.executable, "tools/fetch_smollm2.py"], cwd=ROOT, check=True, timeout=FETCH_DEADLINE_S)
    model = ROOT / ".cache" / "models" / "smollm2-135m-instruct"
    return study_cases(model, [variant for variant in VARIANTS if variant.name in ESTIMATORS])


@pytest.fixture(scope="module")
def scores(studied):
    """S_IB of the four cases by estimator, in the order of CASES."""
    tree, scorings = studied
    return {name: [scoring.scores[t.id].score for t in tree.trajectories] for name, scoring in scorings.items()}


def test_the_cases_are_what_they_are_called(studied):
    correct, wrong, verbose, loop = studied[0].trajectories
    assert [t.verdict for t in (correct, wrong, verbose, loop)] == [Verdict.CORRECT, Verdict.WRONG, Verdict.CORRECT, Verdict.NO_ANSWER]
    assert loop.token_ids.size >= LOOP_TOKENS
    assert verbose.token_ids.size > 4 * correct.token_ids.size
    assert (correct.token_ids != wrong.token_ids).sum() <= 5 and correct.token_ids.size == wrong.token_ids.size
    assert [case.published for case in CASES] == sorted((case.published for case in CASES), reverse=True)


@pytest.mark.parametrize("estimator", ["pmi", "rate"])
def test_the_published_order(scores, estimator):
    correct, wrong, verbose, loop = scores[estimator]
    assert correct > wrong > verbose > loop


def test_answer_entropy_does_not_see_a_loop(scores):
    """Recorded, not wanted: a loop has next to no entropy, so it ends above the verbose solution and near the concise ones."""
    correct, wrong, verbose, loop = scores["answer_entropy"]
    assert correct > loop and wrong > loop > verbose
    assert correct - wrong < 0.2 and correct - loop < 1.0 < loop - verbose


def test_advantage_entropy_knows_the_reward_and_not_the_length(scores):
    """Recorded, not wanted: among right solutions it prefers the one that hesitates more, among wrong ones the one that hesitates less."""
    correct, wrong, verbose, loop = scores["advantage_entropy"]
    assert verbose > correct > loop > wrong

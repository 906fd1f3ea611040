"""Scoring passes: for each need of an estimator, which tokens are scored in which context.

I(r;a) compares the same answer tokens, lead-in included (`Question.answer_ids`, e.g. the ids of `\\boxed{7}`), after the prompt alone and
after prompt + response, where the response ends before its own final answer and before its end token.
I(q;r) compares the tokens a trajectory owns in two contexts that differ in the question alone: the prompt, and the prompt of an empty
question; the prefix shared with the root stands in both. A branch is thus scored on its suffix after the fork.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ib_lpo.scoring.answer_span import answer_start
from ib_lpo.scoring.estimators import Need
from ib_lpo.tree import Question, Status, Trajectory

Decode = Callable[[Sequence[int]], str]


@dataclass(frozen=True, slots=True)
class Pass:
    """Log-probs of `target` after `context`; context is never empty, so the first target token has one."""

    context: tuple[int, ...]
    target: tuple[int, ...]


def _own_given_question(question: Question, trajectory: Trajectory, decode: Decode) -> Pass:
    return Pass((*question.prompt_ids, *trajectory.prefix_ids.tolist()), tuple(trajectory.token_ids.tolist()))


def _own_alone(question: Question, trajectory: Trajectory, decode: Decode) -> Pass:
    if not question.empty_prompt_ids:
        raise ValueError(f"question {question.id}: no empty_prompt_ids; set them to the prompt of an empty question")
    return Pass((*question.empty_prompt_ids, *trajectory.prefix_ids.tolist()), tuple(trajectory.token_ids.tolist()))


def _answer_given_response(question: Question, trajectory: Trajectory, decode: Decode) -> Pass:
    response = trajectory.response_ids.tolist()
    start = answer_start(response, decode)
    if start is None:
        start = len(response) - (trajectory.status is Status.FINISHED)
    return Pass((*question.prompt_ids, *response[:start]), question.answer_ids)


def _answer_given_question(question: Question, trajectory: Trajectory, decode: Decode) -> Pass:
    return Pass(question.prompt_ids, question.answer_ids)


PASSES: dict[Need, Callable[[Question, Trajectory, Decode], Pass]] = {
    Need.OWN_GIVEN_QUESTION: _own_given_question,
    Need.OWN_ALONE: _own_alone,
    Need.ANSWER_GIVEN_RESPONSE: _answer_given_response,
    Need.ANSWER_GIVEN_QUESTION: _answer_given_question,
}

"""Scoring passes: for each need of an estimator, which tokens are scored in which context.

I(r;a) compares the same answer tokens (`Question.answer_ids`, e.g. the ids of `\\boxed{7}`) after the prompt alone and after prompt and
response, where the response ends before the first answer it states and before its end token. `Question.lead_ids` (a line break) stand
before the answer in both, so that a response cut in mid-sentence is not asked to go on with it.
I(q;r) compares the tokens a trajectory owns in two contexts that differ in the question alone: the prompt, and the prompt of an empty
question; the prefix shared with its parent stands in both. A branch is thus scored on its suffix after the fork.
"""

from collections.abc import Callable, Sequence

import numpy as np

from ib_lpo.policy.forest import Path
from ib_lpo.scoring.answer_span import Decode, answer_start
from ib_lpo.scoring.answer_text import first_answer_offset
from ib_lpo.scoring.estimators import Need
from ib_lpo.tree import Question, Status, Trajectory


def reasoning_end(trajectory: Trajectory, decode: Decode) -> int:
    """Number of response tokens before the first answer it states or, without one, before the end token."""
    response = trajectory.response_ids.tolist()
    start = answer_start(response, decode, first_answer_offset)
    return max(0, len(response) - (trajectory.status is Status.FINISHED)) if start is None else start


def longest_pass(question: Question, max_response_tokens: int) -> int:
    """Tokens of the longest pass over a response of at most `max_response_tokens`."""
    answer = len(question.lead_ids) + len(question.answer_ids)
    return max_response_tokens + max(len(question.prompt_ids) + answer, len(question.informed_prompt_ids), len(question.empty_prompt_ids))


def answer_after(question: Question, response_ids: np.ndarray) -> Path:
    """log pi(a | q, response_ids). Raises ValueError for a question without a gold answer."""
    if not question.answer_ids:
        raise ValueError(f"question {question.id}: no answer_ids; set them to the spelling of its gold answer")
    context = np.concatenate([question.prompt_ids, response_ids, question.lead_ids])
    return _path(context, question.answer_ids)


def profile_positions(trajectory: Trajectory, end: int, points: int) -> tuple[int, ...]:
    """`points` + 1 numbers of response tokens, evenly spread from the fork (a root: from nothing) to `end`, both included; fewer where
    they coincide, none when the reasoning ends before the fork or `points` is 0."""
    begin = len(trajectory.prefix_ids)
    if points == 0 or end < begin:
        return ()
    return tuple(int(position) for position in np.unique(np.linspace(begin, end, points + 1).round()))


def _own_given_question(question: Question, trajectory: Trajectory, end: int) -> Path:
    return _own_after(question.prompt_ids, trajectory)


def _own_alone(question: Question, trajectory: Trajectory, end: int) -> Path:
    if not question.empty_prompt_ids:
        raise ValueError(f"question {question.id}: no empty_prompt_ids; set them to the prompt of an empty question")
    return _own_after(question.empty_prompt_ids, trajectory)


def _own_given_answer(question: Question, trajectory: Trajectory, end: int) -> Path:
    if not question.informed_prompt_ids:
        raise ValueError(f"question {question.id}: no informed_prompt_ids; set them to its prompt with the gold answer shown")
    return _own_after(question.informed_prompt_ids, trajectory)


def _answer_given_response(question: Question, trajectory: Trajectory, end: int) -> Path:
    return answer_after(question, trajectory.response_ids[:end])


def _answer_given_question(question: Question, trajectory: Trajectory, end: int) -> Path:
    return answer_after(question, np.zeros(0, dtype=np.int32))


def _own_after(prompt: Sequence[int], trajectory: Trajectory) -> Path:
    return _path(np.concatenate([prompt, trajectory.prefix_ids]), trajectory.token_ids)


def _path(context: Sequence[int], target: Sequence[int]) -> Path:
    return Path(ids=np.concatenate([context, target]).astype(np.int32), start=len(context))


PASSES: dict[Need, Callable[[Question, Trajectory, int], Path]] = {
    Need.OWN_GIVEN_QUESTION: _own_given_question,
    Need.OWN_ALONE: _own_alone,
    Need.OWN_GIVEN_ANSWER: _own_given_answer,
    Need.ANSWER_GIVEN_RESPONSE: _answer_given_response,
    Need.ANSWER_GIVEN_QUESTION: _answer_given_question,
}
"""The pass of each need; the last argument is `reasoning_end` of the trajectory."""

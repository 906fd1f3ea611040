"""Rollout trees for tests."""

import numpy as np

from ib_lpo.tree import Fork, IbScore, Question, RolloutTree, Status, Trajectory, Verdict, VersionSpan


def question(name: str = "q", answer: str = "7", **ids: tuple[int, ...]) -> Question:
    given = {"prompt_ids": (1, 2), "answer_ids": (3,), "empty_prompt_ids": (1,)} | ids
    return Question(id=name, text="?", answer=answer, **given)


def trajectory(
    name: str, token_ids: list[int], *, prefix_ids: list[int] = (), parent: str | None = None, status: Status = Status.FINISHED
) -> Trajectory:
    zeros = np.zeros(len(token_ids), dtype=np.float32)
    fork = None if parent is None else Fork(position=len(prefix_ids), entropy=1.0, candidates=1, prefix_length=len(prefix_ids))
    return Trajectory(
        id=name,
        parent=parent,
        fork=fork,
        seed=0,
        engine=0,
        prefix_ids=np.array(prefix_ids, dtype=np.int32),
        token_ids=np.array(token_ids, dtype=np.int32),
        logprobs=zeros,
        entropies=zeros,
        spans=(VersionSpan(version=0, start=0, end=len(token_ids)),),
        status=status,
        cached_tokens=0,
    )


def judged(name: str, verdict: Verdict, score: float | None = None, parent: str | None = None) -> Trajectory:
    """A graded and perhaps scored trajectory of one token."""
    made = trajectory(name, [5], parent=parent)
    made.verdict = verdict
    made.reward = {Verdict.CORRECT: 1.0, Verdict.UNVERIFIABLE: None}.get(verdict, 0.0)
    if score is not None:
        made.ib = scored(score)
    return made


def scored(value: float) -> IbScore:
    """S_IB = value, of terms that fit it with beta = 2."""
    return IbScore(estimator="pmi", relevance=value, compression=value, relevance_z=value, compression_z=value, score=value)


def tree(*trajectories: Trajectory, of: Question | None = None) -> RolloutTree:
    return RolloutTree(question=of or question(), trajectories=list(trajectories))

"""Which trajectories of a step are shown, and as what."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ib_lpo.tracking.config import TrackingConfig
from ib_lpo.tracking.rollouts import TABLE_HEAD, TABLE_TAIL, rollouts, shortened
from ib_lpo.tree import Failure, FailureMode, Fork, IbScore, Label, Question, RolloutTree, Status, Trajectory, Verdict

EVERY = TrackingConfig(rollouts_every=1)


def decode(ids):
    return " ".join(map(str, ids))


def trajectory(id, **values):
    tokens = np.arange(3, dtype=np.int32)
    generated = {
        "prefix_ids": tokens[:0],
        "token_ids": tokens,
        "logprobs": -tokens.astype(np.float32),
        "entropies": tokens.astype(np.float32),
    }
    return Trajectory(**{"id": id, "seed": 1, "engine": 0, "spans": (), "status": Status.FINISHED, "cached_tokens": 0} | generated | values)


def tree(number, count):
    question = Question(id=f"q{number}", text=f"What is {number}?", answer=str(number), prompt_ids=(1,), answer_ids=(2,))
    return RolloutTree(question=question, trajectories=[trajectory(f"q{number}/r{n}") for n in range(count)])


def shown(trees, step=1, seed=0, **config):
    return [row["trajectory"] for row in rollouts(trees, step, EVERY.model_copy(update=config), seed=seed, decode=decode)]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=6), st.integers(1, 20), st.integers(1, 9), st.integers(0, 9))
def test_they_are_spread_over_the_questions(sizes, limit, step, seed):
    trees = [tree(number, count) for number, count in enumerate(sizes)]
    found = shown(trees, step, seed, rollouts=limit)
    assert len(found) == min(limit, sum(sizes)) and found == shown(trees, step, seed, rollouts=limit)
    assert found == [t.id for one in trees for t in one.trajectories if t.id in found]
    of = Counter(id.split("/")[0] for id in found)
    assert all(of[f"q{n}"] == size or of[f"q{n}"] >= max(of.values()) - 1 for n, size in enumerate(sizes))


def test_another_step_or_seed_shows_others_and_in_the_long_run_all():
    trees = [tree(0, 8)]
    draws = [tuple(shown(trees, step, seed, rollouts=2)) for step in range(1, 20) for seed in range(3)]
    assert {id for draw in draws for id in draw} == {f"q0/r{n}" for n in range(8)}


def test_they_are_due_at_the_first_step_and_every_so_many_after_it():
    due = [step for step in range(1, 31) if shown([tree(0, 1)], step, rollouts_every=10)]
    assert due == [1, 11, 21]
    assert shown([tree(0, 1)], rollouts_every=0) == []


def test_a_branch_is_told_whole():
    ids = np.arange(5, dtype=np.int32)
    branch = trajectory(
        "q0/r0/b1",
        parent="q0/r0",
        fork=Fork(position=1, entropy=1.5, candidates=4, prefix_length=2),
        prefix_ids=ids[:2],
        token_ids=ids[2:],
        status=Status.TRUNCATED,
        verdict=Verdict.WRONG,
        reward=0.25,
        kept=False,
        label=Label.PRUNED,
        rank=3,
        ib=IbScore(estimator="pmi", relevance=0.5, compression=2.0, relevance_z=-1.0, compression_z=1.0, score=-3.0),
        failures=tuple(Failure(mode=mode, start=0, end=2, measure=1.0) for mode in (FailureMode.EMPTY_FLUFF, FailureMode.LOGICAL_DRIFT)),
    )
    one = tree(0, 0)
    one.trajectories = [branch]
    assert rollouts([one], 4, EVERY, seed=0, decode=decode) == [
        {
            "step": 4,
            "question_id": "q0",
            "question": "What is 0?",
            "answer": "0",
            "trajectory": "q0/r0/b1",
            "parent": "q0/r0",
            "status": "truncated",
            "verdict": "wrong",
            "reward": 0.25,
            "kept": False,
            "label": "pruned",
            "advantage": None,
            "s_ib": -3.0,
            "relevance": 0.5,
            "compression": 2.0,
            "relevance_z": -1.0,
            "compression_z": 1.0,
            "rank": 3,
            "failures": "empty_fluff, logical_drift",
            "fork_position": 1,
            "fork_entropy": 1.5,
            "tokens": 5,
            "own_tokens": 3,
            "mean_entropy": 1.0,
            "text": "0 1 2 3 4",
        }
    ]


def test_what_is_not_known_is_null():
    empty = trajectory("q0/r0", token_ids=np.zeros(0, np.int32), entropies=np.zeros(0, np.float32))
    one = tree(0, 0)
    one.trajectories = [empty]
    (row,) = rollouts([one], 1, EVERY, seed=0, decode=decode)
    unknown = {"parent", "verdict", "reward", "label", "advantage", "rank", "fork_position", "fork_entropy", "mean_entropy"}
    unknown |= {"s_ib", "relevance", "compression", "relevance_z", "compression_z"}
    assert {name for name, value in row.items() if value is None} == unknown
    assert (row["tokens"], row["failures"], row["text"]) == (0, "", "")


def test_a_long_response_is_cut_in_the_middle_and_says_so():
    limit = TABLE_HEAD + TABLE_TAIL
    assert shortened("x" * limit) == "x" * limit
    text = "a" * TABLE_HEAD + "b" * 1234 + "c" * TABLE_TAIL
    assert shortened(text) == "a" * TABLE_HEAD + "\n[... 1,234 characters cut ...]\n" + "c" * TABLE_TAIL

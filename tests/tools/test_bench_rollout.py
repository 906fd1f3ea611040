"""What the rollout's benchmarks compute without an engine: turns piece by piece, ratios, and where a tree's tokens went."""

from dataclasses import replace

import numpy as np
import pytest
from benchmarks.compare import Comparison, interleave
from benchmarks.trie import CAUSES, account

from ib_lpo.tree import Fork, Question, RolloutTree, Status, Trajectory, VersionSpan


def trajectory(id: str, *, tokens: int, cached: int, parent: str | None = None, prefix: int = 0) -> Trajectory:
    ones = np.ones(tokens, np.float32)
    return Trajectory(
        id=id,
        parent=parent,
        fork=None if parent is None else Fork(position=prefix - 1, entropy=1.0, candidates=1, prefix_length=prefix),
        latent=None,
        seed=0,
        engine=0,
        prefix_ids=np.ones(prefix, np.int32),
        token_ids=np.ones(tokens, np.int32),
        logprobs=-ones,
        entropies=ones,
        spans=(VersionSpan(version=0, start=0, end=tokens),),
        status=Status.TRUNCATED,
        cached_tokens=cached,
    )


@pytest.fixture
def tree() -> RolloutTree:
    """A prompt of 40, two roots of 30 in blocks of 32, and a branch that shares 27 response tokens with its root: 67 tokens, 64 cached."""
    question = Question(id="q", text="", answer="", prompt_ids=tuple(range(40)), answer_ids=())
    grown = [
        trajectory("q/r0", tokens=30, cached=0),
        trajectory("q/r1", tokens=30, cached=32),
        trajectory("q/r0/b0", tokens=5, cached=64, parent="q/r0", prefix=27),
    ]
    return RolloutTree(question=question, trajectories=grown)


def test_a_trees_tokens_are_split_by_cause(tree):
    total = (40 + 29) + (8 + 29) + (67 - 64 + 4 + 4)  # first root; second root; branch: from the cached block on, 4 slots, 4 own tokens
    found = account([tree], k_slots=4, total=total)
    assert (found.ideal, found.roots, found.partial_blocks, found.slots, found.forks) == (40 + 29 + 29 + 4, 8, 2, 4, 1)
    assert found.ideal + sum(getattr(found, cause) for cause in CAUSES) == total


def test_tokens_that_no_cause_explains_are_an_error(tree):
    with pytest.raises(ValueError, match="account for"):
        account([tree], k_slots=4, total=118)


def test_variants_take_turns_piece_by_piece_and_start_uncounted():
    seen: list[str] = []

    def variant(name: str, pieces: int):
        seen.append(f"{name} starts")
        yield 1000
        for _ in range(pieces):
            seen.append(name)
            yield 1

    found = interleave("t", "1/s", {"a": lambda: variant("a", 3), "b": lambda: variant("b", 3)}, 1, "cpu")
    one_round = seen[len(seen) // 2 :]
    assert one_round[:2] == ["a starts", "b starts"]
    assert [sorted(one_round[i : i + 2]) for i in (2, 4, 6)] == [["a", "b"]] * 3
    assert {name: len(numbers) for name, numbers in found.samples.items()} == {"a": 1, "b": 1}


def test_a_paired_ratio_is_that_of_the_rounds():
    samples = {"first": [1.0, 10.0, 100.0], "other": [2.0, 20.0, 50.0]}
    unpaired = Comparison(title="", unit="", samples=samples)
    assert unpaired.ratio("other") == 2.0
    assert replace(unpaired, samples=samples | {"other": [2.0, 30.0, 50.0]}).ratio("other") == 3.0
    assert replace(unpaired, samples=samples | {"other": [2.0, 30.0, 50.0]}, paired=True).ratio("other") == 2.0

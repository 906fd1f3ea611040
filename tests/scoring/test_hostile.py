"""The hostile corpus through a real verifier: no hang, one expected verdict each, nothing executed, memory bounded."""

import time
from contextlib import suppress
from pathlib import Path

import pytest

from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Verdict
from tests.scoring.hostile import corpus

DEADLINE_S, MEMORY_MB = 3.0, 256
CALL = 20  # items between two looks at the memory
PARENT_MB = 100  # what grading may add to this process, which holds the corpus already


def memory_mb(pid: int | str, field: str) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) >> 10


@pytest.fixture(scope="module")
def canary(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile") / "canary"


@pytest.fixture(scope="module")
def items(canary):
    return corpus(canary)


def test_the_corpus_is_large_and_distinct(items):
    assert len({item.name for item in items}) == len({(item.response, item.gold) for item in items}) == len(items) >= 200
    assert sum(item.allowed == {Verdict.CORRECT} for item in items) < len(items) / 10


def test_an_executed_injection_would_show(items, canary):
    """The control: the very texts of the corpus do leave the canary when something executes them."""
    spells = [item.gold for item in items if item.name.startswith("injections") and item.gold != "7"]
    assert sum(_leaves(canary, spell) for spell in spells) >= 5


def test_the_whole_corpus(items, canary):
    verifier = Verifier(VerifierConfig(deadline_s=DEADLINE_S, memory_mb=MEMORY_MB, workers=2))
    verifier.ready()
    idle = max(memory_mb(pid, "VmPeak") for pid in verifier.pids)
    parent, begun = memory_mb("self", "VmRSS"), time.monotonic()
    grades, peaks = [], []
    for first in range(0, len(items), CALL):
        grades += verifier.grade([(item.response, item.gold) for item in items[first : first + CALL]])
        peaks += [memory_mb(pid, "VmPeak") for pid in verifier.pids]
    seconds = time.monotonic() - begun
    grown, stats = memory_mb("self", "VmRSS") - parent, verifier.stats()
    verifier.close()

    surprises = [(item.name, grade) for item, grade in zip(items, grades, strict=True) if grade.verdict not in item.allowed]
    assert surprises == []
    assert all((grade.reward is None) == (grade.verdict is Verdict.UNVERIFIABLE) == (grade.cause is not None) for grade in grades)
    assert not canary.exists()
    assert seconds < len(items) * DEADLINE_S / 2
    assert stats["verifier/overrun"] <= len(items) / 100  # nearly all are settled long before the deadline
    assert max(peaks) - idle <= MEMORY_MB
    assert grown < PARENT_MB


def test_their_golds_are_refused_and_nothing_is_executed(items, canary):
    verifier = Verifier(VerifierConfig(deadline_s=DEADLINE_S, memory_mb=MEMORY_MB))
    golds = [item.gold for item in items if item.name.startswith(("golds", "injections"))]
    bad = verifier.check_gold(golds)
    verifier.close()
    assert all(golds[index] != "7" for index in bad)
    assert {index for index, item in enumerate(golds) if len(item) > 4000 or not item.strip()} <= set(bad)
    assert not canary.exists()


def _leaves(canary: Path, spell: str) -> bool:
    with suppress(Exception):  # most spells are no Python
        exec(spell, {})
    left = canary.exists()
    canary.unlink(missing_ok=True)
    return left

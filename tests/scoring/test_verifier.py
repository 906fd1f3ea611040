"""The verifier with real grading processes: hostile items, killed processes, killed parents."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG, Cause, unverifiable
from ib_lpo.scoring.grading_handle import GradingProcess, Stillborn, VerifierError
from ib_lpo.scoring.rewards.find import locate
from ib_lpo.scoring.verifier import MAX_ITEM_CHARS, Verifier
from tests.scoring.plugins import HERE

GOOD, BAD = (r"so \boxed{7}", "7"), (r"so \boxed{8}", "7")
FINE, ENDLESS, UNEVEN = ("fine", "7"), ("hang", "7"), f"{HERE}:mixed"
OVERRUN, CRASH = unverifiable(Cause.OVERRUN), unverifiable(Cause.CRASH)
MATH = locate("math")


def gone(pid: int, within_s: float = 10.0) -> bool:
    """Whether the process ends in time; a zombie has ended."""
    ends = time.monotonic() + within_s
    while time.monotonic() < ends:
        status = Path(f"/proc/{pid}/stat")
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def shared():
    verifier = Verifier(VerifierConfig(workers=1, deadline_s=20.0))
    verifier.ready()
    yield verifier
    verifier.close()


@pytest.fixture(scope="module")
def impatient():
    verifier = Verifier(VerifierConfig(workers=2, deadline_s=1.0, memory_mb=64, reward=UNEVEN))
    verifier.ready()
    yield verifier
    verifier.close()


def test_verdicts_come_in_order(shared):
    items = [GOOD, BAD, ("no answer", "7"), (r"\boxed{\sqrt{8}}", r"2\sqrt{2}"), GOOD, ("", "")] * 5
    assert shared.grade(items) == [CORRECT, WRONG, NO_ANSWER, CORRECT, CORRECT, NO_ANSWER] * 5
    assert shared.grade([]) == []


def test_order_holds_across_processes_of_different_speed():
    verifier = Verifier(VerifierConfig(workers=3, deadline_s=20.0))
    slow = (r"\boxed{\sin(\cos(\tan(\sin(\cos(\tan(x))))))}", "7")
    items = [slow, GOOD, BAD, GOOD, slow, GOOD, BAD]
    assert verifier.grade(items) == [WRONG, CORRECT, WRONG, CORRECT, WRONG, CORRECT, WRONG]
    verifier.close()


def test_strange_texts_are_graded(shared):
    items = [
        ("\x00\\boxed{7}\ud800", "7"),
        ("w" * 5_000_000 + r"\boxed{7}", "7"),
        (r"\boxed{" * 300_000, "7"),
        ("\\boxed{\u0667}", "7"),
        (r"\boxed{" + "9" * 10_000 + "}", "7"),
        (r"\boxed{7}", "7" * 5_000_000),
        ("x" * MAX_ITEM_CHARS + r"\boxed{7}", "7"),
    ]
    too_long = unverifiable(Cause.TOO_LONG)
    assert shared.grade(items) == [CORRECT, CORRECT, NO_ANSWER, WRONG, too_long, unverifiable(Cause.BAD_GOLD), too_long]
    assert shared.stats()["verifier/too_long"] == 2.0 and shared.stats()["verifier/bad_gold"] == 1.0


def test_finds_bad_golds(shared):
    assert shared.check_gold(["7", "", r"\frac{1}{2}", r"\frac{", "x" * 10_000, "7", ""]) == [1, 3, 4, 6]


def test_thousands_of_golds_are_checked_in_a_moment(shared):
    begun = time.monotonic()
    golds = [str(n % 3000) for n in range(20_000)]
    assert shared.check_gold([*golds, "?!"]) == [20_000]
    assert time.monotonic() - begun < 10.0


def test_an_overrun_is_unverifiable_counted_and_replaced(impatient):
    pids, counts = set(impatient.pids), impatient.stats()
    assert impatient.grade([ENDLESS, FINE]) == [OVERRUN, CORRECT]
    assert impatient.stats()["verifier/overrun"] == counts["verifier/overrun"] + 1
    assert impatient.stats()["verifier/replaced"] == counts["verifier/replaced"] + 1
    (killed,) = pids - set(impatient.pids)
    assert gone(killed)


def test_a_process_killed_in_flight_loses_its_item_alone():
    verifier = Verifier(VerifierConfig(workers=1, deadline_s=20.0, reward=UNEVEN))
    verifier.ready()
    killer = threading.Timer(0.5, os.kill, (verifier.pids[0], signal.SIGKILL))
    killer.start()
    begun = time.monotonic()
    assert verifier.grade([ENDLESS, FINE]) == [CRASH, CORRECT]
    assert time.monotonic() - begun < 15.0
    assert verifier.stats()["verifier/crash"] == 1.0
    verifier.close()


def test_a_process_killed_while_idle_costs_no_item(shared):
    shared.grade([GOOD])
    pid = shared.pids[0]
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert shared.grade([GOOD, BAD]) == [CORRECT, WRONG]
    assert shared.stats()["verifier/crash"] == 0.0


def test_a_process_killed_while_it_starts_is_replaced():
    verifier = Verifier(VerifierConfig(workers=1, deadline_s=20.0))
    try:
        os.kill(verifier.pids[0], signal.SIGKILL)
        verifier.ready()
        assert verifier.grade([GOOD, BAD]) == [CORRECT, WRONG]
        assert verifier.stats()["verifier/replaced"] == 1.0
    finally:
        verifier.close()


def test_a_process_that_no_longer_reads_loses_an_item_too_large_for_its_socket():
    verifier = Verifier(VerifierConfig(workers=1, deadline_s=0.5))
    verifier.ready()
    pid = verifier.pids[0]
    os.kill(pid, signal.SIGSTOP)
    assert verifier.grade([("w" * 4_000_000 + r"\boxed{7}", "7"), GOOD]) == [CORRECT, CORRECT]
    assert gone(pid) and verifier.stats()["verifier/replaced"] == 1.0
    verifier.close()


def test_an_item_that_cannot_be_read_within_the_memory_bound_is_a_crash():
    verifier = Verifier(VerifierConfig(workers=1, memory_mb=32))
    assert verifier.grade([("\U0001f642" * 8_000_000, "7"), GOOD]) == [CRASH, CORRECT]
    verifier.close()


@pytest.mark.parametrize(("memory_mb", "reply"), [(64, b"7 unverifiable memory - 1"), (4096, b"7 correct - 1.0 0")])
def test_memory_is_bounded_and_a_swallowed_memory_error_is_not_wrong(memory_mb, reply):
    """math-verify turns MemoryError into "not equal"; here a reward that wants 1000 MB stands in for it."""
    process = GradingProcess(VerifierConfig(memory_mb=memory_mb), UNEVEN)
    assert process.connection.poll(60.0) and process.collect() is None
    process.connection.send((7, "grade", "swallow", "7"))
    assert process.connection.poll(60.0) and process.connection.recv_bytes() == reply
    process.kill()


@pytest.mark.parametrize("how", ["fork", "fork_and_wait", "multiprocessing", "fork_and_stay"])
def test_a_reward_that_forks_grades_no_other_item(how):
    """The child would answer as well, and its answer would be taken for the next item's."""
    verifier = Verifier(VerifierConfig(workers=1, deadline_s=20.0, reward=f"{HERE}:forking"))
    shares = [0.0, 0.25, 0.5, 0.75, 1.0] * 4
    grades = verifier.grade([(f"{how} {share}", "7") for share in shares])
    assert [grade.reward for grade in grades] == shares
    verifier.close()


def test_what_a_reward_forked_ends_with_its_grader(tmp_path):
    verifier = Verifier(VerifierConfig(workers=1, deadline_s=20.0, reward=f"{HERE}:forking"))
    verifier.grade([(f"fork_and_stay 1.0 {tmp_path}/pid", "7")])
    child = int((tmp_path / "pid").read_text())
    verifier.close()
    assert gone(child)


def test_a_reply_to_another_request_is_passed_over():
    """As of a reward that writes to the socket, or of whatever else makes a process answer twice."""
    process = GradingProcess(VerifierConfig(), f"{HERE}:ends_with")
    assert process.connection.poll(60.0) and process.collect() is None
    process.submit(0, ("grade", "a 7", "7"))
    process.connection.send((99, "grade", "b 8", "7"))  # answered as well, under its own number
    assert process.connection.poll(60.0) and process.collect().grade == CORRECT
    process.submit(1, ("grade", "c 7", "7"))
    assert process.connection.poll(60.0) and process.collect() is None and process.ticket == 1
    assert process.connection.poll(60.0) and process.collect().grade == CORRECT
    process.kill()


def test_close_leaves_no_process():
    verifier = Verifier(VerifierConfig(workers=2))
    verifier.ready()
    pids = verifier.pids
    verifier.close()
    verifier.close()
    assert all(gone(pid) for pid in pids)
    with pytest.raises(VerifierError, match="closed"):
        verifier.grade([GOOD])


@pytest.mark.parametrize("busy", [False, True])
def test_no_process_outlives_a_killed_parent(busy):
    script = (
        "from ib_lpo.scoring.config import VerifierConfig\n"
        "from ib_lpo.scoring.verifier import Verifier\n"
        f"verifier = Verifier(VerifierConfig(workers=2, deadline_s=600, reward={UNEVEN!r}))\n"
        "verifier.ready()\n"
        "print(*verifier.pids, flush=True)\n"
        f"verifier.grade([{ENDLESS!r}] * 2) if {busy} else input()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    pids = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(pids) == 2
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    assert all(gone(pid) for pid in pids)


def test_a_grading_process_holds_no_torch():
    process = GradingProcess(VerifierConfig(), MATH)
    assert process.connection.poll(60.0) and process.collect() is None
    mapped = Path(f"/proc/{process.pid}/maps").read_text()
    process.kill()
    assert "libtorch" not in mapped and "python" in mapped


def test_a_process_that_cannot_start_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/bin/true")
    verifier = Verifier(VerifierConfig())
    with pytest.raises(Stillborn, match="ended before it was ready"):
        verifier.ready()
    verifier.close()
    sleeper = tmp_path / "python"
    sleeper.write_text("#!/bin/sh\nexec sleep 60\n")
    sleeper.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(sleeper))
    verifier = Verifier(VerifierConfig(start_deadline_s=0.3))
    with pytest.raises(VerifierError, match="start_deadline_s"):
        verifier.ready()
    verifier.close()

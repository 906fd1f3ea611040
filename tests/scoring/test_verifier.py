"""The verifier with real grading processes: hostile items, killed processes, killed parents."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grading_handle import GradingProcess, VerifierError
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Verdict

CORRECT, WRONG, NO_ANSWER, UNVERIFIABLE = Verdict.CORRECT, Verdict.WRONG, Verdict.NO_ANSWER, Verdict.UNVERIFIABLE
GOOD, BAD = (r"so \boxed{7}", "7"), (r"so \boxed{8}", "7")
ENDLESS = (r"\boxed{10^{10^{10}}}", "7")


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
    verifier = Verifier(VerifierConfig(workers=2, deadline_s=1.0, memory_mb=64))
    verifier.ready()
    yield verifier
    verifier.close()


def test_verdicts_come_in_order(shared):
    items = [GOOD, BAD, ("no answer", "7"), (r"\boxed{\sqrt{8}}", r"2\sqrt{2}"), GOOD, ("", "")] * 5
    assert shared.grade(items) == [CORRECT, WRONG, NO_ANSWER, CORRECT, CORRECT, NO_ANSWER] * 5
    assert shared.grade([]) == []


def test_order_holds_across_processes_of_different_speed():
    verifier = Verifier(VerifierConfig(workers=3, deadline_s=20.0))
    slow = (r"\boxed{\prod_{i=1}^{20000} i}", "7")
    items = [slow, GOOD, BAD, GOOD, slow, GOOD, BAD]
    assert verifier.grade(items) == [WRONG, CORRECT, WRONG, CORRECT, WRONG, CORRECT, WRONG]
    verifier.close()


def test_strange_texts_are_graded(shared):
    items = [
        ("\x00\\boxed{7}\ud800", "7"),
        ("w" * 5_000_000 + r"\boxed{7}", "7"),
        (r"\boxed{" * 300_000, "7"),
        ("}" * 300_000 + r"\boxed{7}", "7"),
        ("\\boxed{\u0667}", "7"),
        (r"\boxed{" + "9" * 10_000 + "}", "7"),
        (r"\boxed{" + "9" * 100_000 + "}", "7"),
        (r"\boxed{7}", "7" * 5_000_000),
    ]
    assert shared.grade(items) == [CORRECT, CORRECT, NO_ANSWER, CORRECT, WRONG, UNVERIFIABLE, NO_ANSWER, UNVERIFIABLE]
    assert shared.stats()["verifier/too_long"] == shared.stats()["verifier/bad_gold"] == 1.0


def test_nothing_in_an_answer_is_executed(shared, tmp_path):
    touched = tmp_path / "touched"
    spells = [f"__import__('pathlib').Path('{touched}').touch()", f"exec(\"open('{touched}', 'w')\")", f"\\input{{|touch {touched}}}"]
    spells += [f"\\text{{__import__('os').system('touch {touched}')}}", f"$(touch {touched})", f"7); open('{touched}','w'); (7"]
    shared.grade([(f"\\boxed{{{spell}}}", gold) for spell in spells for gold in ("7", spell)])
    shared.check_gold(spells)
    assert not touched.exists()


def test_finds_bad_golds(shared):
    assert shared.check_gold(["7", "", r"\frac{1}{2}", r"\frac{", "x" * 10_000]) == [1, 3, 4]


@pytest.mark.parametrize(
    "hostile", [ENDLESS[0], r"\boxed{((((10!)!)!)!)!}", r"\boxed{(a+b+c+d+e)^{200}}", "\\boxed{" + "(" * 60 + "1+" * 60]
)
def test_hostile_items_cost_only_themselves(impatient, hostile):
    begun = time.monotonic()
    closed = hostile if hostile.endswith("}") else hostile + "1" + ")" * 60 + "}"
    assert impatient.grade([GOOD, (closed, "7"), BAD, GOOD]) in ([CORRECT, UNVERIFIABLE, WRONG, CORRECT], [CORRECT, WRONG, WRONG, CORRECT])
    assert time.monotonic() - begun < 10.0


def test_an_overrun_is_unverifiable_counted_and_replaced(impatient):
    pids, counts = set(impatient.pids), impatient.stats()
    assert impatient.grade([ENDLESS, GOOD]) == [UNVERIFIABLE, CORRECT]
    assert impatient.stats()["verifier/overrun"] == counts["verifier/overrun"] + 1
    assert impatient.stats()["verifier/replaced"] == counts["verifier/replaced"] + 1
    (killed,) = pids - set(impatient.pids)
    assert gone(killed)


def test_a_process_killed_in_flight_loses_its_item_alone():
    verifier = Verifier(VerifierConfig(workers=1, deadline_s=20.0))
    verifier.ready()
    killer = threading.Timer(0.5, os.kill, (verifier.pids[0], signal.SIGKILL))
    killer.start()
    begun = time.monotonic()
    assert verifier.grade([ENDLESS, GOOD]) == [UNVERIFIABLE, CORRECT]
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


SWALLOWING = """
import sys
from ib_lpo.scoring import grading, grading_process

def hungry(gold, found, timeout_seconds):
    held = []
    try:
        while len(held) < 1000:
            held.append(bytearray(1 << 20))
    except MemoryError:
        return False
    return True

bound = grading_process.Room.__init__

def bound_then_hungry(room, size):
    bound(room, size)
    grading.verify = hungry

grading_process.Room.__init__ = bound_then_hungry
grading_process.main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
"""


@pytest.mark.parametrize(("memory_mb", "reply"), [(64, b"unverifiable memory 1"), (4096, b"correct - 0")])
def test_memory_is_bounded_and_a_swallowed_memory_error_is_not_wrong(memory_mb, reply):
    """math-verify turns MemoryError into "not equal"; here a comparison that wants 1000 MB stands in for it."""
    ours, theirs = socket.socketpair()
    command = [sys.executable, "-c", SWALLOWING, str(theirs.fileno()), str(os.getpid()), str(memory_mb)]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
    connection = Connection(ours.detach())
    assert connection.poll(60.0) and connection.recv_bytes() == b"ready"
    connection.send(("grade", r"\boxed{x+1}", "y+1"))
    assert connection.poll(60.0) and connection.recv_bytes() == reply
    process.kill()
    process.wait()


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
        "verifier = Verifier(VerifierConfig(workers=2, deadline_s=600))\n"
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
    process = GradingProcess(VerifierConfig())
    assert process.connection.poll(60.0) and process.collect() is None
    mapped = Path(f"/proc/{process.pid}/maps").read_text()
    process.kill()
    assert "libtorch" not in mapped and "python" in mapped


def test_a_process_that_cannot_start_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", "/bin/true")
    verifier = Verifier(VerifierConfig())
    with pytest.raises(VerifierError, match="ended before it was ready"):
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

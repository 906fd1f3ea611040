"""How much one core verifies in a second, and how long a hostile item takes.

Invariant: CPU seconds are those of the calling process and of the grading process together, starting excluded; every round has a fresh
grading process and questions of its own, so that no cache carries over. What is counted must be right: a verdict that is not the drawn
one is an error.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import median, quantiles

import psutil
from math_verify import LatexExtractionConfig, parse, verify

from benchmarks.compare import Comparison, alternate, goal
from benchmarks.verifier_items import SHARES, distinct, ordinary
from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Verdict

ROOT = Path(__file__).resolve().parents[2]
QUESTIONS = 250
GOAL = 500.0  # ordinary items per second and core
Items = list[tuple[str, str, bool]]


def throughput(rounds: int) -> list[Comparison]:
    """Items per second and core: the ordinary mix, each kind alone, and the worst case for caches."""
    draws: dict[str, Callable[[Random], Items]] = {"ordinary mix": lambda random: ordinary(random, QUESTIONS)}
    draws |= {f"{kind} answers alone": lambda random, kind=kind: ordinary(random, QUESTIONS, {kind: 1.0}) for kind in SHARES}
    draws["symbolic answers, all distinct"] = lambda random: distinct(random, 2 * QUESTIONS)
    rates = {f"verifier, {name}": _rate(draw, _verifier_seconds) for name, draw in draws.items()}
    for name in ("ordinary mix", "symbolic answers, all distinct"):
        rates[f"math-verify alone, {name}"] = _rate(lambda random, draw=draws[name]: draw(random)[:400], _math_verify_seconds)
    found = alternate("Items per second and core", "items/s", rates, rounds)
    note = f"{QUESTIONS} questions a round. Ordinary mix: {goal(GOAL, median(found.samples['verifier, ordinary mix']))}"
    return [found.noted(note)]


def hostility(rounds: int) -> list[Comparison]:
    """Milliseconds from submission to verdict of every hostile item of tests/scoring/hostile.py, one after the other, in one process."""
    sys.path.insert(0, str(ROOT))
    from tests.scoring.hostile import corpus

    deadline_s = VerifierConfig().deadline_s
    with tempfile.TemporaryDirectory() as folder:
        items = corpus(Path(folder) / "canary")
        verifier = Verifier(VerifierConfig())
        latencies: dict[str, list[float]] = {"all": []}
        for item in items:
            verifier.ready()  # a replaced process starts while nobody waits
            begun = time.perf_counter()
            (grade,) = verifier.grade([(item.response, item.gold)])
            taken = (time.perf_counter() - begun) * 1e3
            if grade.verdict not in item.allowed:
                raise ValueError(f"{item.name}: {grade}, but only {', '.join(item.allowed)} would be right")
            for name in ("all", item.name.rpartition(" ")[0]):
                latencies.setdefault(name, []).append(taken)
        stats = verifier.stats()
        verifier.close()
    centiles = quantiles(latencies["all"], n=100)
    note = (
        f"{len(items)} items; p50 {centiles[49]:,.1f} ms, p99 {centiles[98]:,.1f} ms, deadline {deadline_s * 1e3:,.0f} ms: "
        f"goal p99 under it {'met' if centiles[98] < deadline_s * 1e3 else 'missed'}; {stats['verifier/overrun']:.0f} overran."
    )
    return [Comparison(title="Latency on the hostile corpus", unit="ms", samples=latencies, note=note)]


def _rate(draw: Callable[[Random], Items], seconds: Callable[[Items], float]) -> Callable[[], float]:
    """A variant: every call draws the next questions of the same sequence."""
    random = Random(0)

    def measured() -> float:
        items = draw(random)
        return len(items) / seconds(items)

    return measured


def _verifier_seconds(items: Items) -> float:
    verifier = Verifier(VerifierConfig())
    verifier.ready()
    process = psutil.Process(verifier.pids[0])
    begun = time.process_time() + _cpu(process)
    grades = verifier.grade([(response, gold) for response, gold, _ in items])
    seconds = time.process_time() + _cpu(process) - begun
    verifier.close()
    for (response, gold, right), grade in zip(items, grades, strict=True):
        if (grade.verdict is Verdict.CORRECT) != right:
            raise ValueError(f"{response[-80:]} for {gold}: {grade}, but it is {'right' if right else 'wrong'}")
    return seconds


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def _math_verify_seconds(items: Items) -> float:
    """In this process, without caches of ours, without time-outs; its verdicts are not looked at."""
    extraction = [LatexExtractionConfig()]
    begun = time.process_time()
    for response, gold, _ in items:
        wanted = parse(f"\\boxed{{{gold}}}", extraction, parsing_timeout=None)
        verify(wanted, parse(response, extraction, parsing_timeout=None), timeout_seconds=None)
    return time.process_time() - begun

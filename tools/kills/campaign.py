"""A run that is struck again and again until a list of kills is done; what each kill met, and how long it took to mend."""

import os
import random
import re
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kills.life import Life
from kills.moments import strike
from kills.processes import graders, workers

KINDS = ("engine", "hang", "scorer", "verifier", "grader", "sampler", "learner", "driver")
"""`hang`: an engine that is stopped (SIGSTOP) instead of killed; `grader`: one of the verifier's grading processes."""
DEADLINE_S = 400.0  # until the first step, and for a recovery
_FADE_S = (
    150.0  # that processes may outlive their driver: after its SIGKILL two agents of Ray look for their parent for a minute and a half
)
_AHEAD = 6  # steps that a driver may do at most before the moment of its kill is looked for
_AIM_S = 60.0  # that a moment is waited for; then any will do
_STEPS_ON = 3  # done after a kill, though it is not mended yet: then it need not be waited for


@dataclass(slots=True)
class Kill:
    """`step`: the last one that was done before; `met`: the call that failed by it, as the driver says, else the moment that was aimed at;
    `recovery_s`: until the next answer of that kind, None when the run ended before."""

    kind: str
    victim: str
    step: int
    met: str
    at: float = 0.0
    recovery_s: float | None = None


@dataclass(slots=True)
class Ordeal:
    """A run that has ended, with all lives of its driver."""

    run_dir: Path
    kills: list[Kill] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    survivors: list[str] = field(default_factory=list)
    unmended: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Campaign:
    """`plan`: kind and moment of every kill, in order."""

    def __init__(
        self, folder: Path, manifest: Path, run_dir: Path, plan: Sequence[tuple[str, str]], *, seed: int, echo: Callable[[str], None]
    ):
        """`folder`: where the command is started; `echo` hears of all that happens."""
        self._folder, self._manifest = folder, manifest
        self._plan, self._rng, self._echo = list(plan), random.Random(seed), echo
        self._graders: set[int] = set()  # before one of them is killed
        self.ordeal = Ordeal(run_dir)

    def run(self, longest_s: float = 1800.0) -> Ordeal:
        """Start the run, strike, and start it again whenever the driver was the victim, until it ends."""
        began, arguments, slain = time.monotonic(), ("--fresh",), None
        lives: list[Life] = []
        while True:
            life = Life(self._folder, self._manifest, *arguments, echo=self._echo)
            kills = self._live(life, slain)
            self.ordeal.codes.append(life.finish(longest_s))
            for kill in kills:
                _read_up(kill, life)
            lives.append(life)
            slain = next((kill for kill in kills if kill.kind == "driver"), None)
            if slain is None:
                self.ordeal.seconds = time.monotonic() - began
                self.ordeal.survivors = [what for life in lives for what in life.survivors(_FADE_S)]
                return self.ordeal
            arguments = ("--resume", "auto")

    def _live(self, life: Life, slain: Kill | None) -> list[Kill]:
        """Strike until the driver itself is struck or nothing is left to do. `slain`: the kill that ended the life before."""
        life.wait(lambda: life.step > 0, DEADLINE_S)
        first = life.step
        if slain is not None and (found := life.told(r"^step +\d+  ", 0.0)):
            slain.recovery_s = found[0] - slain.at
        struck: list[Kill] = []
        while self._plan and life.alive:
            kind, moment = self._plan.pop(0)
            if kind == "driver":
                ahead = first + self._rng.randrange(_AHEAD)
                life.wait(lambda enough=ahead: life.step >= enough, DEADLINE_S)
            if (kill := self._strike(kind, moment, life)) is None:
                continue
            struck.append(kill)
            self.ordeal.kills.append(kill)
            if kind == "driver":
                break
            self._wait(life, kill)
        return struck

    def _strike(self, kind: str, moment: str, life: Life) -> Kill | None:
        sign = signal.SIGSTOP if kind == "hang" else signal.SIGKILL
        for aim in dict.fromkeys((moment, "any")):
            if (victim := self._victim(kind, life)) is None:
                return None
            name, pid = victim

            def blow(pid: int = pid) -> None:
                os.kill(pid, sign)

            if strike(kind, aim, self._rng, life, self.ordeal.run_dir, blow, _AIM_S):
                self._echo(f"-- {name} ({pid}): {sign.name}, aim: {aim}")
                return Kill(kind, name, life.step, aim, at=time.monotonic())
        return None

    def _victim(self, kind: str, life: Life) -> tuple[str, int] | None:
        if kind == "driver":
            return "driver", life.pid
        life.wait(lambda: bool(self._present(kind)), DEADLINE_S)
        found = self._present(kind)
        self._graders = {pid for _, pid in found} if kind == "grader" else set()
        return self._rng.choice(found) if found and life.alive else None

    def _present(self, kind: str) -> list[tuple[str, int]]:
        """Name and process id of all that are alive."""
        if kind == "grader":
            return [(f"grader {pid}", pid) for verifier in workers(self.ordeal.run_dir, "verifier").values() for pid in graders(verifier)]
        return sorted(workers(self.ordeal.run_dir, "engine" if kind == "hang" else kind).items())

    def _wait(self, life: Life, kill: Kill) -> None:
        """Until the loss is mended; where the run goes on all the same, some steps are enough."""
        if kill.kind == "grader":
            if life.wait(lambda: not {pid for _, pid in self._present("grader")} <= self._graders, DEADLINE_S):
                kill.recovery_s = time.monotonic() - kill.at
            return
        on = kill.kind in ("engine", "hang")
        if not life.wait(lambda: _mended(kill, life) is not None or (on and life.step >= kill.step + _STEPS_ON), DEADLINE_S) and life.alive:
            self.ordeal.unmended.append(f"{kill.victim}, killed after step {kill.step}, is not replaced after {DEADLINE_S:.0f} s")


def _mended(kill: Kill, life: Life) -> float | None:
    """When the driver says so."""
    base = kill.victim.partition(".")[0]
    says = {"learner": r"^the learner is at step \d+ again", "engine": rf"^{base}\.\d+ serves", "hang": rf"^{base}\.\d+ serves"}
    found = life.told(says.get(kill.kind, rf"^{base}\.\d+ answers"), kill.at)
    return None if found is None else found[0]


def _read_up(kill: Kill, life: Life) -> None:
    """Complete a kill by what the driver said later."""
    if kill.kind in ("driver", "grader"):
        return
    when = _mended(kill, life)
    kill.recovery_s = None if when is None else when - kill.at
    group = r"learner-\d+(?:\.\d+)?" if kill.kind == "learner" else re.escape(kill.victim)
    found = life.told(rf"{group}\.(\w+): the worker (?:died|is unfit)", kill.at)
    if found is not None:
        kill.met = found[1][1]

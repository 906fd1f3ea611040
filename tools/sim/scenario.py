"""One simulated run: the real event loop, pool, scheduler, staleness bound and training loop on simulated workers."""

import gc
import json
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np

from ib_lpo.branching.draws import Draws
from ib_lpo.branching.openness import PastForks
from ib_lpo.branching.scheduler import BranchScheduler
from ib_lpo.fleet.base import WorkerDied
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.learner.batch import sequences
from ib_lpo.learner.group import LearnerLost
from ib_lpo.learner.staleness import staleness_metrics
from ib_lpo.manifest import Manifest, validate
from ib_lpo.progress import Metrics
from ib_lpo.rollout.engines import Engines
from ib_lpo.train import train_to_the_end
from ib_lpo.tree import Question, RolloutTree
from ib_lpo.weights.publisher import Publisher
from sim.fleet import SimFleet, SimWorker
from sim.workers import SimEngine, SimLearner, SimSampler, SimVerifier


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """What is simulated; times in seconds."""

    engines: int = 256
    in_flight: int = 10_000  # roots that may be under way at a time, over all steps that grow
    max_staleness: int = 2
    steps: int = 8
    running: int = 64  # sequences that an engine decodes together
    iteration_s: float = 0.02
    mean_tokens: float = 1500.0
    mtbf_s: float = 0.0  # mean time between the deaths of one engine; 0: none dies
    hangs: float = 0.25  # share of deaths that are silent
    learner_deaths: int = 0
    learner_life_s: float = 120.0  # mean time that the learner lives between them
    update_share: float = 0.8  # the learner's time per step, of what the engines need for it
    seed: int = 0

    @property
    def questions(self) -> int:
        """Per step."""
        return max(1, self.in_flight // (ROOTS * (self.max_staleness + 1)))


ROOTS, BRANCHES = 4, 3
CHECKPOINT = 2
RESTARTS = 1_000_000


@dataclass(kw_only=True)
class Outcome:
    """What a simulated run gave."""

    trajectories: int
    lost: int  # trajectories that a step should have and does not
    twice: int  # trajectories that stand in the record more than once
    deaths: int  # of engines
    learner_losses: int
    reissued: int
    idle: float  # share of the engines' time without a call, between the first and the last steps
    filled: float  # share of the engines' slots that decode, over the whole run
    driver_ms: float  # processor time of the driver per trajectory, milliseconds
    step_s: float  # virtual seconds per step
    staleness: dict[int, float]  # share of tokens by versions of age


@dataclass
class Record:
    """Stands for the run directory: keeps what each step trained on, and a checkpoint of every CHECKPOINT steps."""

    steps: int  # of the run
    draws: Draws = field(default_factory=Draws)
    past_forks: PastForks = field(default_factory=PastForks)
    done: int = 0
    begun: bool = True
    compared: bool = True  # simulated engines compute no log-probs to compare
    rows: list[Metrics] = field(default_factory=list)
    ids: list[list[str]] = field(default_factory=list)
    losses: int = 0
    saved: tuple[int, str] = (0, json.dumps(Draws().state()))

    @property
    def over(self) -> bool:
        return self.done == self.steps

    def ends_with(self, step: int, metrics: Metrics) -> bool:
        return step == self.steps

    def tokens_total(self, metrics: Metrics) -> Metrics:
        return {}

    def phase(self, name: str) -> Any:
        return nullcontext()

    def record(self, step: int, trees: list[RolloutTree], metrics: dict[str, float], parts: Any) -> None:
        self.rows.append(metrics)
        self.ids.append([t.id for tree in trees for t in tree.trajectories])
        self.done = step
        self.draws.finished(step)
        if step % CHECKPOINT == 0:
            self.saved = step, json.dumps(self.draws.state())

    def restore(self, parts: Any) -> int:
        return self.done

    def rewind(self, parts: Any, loss: LearnerLost) -> int:
        self.losses += 1
        self.done, state = self.saved
        self.draws = Draws.of(json.loads(state))
        del self.rows[self.done :], self.ids[self.done :]
        parts.learner.restart()
        return self.done


class _Learner:
    """The driver's side of the simulated learner."""

    def __init__(self, loop: EventLoop, make: Callable[[], SimWorker]):
        self._loop, self._make = loop, make
        self._worker = make()

    def update(self, trees: list[RolloutTree], step: int) -> dict[str, float]:
        self._ask("update", step)
        return staleness_metrics(sequences(trees), step - 1)

    def publish(self, version: int, route: Any) -> Any:
        return self._ask("publish", version)

    def restart(self) -> None:
        self._worker = self._make()
        self._ask("start")

    def require_alive(self) -> None:
        self._ask("ready")

    def _ask(self, method: str, *args: Any) -> Any:
        try:
            return self._loop.gather([self._worker.call(method, *args)], method)[0]
        except WorkerDied as died:
            raise LearnerLost(str(died), died.worker) from None


def simulate(scenario: Scenario) -> Outcome:
    """Run it. Raises what the driver raises."""
    fleet, rng = SimFleet(), np.random.default_rng(scenario.seed)
    loop = EventLoop(fleet, deadline_s=1e8, now=fleet.now)
    manifest = _manifest(scenario)
    born: list[SimWorker] = []
    deaths = Counter[str]()

    def die(worker: SimWorker) -> None:
        if worker.alive:
            hangs = rng.random() < scenario.hangs
            deaths["hung" if hangs else "killed"] += 1
            worker.hung = hangs
            if not hangs:
                worker.kill()

    def make(index: int, birth: int) -> SimWorker:
        name = f"engine-{index}.{birth}"
        engine = SimEngine(
            name,
            running=scenario.running,
            iteration_s=scenario.iteration_s,
            mean_tokens=scenario.mean_tokens,
            slice_iterations=manifest.rollout.max_iterations_per_call,
        )
        worker = fleet.host(name, engine)
        born.append(worker)
        if scenario.mtbf_s:
            fleet.at(rng.exponential(scenario.mtbf_s), lambda: die(worker))
        return worker

    def make_learner() -> SimWorker:
        worker = fleet.host("learner-0", SimLearner(update_s=_update_s(scenario), publish_s=2.0))
        if record.losses < scenario.learner_deaths:
            fleet.at(rng.exponential(scenario.learner_life_s), worker.kill)
        return worker

    record = Record(scenario.steps)
    parts = _parts(manifest, loop, fleet, make, make_learner, scenario)
    gc.collect()
    train_to_the_end(record, parts)
    return _outcome(scenario, record, parts, fleet, born, sum(deaths.values()))


def _parts(manifest: Manifest, loop: EventLoop, fleet: SimFleet, make: Any, make_learner: Any, scenario: Scenario) -> Any:
    def decode(ids: Any) -> str:
        return "".join(map(str, ids))

    scheduler = BranchScheduler(manifest, loop, fleet.host("sampler", SimSampler()), fleet.host("verifier", SimVerifier()), decode)
    engines = Engines(manifest, "cpu", loop, scheduler.on_generations, make)
    learner = _Learner(loop, make_learner)
    publisher = Publisher(manifest, loop, learner, engines)
    scheduler.serve_on(engines, publisher.again)
    loop.until(lambda: engines.started, "the start of the engines")

    def questions(batch: int) -> list[Question]:
        names = (f"b{batch}q{i}" for i in range(scenario.questions))
        return [Question(id=name, text=name, answer="1", prompt_ids=(1, 2), answer_ids=(1,)) for name in names]

    return SimpleNamespace(
        manifest=manifest,
        loop=loop,
        learner=learner,
        engines=engines,
        scheduler=scheduler,
        publisher=publisher,
        scorers=[],
        decode=decode,
        markers=frozenset(),
        questions=questions,
        metrics=engines.metrics,
        sets=SimpleNamespace(held_out=[]),
    )


def _update_s(scenario: Scenario) -> float:
    """A learner that is as fast as `update_share` of what the engines need for a step's tokens."""
    tokens = scenario.questions * ROOTS * (1 + BRANCHES) * scenario.mean_tokens
    return scenario.update_share * tokens * scenario.iteration_s / (scenario.engines * scenario.running)


def _manifest(scenario: Scenario) -> Manifest:
    return validate(
        {
            "name": "simulation",
            "seed": scenario.seed,
            "steps": scenario.steps,
            "max_staleness": scenario.max_staleness,
            "model": {"path": "none"},
            "data": {"questions_per_step": scenario.questions},
            "rollout": {"engines": scenario.engines, "max_running": scenario.running, "max_response_tokens": 4096},
            "branching": {"roots": ROOTS, "branches": BRANCHES, "floor": 0.0},
            "latent": {"kind": "none"},
            "ib": {"estimator": "none"},
            "weights": {"deadline_s": 30},
            "cluster": {"suspect_after_s": 60, "dead_after_s": 120, "most_restarts": RESTARTS},
        }
    )


def _outcome(scenario: Scenario, record: Record, parts: Any, fleet: SimFleet, born: list[SimWorker], deaths: int) -> Outcome:
    wanted = scenario.steps * scenario.questions * ROOTS * (1 + BRANCHES)
    ids = Counter(id for of_step in record.ids for id in of_step)
    edge = scenario.max_staleness + 1  # the first steps begin together, the last have no successors
    steady = record.rows[edge:-edge] or record.rows
    capacity = fleet.clock / scenario.iteration_s * scenario.engines * scenario.running
    names = {name for row in record.rows for name in row if name.startswith("staleness/share_")}
    return Outcome(
        trajectories=ids.total(),
        lost=wanted - len(ids),
        twice=ids.total() - len(ids),
        deaths=deaths,
        learner_losses=record.losses,
        reissued=int(record.rows[-1]["fleet/reissued"]),
        idle=float(np.mean([row["idle/engines"] for row in steady])),
        filled=sum(worker.target.tokens for worker in born) / capacity,
        driver_ms=1e3 * fleet.driver_seconds / ids.total(),
        step_s=fleet.clock / scenario.steps,
        staleness={int(n.rpartition("_")[2]): float(np.mean([row.get(n, 0.0) for row in record.rows])) for n in sorted(names)},
    )

"""The scheduler on engines in virtual time, with services that take as long as a test says."""

from dataclasses import dataclass

from ib_lpo.branching.scheduler import BranchScheduler
from ib_lpo.scoring.estimators import Terms
from ib_lpo.scoring.forward import Cost
from ib_lpo.scoring.grades import CORRECT
from ib_lpo.scoring.reading import Reading
from ib_lpo.tree import Question
from tests.rollout.simulated import Rig


class Service:
    """Sampler, verifier and scorer; a call takes `seconds` of its own number. `judge` grades a response; `faults` are
    raised by `score`, one after the other."""

    def __init__(self, seconds, judge=lambda text: CORRECT):
        self.seconds, self.judge, self.calls = seconds, judge, 0
        self.graded, self.scored, self.faults = [], [], []

    def _took(self):
        self.calls += 1
        return self.seconds(self.calls)

    def sample(self, forks):
        return [[None] * fork.count for fork in forks], self._took()

    def grade(self, items):
        self.graded.append([text for text, _ in items])
        return [self.judge(text) for text, _ in items], self._took()

    def score(self, trees):
        if self.faults:
            return self.faults.pop(0), self._took()
        self.scored.append([t.id for tree in trees for t in tree.trajectories])
        return ([{t.id: reading(t) for t in tree.trajectories} for tree in trees], Cost(0, 0)), self._took()


def reading(root):
    """I(r;a) falls in the middle of a response."""
    length = root.token_ids.size
    return Reading(terms=Terms(0.0, 0.0), profile_at=(0, length // 2, length), profile=(0.0, 0.5, -2.0))


@dataclass
class GrowingRig(Rig):
    """The scheduler hears of what the engines finish."""

    sampling = grading = scoring = staticmethod(lambda call: 0.01)
    scorers: int = 0

    def __post_init__(self):
        super().__post_init__()
        self.mended = 0
        sampler, verifier = (self.fleet.host(name, Service(getattr(self, name))) for name in ("sampling", "grading"))
        self.sampler, self.verifier = sampler.target, verifier.target
        self.readers = [self.fleet.host(f"scorer-{i}", Service(self.scoring)) for i in range(self.scorers)]
        self.scheduler = BranchScheduler(self.manifest, self.loop, sampler, verifier, lambda ids: "".join(map(str, ids)))
        self.scheduler.serve_on(self.engines, self.mend)

    def listen(self, engine, found):
        self.scheduler.on_generations(engine, found)

    def mend(self):
        self.mended += 1
        self.publish(self.engines.version)

    def grow(self, step, count=6, batch=0):
        done = []
        grown = self.scheduler.grow(step, batch, questions(count), done.append)
        return grown, done

    def finish(self, grown):
        self.scheduler.wait(lambda: grown.done, "the trees")


def questions(count):
    return [Question(id=f"q{i}", text="", answer="1", prompt_ids=(1, 2, i), answer_ids=(1,)) for i in range(count)]


def ids(trees):
    return [t.id for tree in trees for t in tree.trajectories]

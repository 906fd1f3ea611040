"""Steps that grow ahead of the learner, within the staleness bound.

Training step s makes version s of version s - 1. It grows from the moment at which version s - 1 - n is published, n = max_staleness, and
not before. Versions only go up, and an engine generates with the version it committed last. Hence every token of step s comes from a
version >= s - 1 - n: it is at most n versions older than the weights that it updates. (A publish in the middle of a response makes its
further tokens newer, never older.) `Growth` refuses tokens that break the bound.

At most n + 1 steps grow at a time, which bounds what is held; with n = 0 a step grows, is trained on and published before the next begins.
"""

from collections.abc import Callable

from ib_lpo.branching.draws import Draws
from ib_lpo.branching.openness import PastForks
from ib_lpo.branching.sampling import Harvest
from ib_lpo.branching.scheduler import Batch, BranchScheduler
from ib_lpo.manifest import Manifest
from ib_lpo.tree import Question


class Ahead:
    """`questions(batch)` are those of a batch, by its number from 0 over the whole run; `past`: the forks of the run so
    far, which who records steps adds to."""

    def __init__(
        self,
        manifest: Manifest,
        scheduler: BranchScheduler,
        draws: Draws,
        questions: Callable[[int], list[Question]],
        past: PastForks,
    ):
        self._manifest, self._scheduler = manifest, scheduler
        self._draws, self._questions, self._past = draws, questions, past
        self._growing: dict[int, Harvest] = {}
        self._last: int | None = None  # step that grows, or has grown; None before the first one
        self._ended = False

    def published(self, version: int) -> None:
        """`version` is served from now on: what may grow from it begins, unless every step waits for the driver to ask for it."""
        if self._manifest.max_staleness > 0 and self._last is not None:
            self._open(version)

    def take(self, step: int) -> Harvest:
        """What `step` trains on, graded, when it is grown; version step - 1 is published."""
        self._last = step - 1 if self._last is None else self._last
        self._scheduler.wait(lambda: self._scheduler.version is not None, "the first publish")
        self._open(self._scheduler.version)
        harvest = self._growing[step]
        self._scheduler.wait(lambda: harvest.complete, f"the trees of step {step}")
        return self._growing.pop(step)

    def end(self) -> None:
        """The step taken last is the last of the run: nothing further begins to grow. What grows already is trained on by
        nobody; its batches stay drawn for their steps (draws.py), should the run go on with a larger budget."""
        self._ended = True

    def _open(self, served: int) -> None:
        """Start every step that may grow from version `served`."""
        if self._ended:
            return
        last = min(served + 1 + self._manifest.max_staleness, self._manifest.steps)
        for step in range(self._last + 1, last + 1):
            self._last = step
            self._growing[step] = Harvest(wanted=self._manifest.data.questions_per_step, budget=self._manifest.data.batches_per_step)
            self._draw(step)

    def _draw(self, step: int) -> None:
        harvest, number = self._growing[step], self._draws.next(step)
        fresh = harvest.fresh(self._questions(number))
        self._scheduler.grow(step, number, fresh, lambda batch: self._grown(step, harvest, batch), self._past)

    def _grown(self, step: int, harvest: Harvest, batch: Batch) -> None:
        harvest.add(batch.trees, batch.allocation)
        if not harvest.complete and not self._ended:
            self._draw(step)

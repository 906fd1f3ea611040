"""How the roots of a batch ended, found while everything else goes on: their grades, and I(r;a) along them.

    roots of a batch ──► Verifier ── rewards ──► IBScorers (select: open_entropy) ── profiles ──► then(profiles)

Everything happens in handlers of the driver's event loop, which wait for nothing. A scorer that cannot read the present
weights (its replacement, mostly) is asked again by `again`, outside of any handler, as that must look first whether the
learner that sent them lives.
"""

from collections.abc import Callable, Sequence
from functools import partial

from ib_lpo.branching.openness import Profile
from ib_lpo.fleet.base import Pending, Worker
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.manifest import Manifest
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.scoring.grade import set_grades, to_grade
from ib_lpo.scoring.reading import Reading
from ib_lpo.scoring.replicas import shares
from ib_lpo.tree import RolloutTree
from ib_lpo.weights.again import TRIES
from ib_lpo.weights.parcel import NeverArrived, TransferError

Then = Callable[[dict[str, Profile]], None]
"""Hears of I(r;a) along the roots where it was measured, by id of the root; the roots have their rewards by then."""


class RootOutcomes:
    """Asks verifier and scorers about roots. Without `read_with` no root is read."""

    def __init__(self, manifest: Manifest, loop: EventLoop, verifier: Worker, decode: Decode):
        self._loop, self._verifier, self._decode = loop, verifier, decode
        self._reads = manifest.branching.select == "open_entropy" and manifest.ib.failures.points > 0
        self._scorers: Sequence[Worker] = ()
        self._require_sender: Callable[[], None] = lambda: None
        self._refused: list[Callable[[], None]] = []  # calls to be made again
        self._epoch = 0  # answers of an earlier one are not heard

    def read_with(self, scorers: Sequence[Worker], require_sender: Callable[[], None]) -> None:
        """IBScorers that measure I(r;a); `require_sender` raises when who sends them their weights is gone."""
        self._scorers, self._require_sender = scorers, require_sender

    def find(self, trees: list[RolloutTree], then: Then) -> None:
        """Grade the roots that `trees` consist of, and measure I(r;a) along those of questions with a gold answer."""
        pending = self._verifier.call("grade", to_grade(trees, self._decode))
        self._loop.on(pending, partial(self._graded, self._epoch, trees, then))

    @property
    def refused(self) -> bool:
        """Whether something waits for `again`."""
        return bool(self._refused)

    def again(self) -> None:
        """Make the calls again that scorers could not answer. Not in a handler. Raises what `require_sender` raises."""
        refused, self._refused = self._refused, []
        self._require_sender()
        for ask in refused:
            ask()

    def abandon(self) -> None:
        """Nobody wants to know any more."""
        self._refused.clear()
        self._epoch += 1

    def _graded(self, epoch: int, trees: list[RolloutTree], then: Then, pending: Pending) -> None:
        if epoch != self._epoch:
            return
        set_grades(trees, pending.result())
        told = [tree for tree in trees if tree.question.answer_ids]
        if self._reads and self._scorers and told:
            self._read(told, then)
        else:
            then({})

    def _read(self, trees: list[RolloutTree], then: Then) -> None:
        found: dict[str, Profile] = {}
        epoch = self._epoch
        of_scorers = enumerate(shares(trees, len(self._scorers)))
        dealt = {number: [trees[i] for i in share] for number, share in of_scorers if share}
        missing = set(dealt)

        def ask(number: int, tried: int) -> None:
            self._loop.on(self._scorers[number].call("score", dealt[number]), partial(heard, number, tried))

        def heard(number: int, tried: int, pending: Pending) -> None:
            if epoch != self._epoch:
                return
            try:
                readings, _ = pending.result()
            except TransferError as error:
                if tried == TRIES:
                    raise NeverArrived(f"{error} (tried {TRIES} times)") from None
                self._refused.append(partial(ask, number, tried + 1))
                return
            for of_tree in readings:
                found.update(_profiles(of_tree))
            missing.discard(number)
            if not missing:
                then(found)

        for number in dealt:
            ask(number, 1)


def _profiles(readings: dict[str, Reading]) -> dict[str, Profile]:
    measured = {id: reading for id, reading in readings.items() if reading.profile_at}
    return {id: Profile(at=reading.profile_at, values=reading.profile) for id, reading in measured.items()}

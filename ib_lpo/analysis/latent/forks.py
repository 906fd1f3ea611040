"""Forks to study: one root per question, forked where the method would fork it."""

from dataclasses import dataclass
from itertools import islice

import numpy as np

from ib_lpo import seeds
from ib_lpo.analysis.roots import StudiedRoot, sample_roots
from ib_lpo.branching.fork import draw_forks
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.scoring.answer_span import Decode
from ib_lpo.serving import Serving
from ib_lpo.tree import Question


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiedFork:
    """A prefix that branches resume at."""

    id: str
    question: Question
    shared_ids: np.ndarray  # int32 [P], response tokens up to the fork
    entropy: float  # nats, at the fork

    @property
    def prefix_ids(self) -> np.ndarray:
        """Prompt and shared response, int32."""
        return np.concatenate([np.asarray(self.question.prompt_ids, np.int32), self.shared_ids])


def find_forks(manifest: Manifest, questions: list[Question], engine: Serving, decode: Decode) -> list[StudiedFork]:
    """The first `analysis.latent.forks` of the questions' roots that fork. Raises UserError when there are fewer."""
    chosen = manifest.analysis.latent
    roots = sample_roots(manifest, questions, engine, decode, room=chosen.tokens)
    found = list(islice((fork for root in roots for fork in _forks(manifest, root)), chosen.forks))
    if len(found) < chosen.forks:
        raise UserError(
            f"analysis.latent.forks={chosen.forks}: {len(questions)} questions gave {len(found)} forks; give data.train more questions, "
            "lower branching.floor, or lower it"
        )
    return found


def _forks(manifest: Manifest, root: StudiedRoot) -> list[StudiedFork]:
    id = root.question.id
    rng = seeds.generator(manifest.seed, "analysis", "fork", id)
    return [
        StudiedFork(id=id, question=root.question, shared_ids=root.token_ids[: fork.prefix_length], entropy=fork.entropy)
        for fork in draw_forks(root.entropies, end=root.end, config=manifest.branching, rng=rng)
    ]

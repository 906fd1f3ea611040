"""Forks to study: one root per question, sampled without z, forked where the method would fork it."""

from dataclasses import dataclass

import numpy as np

from ib_lpo import seeds
from ib_lpo.branching.fork import select_forks
from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.request import GenerationRequest
from ib_lpo.scoring.answer_span import Decode, answer_start
from ib_lpo.serving import Serving
from ib_lpo.tree import Question, Status

ROOTS_PER_ROUND = 16


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
    wanted = manifest.analysis.latent.forks
    found: list[StudiedFork] = []
    for low in range(0, len(questions), ROOTS_PER_ROUND):
        if len(found) < wanted:
            found += _of_roots(manifest, questions[low : low + ROOTS_PER_ROUND], engine, decode)
    if len(found) < wanted:
        raise UserError(
            f"analysis.latent.forks={wanted}: {len(questions)} questions gave {len(found)} forks; give data.train more questions, lower "
            "branching.floor, or lower it"
        )
    return found[:wanted]


def _of_roots(manifest: Manifest, questions: list[Question], engine: Serving, decode: Decode) -> list[StudiedFork]:
    longest = manifest.rollout.max_response_tokens - manifest.analysis.latent.tokens
    requests = [
        GenerationRequest(
            id=question.id,
            prefix_ids=np.asarray(question.prompt_ids, np.int32),
            max_new_tokens=longest,
            seed=seeds.derive(manifest.seed, "analysis", "root", question.id),
            temperature=manifest.rollout.temperature,
        )
        for question in questions
    ]
    roots = engine.run(requests)
    forks = []
    for question in questions:
        root = roots[question.id]
        answer = answer_start(root.token_ids.tolist(), decode)
        end = len(root.token_ids) - (root.status is Status.FINISHED) if answer is None else answer
        rng = seeds.generator(manifest.seed, "analysis", "fork", question.id)
        for fork in select_forks(root.entropies, end=end, config=manifest.branching, rng=rng):
            shared = root.token_ids[: fork.prefix_length]
            forks.append(StudiedFork(id=question.id, question=question, shared_ids=shared, entropy=fork.entropy))
    return forks

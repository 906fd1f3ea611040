"""Roots to study: one per question, sampled without z, with room left for what continues them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ib_lpo import seeds
from ib_lpo.errors import UserError
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.latent.encoders import PrefixEncoder, build_encoder
from ib_lpo.manifest import Manifest
from ib_lpo.policy.config import ModelConfig
from ib_lpo.rollout.request import GenerationRequest
from ib_lpo.scoring.answer_span import Decode, answer_start
from ib_lpo.serving import Serving
from ib_lpo.tree import Question, Status

ROOTS_PER_ROUND = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class StudiedRoot:
    """A response, and where it may be left."""

    question: Question
    token_ids: np.ndarray  # int32 [T]
    entropies: np.ndarray  # float32 [T], nats
    end: int  # positions from 1 to this one, exclusive, are eligible: neither the end token nor the final answer


def sample_roots(manifest: Manifest, questions: list[Question], engine: Serving, decode: Decode, *, room: int) -> Iterator[StudiedRoot]:
    """Roots of the questions in order, `room` tokens shorter than responses may be; those that nobody asks for are not sampled, up to a
    round of ROOTS_PER_ROUND."""
    longest = manifest.rollout.max_response_tokens - room
    for low in range(0, len(questions), ROOTS_PER_ROUND):
        requests = [
            GenerationRequest(
                id=question.id,
                prefix_ids=np.asarray(question.prompt_ids, np.int32),
                max_new_tokens=longest,
                seed=seeds.derive(manifest.seed, "analysis", "root", question.id),
                temperature=manifest.rollout.temperature,
            )
            for question in questions[low : low + ROOTS_PER_ROUND]
        ]
        sampled = engine.run(requests)
        for question in questions[low : low + ROOTS_PER_ROUND]:
            root = sampled[question.id]
            answer = answer_start(root.token_ids.tolist(), decode)
            end = len(root.token_ids) - (root.status is Status.FINISHED) if answer is None else answer
            yield StudiedRoot(question=question, token_ids=root.token_ids, entropies=root.entropies, end=end)


def require_room(manifest: Manifest, section: str, tokens: int) -> None:
    """Raise UserError unless responses can hold a root before `tokens` new tokens of the analysis `section`."""
    if tokens >= manifest.rollout.max_response_tokens:
        raise UserError(
            f"{section}.tokens={tokens}: leaves roots nothing of rollout.max_response_tokens={manifest.rollout.max_response_tokens}; "
            "lower it, or raise that"
        )


def open_folder(manifest: Manifest) -> Path:
    """The directory of results, runs/<name>-analysis, made if need be. Raises UserError when it cannot be."""
    folder = manifest.runs_dir / f"{manifest.name}-analysis"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror or error}); set runs_dir to a folder of yours") from None
    return folder


def build_embedding(embedding: EncoderConfig, model: ModelConfig, section: str) -> PrefixEncoder:
    """What embeds continuations for the analysis `section`. Raises UserError."""
    if embedding.kind == "sentence" and embedding.path is None:
        raise UserError(
            f"{section}.embedding.path=null: {section}.embedding.kind=sentence needs a sentence encoder; `python tools/fetch_minilm.py` "
            "fetches one"
        )
    try:
        return build_encoder(embedding, model)
    except UserError as error:
        raise UserError(str(error).replace("latent.encoder.", f"{section}.embedding.")) from None

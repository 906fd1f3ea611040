"""Responses of a benchmark's questions, from engines outside of training.

Every sample has a seed of its own, a function of (manifest seed, benchmark, question, number), and with latents a z of its own, drawn
independently: samples are exchangeable, which pass@k and maj@k rest on.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from ib_lpo import seeds
from ib_lpo.errors import UserError
from ib_lpo.evaluation.benchmarks import Benchmark
from ib_lpo.latent.sampler import LatentRequest, LatentSampler
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.config import RESERVED_ROWS
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.serving import Serving
from ib_lpo.tree import Question


def served(manifest: Manifest) -> Manifest:
    """The manifest as its engines are built: without a latent unless samples carry one, and with the evaluation's length of responses."""
    config, latent, rollout = manifest.evaluation, manifest.latent, manifest.rollout
    if config.latents == "none":
        latent = latent.model_copy(update={"kind": "none"})
    longest = config.max_response_tokens or rollout.max_response_tokens
    return manifest.model_copy(update={"latent": latent, "rollout": rollout.model_copy(update={"max_response_tokens": longest})})


def require_handles(manifest: Manifest, benchmarks: Sequence[Benchmark]) -> None:
    """Raise UserError when an engine cannot tell so many latents apart."""
    slots = manifest.latent.psa.k_slots
    latents, handles = sum(one.samples * len(one.questions) for one in benchmarks), (RESERVED_ROWS - 1) ** slots
    if manifest.evaluation.latents == "prompt" and latents > handles:
        raise UserError(
            f"latent.psa.k_slots={slots}: evaluation.latents=prompt draws {latents} latents, and {slots} slots tell {handles} apart; use a "
            "latent with more slots, or fewer samples"
        )


def responses(
    manifest: Manifest, benchmark: Benchmark, questions: Sequence[Question], engines: Serving
) -> Iterator[tuple[Question, list[Generation]]]:
    """`questions` with their n responses in order, each question as soon as its last one is finished."""
    by_id = {question.id: question for question in questions}
    finished: dict[str, dict[int, Generation]] = {id: {} for id in by_id}
    for generation in engines.stream(_requests(manifest, benchmark, questions)):
        number, _, id = generation.id.partition("/")
        finished[id][int(number)] = generation
        if len(finished[id]) == benchmark.samples:
            of = finished.pop(id)
            yield by_id[id], [of[i] for i in range(benchmark.samples)]


def _requests(manifest: Manifest, benchmark: Benchmark, questions: Sequence[Question]) -> list[GenerationRequest]:
    config, seed = manifest.evaluation, manifest.seed
    return [
        GenerationRequest(
            id=f"{i}/{question.id}",
            prefix_ids=np.asarray(question.prompt_ids, dtype=np.int32),
            max_new_tokens=manifest.rollout.max_response_tokens,
            seed=seeds.derive(seed, "evaluation", benchmark.name, question.id, i),
            temperature=config.temperature,
            top_p=config.top_p,
            top_k=config.top_k,
            latent=z,
        )
        for question, zs in zip(questions, _latents(manifest, benchmark, questions), strict=True)
        for i, z in enumerate(zs)
    ]


def _latents(manifest: Manifest, benchmark: Benchmark, questions: Sequence[Question]) -> list[list[np.ndarray | None]]:
    """n of each question, from p(z|prompt); n times None without latents."""
    asked = [
        LatentRequest(
            prefix_ids=np.asarray(question.prompt_ids, dtype=np.int32),
            count=benchmark.samples,
            seed=seeds.derive(manifest.seed, "evaluation", "latents", benchmark.name, question.id),
        )
        for question in questions
    ]
    return LatentSampler(manifest).sample(asked)

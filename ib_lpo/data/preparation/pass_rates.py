"""How often the manifest's model solves each question: k samples, without z, graded by the verifier.

A question's tally is written to `pass_rates.jsonl`, beside the output, as soon as its k samples are graded; a call that is interrupted
goes on from there. A line's key is a digest of the prompt, the gold answer, the model's weights, and the settings of compute, sampling
and grading that its numbers depend on; versions of software, and what `auto` stands for on a machine, are not part of it.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ib_lpo import seeds
from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.progress import Watched
from ib_lpo.data.preparation.stage import Context
from ib_lpo.data.preparation.tallies import Record, Tally
from ib_lpo.data.prompts import prompt_tokens
from ib_lpo.manifest import Manifest
from ib_lpo.policy.identity import weights_digest
from ib_lpo.policy.load import load_config, text_decoder
from ib_lpo.rollout.limits import check_context
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.serving import Serving, serving
from ib_lpo.tree import Status, Verdict

RECORD = "pass_rates.jsonl"
QUESTIONS_AT_ONCE = 1024  # handed to the engines together


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """A question to sample."""

    key: str  # digest of all that its tally depends on
    candidate: Candidate
    prompt_ids: np.ndarray  # int32 [P]


def sampled(manifest: Manifest) -> Manifest:
    """The manifest whose engines sample pass rates: no latent, and responses as long as `prepare.difficulty` allows."""
    longest = manifest.prepare.difficulty.max_response_tokens or manifest.rollout.max_response_tokens
    rollout = manifest.rollout.model_copy(update={"max_response_tokens": longest})
    return manifest.model_copy(update={"rollout": rollout, "latent": manifest.latent.model_copy(update={"kind": "none"})})


def check(manifest: Manifest) -> None:
    """Raise UserError unless the model is there and its context holds prompt and answer; loads no weights."""
    check_context(sampled(manifest), load_config(manifest.model))


def measure(candidates: Sequence[Candidate], context: Context) -> dict[str, Tally]:
    """Tallies by candidate id. Raises UserError for what the user can mend."""
    if not candidates:
        return {}
    items = _items(candidates, context)
    with Record(context.folder / RECORD) as record:
        todo = [item for item in items if item.key not in record.tallies]
        with Watched(len(items), done=len(items) - len(todo)) as watched:
            for item, tally in _sampled(todo, context):
                record.add(item.key, item.candidate.id, tally)
                watched.advance(tally.correct, tally.correct + tally.wrong)
        return {item.candidate.id: record.tallies[item.key] for item in items}


def _items(candidates: Sequence[Candidate], context: Context) -> list[_Item]:
    manifest = context.manifest
    config, rollout = manifest.prepare.difficulty, sampled(manifest).rollout
    settings = {
        "model": weights_digest(manifest.model),
        "dtype": manifest.learner.dtype,
        "device": manifest.cluster.device,
        "samples": config.samples,
        "temperature": _temperature(manifest),
        "top_p": rollout.top_p,
        "top_k": rollout.top_k,
        "max_response_tokens": rollout.max_response_tokens,
        "verifier": manifest.verifier.model_dump(mode="json", include={"reward", "thinking", "deadline_s", "memory_mb"}),
        "seed": manifest.seed,
    }
    if rollout.stop_tokens is not None:
        settings["stop_tokens"] = rollout.stop_tokens
    prompts = prompt_tokens([candidate.question for candidate in candidates], manifest.data, context.tokenizer)
    return [
        _Item(key=_digest(settings, list(prompt), candidate.answer), candidate=candidate, prompt_ids=np.asarray(prompt, np.int32))
        for candidate, prompt in zip(candidates, prompts, strict=True)
    ]


def _digest(settings: dict, prompt: list[int], answer: str) -> str:
    return hashlib.sha256(json.dumps([settings, prompt, answer], sort_keys=True).encode()).hexdigest()


def _temperature(manifest: Manifest) -> float:
    own = manifest.prepare.difficulty.temperature
    return manifest.rollout.temperature if own is None else own


def _sampled(items: list[_Item], context: Context) -> Iterator[tuple[_Item, Tally]]:
    """Items with their tallies, as they are complete. Engines are started only when there is something to sample."""
    if not items:
        return
    manifest = sampled(context.manifest)
    with serving(manifest, engines=manifest.rollout.engines) as engines:
        for low in range(0, len(items), QUESTIONS_AT_ONCE):
            yield from _of_some(items[low : low + QUESTIONS_AT_ONCE], manifest, engines, context)


def _of_some(items: list[_Item], manifest: Manifest, engines: Serving, context: Context) -> Iterator[tuple[_Item, Tally]]:
    decode = text_decoder(context.tokenizer)
    samples = manifest.prepare.difficulty.samples
    requests = [_request(f"{index}/{k}", item, k, manifest) for index, item in enumerate(items) for k in range(samples)]
    finished: dict[int, list[Generation]] = {}
    for generation in engines.stream(requests):
        index = int(generation.id.partition("/")[0])
        of = finished.setdefault(index, [])
        of.append(generation)
        if len(of) == samples:
            texts = [decode(one.token_ids.tolist()) for one in finished.pop(index)]
            grades = context.verifier.grade([(text, items[index].candidate.answer) for text in texts])
            yield items[index], _tally([grade.verdict for grade in grades], of)


def _request(name: str, item: _Item, k: int, manifest: Manifest) -> GenerationRequest:
    return GenerationRequest(
        id=name,
        prefix_ids=item.prompt_ids,
        max_new_tokens=manifest.rollout.max_response_tokens,
        seed=seeds.derive(manifest.seed, "pass-rate", item.key, k),
        temperature=_temperature(manifest),
        top_p=manifest.rollout.top_p,
        top_k=manifest.rollout.top_k,
    )


def _tally(verdicts: list[Verdict], generations: list[Generation]) -> Tally:
    correct, unverifiable = verdicts.count(Verdict.CORRECT), verdicts.count(Verdict.UNVERIFIABLE)
    return Tally(
        correct=correct,
        wrong=len(verdicts) - correct - unverifiable,
        unverifiable=unverifiable,
        truncated=sum(one.status is Status.TRUNCATED for one in generations),
        tokens=sum(len(one.token_ids) for one in generations),
    )

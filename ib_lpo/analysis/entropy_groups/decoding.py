"""Continuations of every position under every strategy, from one engine.

Continuation k of a root's n-th position of a group has the same sampling seed under all strategies and in all groups.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ib_lpo import seeds
from ib_lpo.analysis.config import StrategyConfig
from ib_lpo.analysis.entropy_groups.positions import Positions
from ib_lpo.analysis.latent.forks import StudiedFork
from ib_lpo.latent.sampler import LatentRequest, LatentSampler
from ib_lpo.manifest import Manifest
from ib_lpo.progress import say
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.serving import Serving

Z = "z"
_LINES = 10  # of progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A way to continue."""

    name: str
    decoding: StrategyConfig
    with_z: bool = False


def has_z(manifest: Manifest) -> bool:
    """Whether z is one of the strategies."""
    asked = manifest.analysis.entropy_groups.z
    return manifest.latent.kind == "cvae" if asked is None else asked


def strategies(manifest: Manifest) -> list[Strategy]:
    """Those of the manifest in its order, and z last."""
    found = [Strategy(name=name, decoding=one) for name, one in manifest.analysis.entropy_groups.strategies.items()]
    temperature = manifest.rollout.temperature
    return found + [Strategy(name=f"{Z}, T {temperature:g}", decoding=StrategyConfig(temperature=temperature), with_z=True)] * has_z(
        manifest
    )


def decode_on(manifest: Manifest, positions: Positions, chosen: list[Strategy], engine: Serving) -> dict[str, Generation]:
    """Generations by `request_id`."""
    places = [(n, place) for of_root in positions for of in of_root.values() for n, place in enumerate(of)]
    latents = _latents(manifest, [place for _, place in places]) if has_z(manifest) else {}
    requests = [request for n, place in places for strategy in chosen for request in _requests(manifest, place, n, strategy, latents)]
    found: dict[str, Generation] = {}
    told = {-(-len(requests) * line // _LINES) for line in range(1, _LINES + 1)}
    tokens = 0
    for generation in engine.stream(requests):
        found[generation.id] = generation
        tokens += len(generation.token_ids)
        if len(found) in told:
            say(f"{len(found):,} of {len(requests):,} continuations, {tokens:,} tokens")
    return found


def request_id(place: StudiedFork, strategy: Strategy, k: int) -> str:
    return f"{place.id}/{strategy.name}/{k}"


def _requests(
    manifest: Manifest, place: StudiedFork, n: int, strategy: Strategy, latents: dict[str, list[np.ndarray]]
) -> Iterator[GenerationRequest]:
    config, decoding = manifest.analysis.entropy_groups, strategy.decoding
    for k in range(config.continuations):
        yield GenerationRequest(
            id=request_id(place, strategy, k),
            prefix_ids=place.prefix_ids,
            max_new_tokens=config.tokens,
            seed=seeds.derive(manifest.seed, "analysis", "continuation", place.question.id, n, k),
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            top_k=decoding.top_k,
            latent=latents[place.id][k] if strategy.with_z else None,
        )


def _latents(manifest: Manifest, places: list[StudiedFork]) -> dict[str, list[np.ndarray]]:
    """K latents of every position, by its id."""
    width, seed = manifest.analysis.entropy_groups.continuations, manifest.seed
    asked = [LatentRequest(prefix_ids=p.prefix_ids, count=width, seed=seeds.derive(seed, "analysis", "latents", p.id)) for p in places]
    return {place.id: found for place, found in zip(places, LatentSampler(manifest).sample(asked), strict=True)}

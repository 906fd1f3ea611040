"""What is compared at every fork: without z, with z as the manifest has it, and with one thing changed at a time.

z does two things. Its maps were fitted to solutions, so they move the policy towards the manner of these whatever z says; and z differs
from branch to branch. `MEAN` has the first without the second: all branches of a fork under z = mu(c).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from ib_lpo import seeds
from ib_lpo.analysis.latent.forks import StudiedFork
from ib_lpo.latent.sampler import LatentRequest, LatentSampler
from ib_lpo.manifest import Manifest
from ib_lpo.rollout.request import Generation, GenerationRequest
from ib_lpo.serving import Serving, serving

CONTROL, MEAN, TRAINED = "no z", "z = mu(c)", "z"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A way to make the K branches of a fork."""

    name: str
    manifest: Manifest  # with the latent section that the variant stands for
    with_z: bool
    temperature: float  # of sampling

    @property
    def engine_settings(self) -> dict[str, Any]:
        """What an engine is built from; variants that agree in it share one."""
        latent = self.manifest.latent
        return {"weights": latent.weights, "psa": latent.psa.model_dump()}


def variants(manifest: Manifest) -> list[Variant]:
    """Control first, then the manifest's own z; those that share an engine stand together."""
    chosen, latent, usual = manifest.analysis.latent, manifest.latent, manifest.rollout.temperature

    def changed(name: str, *, with_z: bool = True, sampling: float = usual, psa: dict | None = None, **update: Any) -> Variant:
        update |= {} if psa is None else {"psa": latent.psa.model_copy(update=psa)}
        varied = manifest.model_copy(update={"latent": latent.model_copy(update=update)})
        return Variant(name=name, manifest=varied, with_z=with_z, temperature=sampling)

    return [
        changed(CONTROL, with_z=False),
        *(changed(f"no z, sampling temperature {t:g}", with_z=False, sampling=t) for t in _others(chosen.sampling_temperatures, usual)),
        changed(MEAN, temperature=0.0),
        changed(TRAINED),
        *(changed(f"z, {draw}", draw=draw) for draw in _others(chosen.draws, latent.draw)),
        *(changed(f"z, prior temperature {t:g}", temperature=t) for t in _others(chosen.prior_temperatures, latent.temperature, 0.0)),
        *(changed(f"z, gamma0 {g:g}", psa={"gamma0": g}) for g in _others(chosen.gamma0, latent.psa.gamma0)),
        *(changed(f"z, tau {t:g}", psa={"tau": t}) for t in _others(chosen.tau, latent.psa.tau)),
        changed("z ~ N(0, I), untrained maps", kind="normal", weights=None),
    ]


def _others(values: tuple, *known: Any) -> list:
    """Each value once, without those that other variants have."""
    return [value for value in dict.fromkeys(values) if value not in known]


def with_injection(manifest: Manifest, injection: str, weights: Path) -> Manifest:
    """The manifest with another injection and its fitted latent."""
    return manifest.model_copy(update={"latent": manifest.latent.model_copy(update={"injection": injection, "weights": weights})})


def branches(
    compared: list[Variant], find: Callable[[Serving], list[StudiedFork]]
) -> Iterator[tuple[Variant, list[StudiedFork], dict[str, Generation]]]:
    """The forks, which `find` finds with the first engine, and their branches under each variant, by "<fork>/b<k>". Branch k has the same
    sampling seed under all of them."""
    forks: list[StudiedFork] | None = None
    for _, group in groupby(compared, key=lambda variant: variant.engine_settings):
        members = list(group)
        with serving(members[0].manifest) as engine:
            forks = find(engine) if forks is None else forks
            for variant in members:
                yield variant, forks, _grow(variant, forks, engine)


def _grow(variant: Variant, forks: list[StudiedFork], engine: Serving) -> dict[str, Generation]:
    manifest, settings = variant.manifest, variant.manifest.analysis.latent
    count, seed = settings.branches, manifest.seed
    latents = latents_of(manifest, forks) if variant.with_z else [[None] * count] * len(forks)
    requests = [
        GenerationRequest(
            id=f"{fork.id}/b{k}",
            prefix_ids=fork.prefix_ids,
            max_new_tokens=settings.tokens,
            seed=seeds.derive(seed, "analysis", "branch", fork.id, k),
            temperature=variant.temperature,
            latent=z,
        )
        for fork, zs in zip(forks, latents, strict=True)
        for k, z in enumerate(zs)
    ]
    return engine.run(requests)


def latents_of(manifest: Manifest, forks: list[StudiedFork]) -> list[list[np.ndarray | None]]:
    """K latents of every fork, by the manifest's prior and draw."""
    count, seed = manifest.analysis.latent.branches, manifest.seed
    asked = [LatentRequest(prefix_ids=f.prefix_ids, count=count, seed=seeds.derive(seed, "analysis", "latents", f.id)) for f in forks]
    return LatentSampler(manifest).sample(asked)

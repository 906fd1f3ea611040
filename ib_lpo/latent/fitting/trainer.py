"""One fit's networks, optimiser and the steps it takes; what a checkpoint of it holds.

Everything random is a pure function of the manifest's seed, the step and the pair, so the state is networks and optimiser alone.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from ib_lpo.errors import UserError
from ib_lpo.latent.cvae import Cvae
from ib_lpo.latent.encoders import PrefixEncoder
from ib_lpo.latent.fitting.elbo import active_units, beta_at, divergence
from ib_lpo.latent.fitting.objectives import OBJECTIVES
from ib_lpo.latent.fitting.pairs import Pair
from ib_lpo.latent.store import CvaeShape
from ib_lpo.manifest import Manifest
from ib_lpo.seeds import derive, generator

_FILE = "fit.safetensors"
_STATES = ("step", "exp_avg", "exp_avg_sq")  # of AdamW, per parameter
_ADAMW = {"betas": (0.9, 0.999), "weight_decay": 0.01}


class Trainer:
    """Prior, posterior and what the objective trains, under one AdamW."""

    def __init__(self, manifest: Manifest, encoder: PrefixEncoder, device: str):
        """Raises UserError for a model that cannot be loaded."""
        self._fit, self._seed, self._device = manifest.latent_fit, manifest.seed, device
        self.shape = CvaeShape(dim=manifest.latent.dim, features=encoder.features, hidden=manifest.latent_fit.hidden)
        self._encoder = encoder
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(manifest.seed, "fit", "networks"))
            self.cvae = Cvae(self.shape).to(device)
            self.objective = OBJECTIVES[manifest.latent_fit.objective](manifest, self.shape, device)
        self._parameters = [*self.cvae.parameters(), *self.objective.trained.parameters()]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=self._fit.lr, **_ADAMW)

    def scale(self, pairs: Sequence[Pair]) -> None:
        """Standardise encodings by those of `pairs`; once, before the first step."""
        for name, features in zip(("condition", "continuation"), self._encode(pairs), strict=True):
            self.cvae.scale[name].measure(features)

    def step(self, number: int, pairs: Sequence[Pair]) -> dict[str, float]:
        """One optimiser step; nats per pair. Raises UserError for a gradient that is not finite."""
        fit = self._fit
        condition, continuation = self._encode(pairs)
        posterior, prior = self.cvae.q(condition, continuation), self.cvae.p(condition)
        z = posterior.sample(self._noise(pairs, number))
        beta = beta_at(number, steps=fit.steps, top=fit.beta, cycles=fit.beta_cycles, ramp=fit.beta_ramp)
        kl = posterior.kl(prior)
        self._optimizer.zero_grad(set_to_none=True)
        nll, slope = self._explain(pairs, z, condition, continuation)
        torch.autograd.backward([z, divergence(kl, beta=beta, free_bits=fit.free_bits)], [slope, None])
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, fit.grad_clip)
        if not torch.isfinite(norm):
            raise UserError(f"latent_fit.lr={fit.lr:g}: the gradient of step {number} is not finite; lower it and start over with --fresh")
        self._optimizer.step()
        divergent = float(kl.detach().sum(-1).mean())
        return {"nll": nll, "kl": divergent, "elbo": -(nll + divergent), "beta": beta, "grad_norm": float(norm)}

    def _explain(self, pairs: Sequence[Pair], z: Tensor, condition: Tensor, continuation: Tensor) -> tuple[float, Tensor]:
        """Mean -log p(s|c, z), and its derivative by z [N, dim]; the objective's own gradients are added up on the way."""
        leaf, total = z.detach().requires_grad_(), 0.0
        for part in self.objective.passes(pairs):
            nll = self.objective.nll(pairs[part], leaf[part], continuation[part], condition[part]).sum() / len(pairs)
            nll.backward()
            total += float(nll.detach())
        return total, leaf.grad

    @torch.no_grad()
    def report(self, pairs: Sequence[Pair]) -> dict[str, float | list[float]]:
        """What the latent does for `pairs` (N >= 2), nats per pair: the ELBO's terms with one z ~ q each, and -log p(s|c) without z
        (`nll_without`), under z ~ p (`nll_prior`) and under another pair's z (`nll_other`): what that z departs from its own prior by,
        in standard deviations, carried over to this pair's prior, so that it says of another s and not of another c. `use_of_z` is
        nll_other - nll, with its standard error."""
        condition, continuation = self._encode(pairs)
        posterior, prior = self.cvae.q(condition, continuation), self.cvae.p(condition)
        noise = self._noise(pairs, 0)
        z = posterior.sample(noise)
        carried = prior.sample(prior.residual(z).roll(1, 0))
        nll, without, under_prior, other = (
            self._nll(pairs, latents, condition, continuation) for latents in (z, None, prior.sample(noise.roll(1, 0)), carried)
        )
        kl = posterior.kl(prior)
        total, use = kl.sum(-1), other - nll
        return {
            "nll": float(nll.mean()),
            "kl": float(total.mean()),
            "elbo": -float((nll + total).mean()),
            "nll_without": float(without.mean()),
            "nll_prior": float(under_prior.mean()),
            "nll_other": float(other.mean()),
            "use_of_z": float(use.mean()),
            "use_of_z_error": float(use.std() / len(pairs) ** 0.5),
            "active_units": float(active_units(prior.residual(posterior.mu), kl, free_bits=self._fit.free_bits)),
            "prior_sigma": float(prior.log_sigma.exp().mean()),
            "tokens": sum(len(pair.target) for pair in pairs) / len(pairs),
            "kl_per_dim": kl.mean(0).tolist(),
        }

    def _nll(self, pairs: Sequence[Pair], z: Tensor | None, condition: Tensor, continuation: Tensor) -> Tensor:
        """-log p(s|c, z) of every pair, [N]."""
        parts = [
            self.objective.nll(pairs[part], None if z is None else z[part], continuation[part], condition[part])
            for part in self.objective.passes(pairs)
        ]
        return torch.cat(parts)

    def _encode(self, pairs: Sequence[Pair]) -> tuple[Tensor, Tensor]:
        features = self._encoder([*(pair.condition for pair in pairs), *(pair.target for pair in pairs)]).to(self._device)
        return features[: len(pairs)], features[len(pairs) :]

    def _noise(self, pairs: Sequence[Pair], number: int) -> Tensor:
        rows = [generator(self._seed, "fit", "noise", number, pair.id).standard_normal(self.shape.dim) for pair in pairs]
        return torch.from_numpy(np.stack(rows).astype(np.float32)).to(self._device)

    def save(self, directory: Path) -> None:
        """Networks and optimiser."""
        tensors = {f"cvae.{name}": tensor for name, tensor in self.cvae.state_dict().items()}
        tensors |= {f"objective.{name}": tensor for name, tensor in self.objective.trained.state_dict().items()}
        for index, state in self._optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{key}": state[key] for key in _STATES}
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, directory / _FILE)

    def load(self, directory: Path) -> None:
        """Go on from `save`."""
        tensors = load_file(directory / _FILE)
        for prefix, module in (("cvae.", self.cvae), ("objective.", self.objective.trained)):
            module.load_state_dict({name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)})
        found = {i: {key: tensors[f"adam.{i}.{key}"] for key in _STATES} for i in range(len(self._parameters))}
        self._optimizer.load_state_dict({"state": found, "param_groups": self._optimizer.state_dict()["param_groups"]})

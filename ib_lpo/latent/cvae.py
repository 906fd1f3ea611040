"""The conditional VAE over continuations: prior p(z|c), posterior q(z|c, s), their divergence (method.md section 1, the latent model).

Both are diagonal Gaussians from small networks on frozen encodings of the condition c and the continuation s.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ib_lpo.latent.store import CvaeShape

_CONSTANT = 1e-6  # a feature's standard deviation up to which it is rounding


@dataclass(frozen=True, slots=True)
class Gaussian:
    """N(mu, diag exp(log_sigma)^2), each float32 [N, dim]."""

    mu: Tensor
    log_sigma: Tensor

    def sample(self, noise: Tensor) -> Tensor:
        """mu + sigma * noise, noise float32 [N, dim] ~ N(0, I)."""
        return self.mu + self.log_sigma.exp() * noise

    def residual(self, z: Tensor) -> Tensor:
        """(z - mu) / sigma, float32 [N, dim]: the noise that `sample` makes z of."""
        return (z - self.mu) / self.log_sigma.exp()

    def kl(self, other: "Gaussian") -> Tensor:
        """KL(self || other) per dimension, nats, [N, dim]."""
        gap = ((self.mu - other.mu) / other.log_sigma.exp()).square()
        ratio = 2 * (self.log_sigma - other.log_sigma)
        return 0.5 * (ratio.exp() + gap - 1 - ratio)


class Standardise(nn.Module):
    """(x - mean) / std, feature by feature, as measured once: encodings of different texts differ little beside what they share.

    A feature that was the same in everything measured is shifted alone: divided by next to nothing, a new text would blow it up.
    """

    def __init__(self, features: int):
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))

    def measure(self, features: Tensor) -> None:
        """Take mean and standard deviation from features [N, features], N >= 2."""
        self.mean.copy_(features.mean(0))
        std = features.std(0)
        self.std.copy_(std.where(std > _CONSTANT, 1.0))

    def forward(self, features: Tensor) -> Tensor:
        return (features - self.mean) / self.std


class GaussianHead(nn.Module):
    """Features [N, features] -> a Gaussian over z, at first close to N(0, I)."""

    def __init__(self, features: int, hidden: int, dim: int):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, hidden), nn.SiLU(), nn.Linear(hidden, 2 * dim))
        with torch.no_grad():
            self.body[-1].weight.mul_(0.1)
            self.body[-1].bias.zero_()

    def forward(self, features: Tensor) -> Gaussian:
        mu, log_sigma = self.body(features).chunk(2, dim=-1)
        return Gaussian(mu, log_sigma.clamp(-6, 3))


class Cvae(nn.Module):
    """Prior and posterior."""

    def __init__(self, shape: CvaeShape):
        super().__init__()
        self.shape = shape
        self.scale = nn.ModuleDict({name: Standardise(shape.features) for name in ("condition", "continuation")})
        self.prior = GaussianHead(shape.features, shape.hidden, shape.dim)
        self.posterior = GaussianHead(2 * shape.features, shape.hidden, shape.dim)

    def p(self, condition: Tensor) -> Gaussian:
        """The prior of encoded conditions [N, features]."""
        return self.prior(self.scale["condition"](condition))

    def q(self, condition: Tensor, continuation: Tensor) -> Gaussian:
        """The posterior of encoded conditions and continuations [N, features] each."""
        return self.posterior(torch.cat([self.scale["condition"](condition), self.scale["continuation"](continuation)], dim=-1))

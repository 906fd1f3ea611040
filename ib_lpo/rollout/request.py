"""What goes into an engine and what comes out: token ids, both ways."""

from dataclasses import dataclass

import numpy as np

from ib_lpo.tree import Status, VersionSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """Continue `prefix_ids`; with `latent`, every token from the last prefix token on is computed with z."""

    id: str  # unique among the requests of a step
    prefix_ids: np.ndarray  # int32 [P], prompt and shared response tokens; P >= 1, and >= 2 with a latent
    max_new_tokens: int
    seed: int
    temperature: float
    top_p: float = 1.0
    top_k: int | None = None  # None: the whole vocabulary
    latent: np.ndarray | None = None  # float32 [dim]
    excluded: tuple[int, ...] = ()  # tokens that are not sampled; needs a temperature above 0, no top-p and no top-k


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A finished request."""

    id: str
    token_ids: np.ndarray  # int32 [T], an end token included
    logprobs: np.ndarray  # float32 [T], nats, with temperature, top-p and top-k, and as if nothing were excluded
    entropies: np.ndarray  # float32 [T], nats, raw distribution, whatever the temperature, top-p and top-k
    status: Status
    spans: tuple[VersionSpan, ...]
    cached_tokens: int  # tokens of the prefix read from the prefix cache

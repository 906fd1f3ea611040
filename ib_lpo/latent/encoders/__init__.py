"""Prefix encoders: the condition c as a feature vector (method.md section 1, step 5).

An encoder is frozen, and what it makes of one prefix does not depend on the prefixes beside it beyond the last bits. It keeps the fork
end of a long prefix. Adding one: a class with this protocol in a file of its own, and its name in ENCODERS.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from ib_lpo.latent.config import EncoderConfig
from ib_lpo.latent.encoders.embedding import EmbeddingEncoder
from ib_lpo.latent.encoders.sentence import SentenceEncoder
from ib_lpo.policy.config import ModelConfig


class PrefixEncoder(Protocol):
    """Maps prefixes to feature vectors."""

    features: int

    def __call__(self, prefixes: Sequence[np.ndarray]) -> Tensor:
        """Features float32 [N, features] on the CPU, of N prefixes given as token ids of the policy, int32 [P] each, P >= 1.

        Raises ValueError for an empty prefix.
        """
        ...


ENCODERS: dict[str, Callable[[EncoderConfig, ModelConfig, str], PrefixEncoder]] = {
    "embedding": EmbeddingEncoder,
    "sentence": SentenceEncoder,
}


def build_encoder(config: EncoderConfig, model: ModelConfig, device: str = "cpu") -> PrefixEncoder:
    """The encoder that `latent.encoder.kind` names, for the policy `model`, computing on `device`. Raises UserError."""
    return ENCODERS[config.kind](config, model, device)

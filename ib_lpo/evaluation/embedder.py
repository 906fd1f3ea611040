"""What embeds responses for the measures of diversity that need it."""

from functools import cache

from ib_lpo.latent.config import EncoderConfig
from ib_lpo.latent.encoders import PrefixEncoder, build_encoder
from ib_lpo.manifest import Manifest
from ib_lpo.policy.config import ModelConfig


def embedder(manifest: Manifest) -> PrefixEncoder | None:
    """The encoder of evaluation.embedding, loaded once per process; None without one. Raises UserError."""
    config = manifest.evaluation.embedding
    return None if config is None else _loaded(config, manifest.model)


@cache
def _loaded(config: EncoderConfig, model: ModelConfig) -> PrefixEncoder:
    return build_encoder(config, model)

"""What a latent must explain of a continuation: a registry by `latent_fit.objective`. Adding one is adding a file and a line here."""

from collections.abc import Callable

from ib_lpo.latent.fitting.objectives.base import Objective
from ib_lpo.latent.fitting.objectives.lars import EmbeddingReconstruction
from ib_lpo.latent.fitting.objectives.lm import LanguageModelling
from ib_lpo.latent.store import CvaeShape
from ib_lpo.manifest import Manifest

__all__ = ["OBJECTIVES", "Objective"]

OBJECTIVES: dict[str, Callable[[Manifest, CvaeShape, str], Objective]] = {"lm": LanguageModelling, "lars": EmbeddingReconstruction}

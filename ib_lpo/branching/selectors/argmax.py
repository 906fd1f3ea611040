"""`argmax` [C]: the single most uncertain position."""

import numpy as np

from ib_lpo.branching.selectors.base import ForkSite


def argmax(site: ForkSite) -> np.ndarray:
    """The free position of highest entropy, if that is above the floor."""
    best = np.argmax(np.where(site.free, site.entropies, -np.inf), keepdims=True)
    return best[site.entropies[best] >= site.config.floor]

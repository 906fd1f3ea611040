"""`top_entropy` [P]: the most uncertain positions."""

import numpy as np

from ib_lpo.branching.selectors.base import ForkSite, top


def top_entropy(site: ForkSite) -> np.ndarray:
    """The top fraction by entropy, where free and above the floor."""
    return top(site.entropies, site)

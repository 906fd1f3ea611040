"""`open_entropy` [D]: uncertain positions behind which the outcome is still open."""

import numpy as np

from ib_lpo.branching.selectors.base import ForkSite, top


def open_entropy(site: ForkSite) -> np.ndarray:
    """The top fraction by entropy times openness, where free and, by entropy alone, above the floor. Where openness is
    not known, the top fraction by entropy."""
    return top(site.entropies if site.openness is None else site.entropies * site.openness, site)

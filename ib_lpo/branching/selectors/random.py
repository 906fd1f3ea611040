"""`random` [D]: the control that does not know entropy."""

import numpy as np

from ib_lpo.branching.selectors.base import ForkSite


def random(site: ForkSite) -> np.ndarray:
    """Every free position."""
    return np.flatnonzero(site.free)

"""Registry of selectors, by the name used in `branching.select`: which positions of a trajectory are candidates for a
fork."""

from ib_lpo.branching.selectors.argmax import argmax
from ib_lpo.branching.selectors.base import ForkSite, Selector
from ib_lpo.branching.selectors.open_entropy import open_entropy
from ib_lpo.branching.selectors.random import random
from ib_lpo.branching.selectors.top_entropy import top_entropy

SELECTORS: dict[str, Selector] = {
    "top_entropy": top_entropy,
    "argmax": argmax,
    "random": random,
    "open_entropy": open_entropy,
}

__all__ = ["SELECTORS", "ForkSite", "Selector"]

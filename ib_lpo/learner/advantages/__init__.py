"""Advantages: what every trained token is worth, compared with the other trajectories of its question (method.md section 3).

One file per kind. A kind gets the trajectories of a question whose rewards count, and returns the segments of each: runs of its own tokens
with one advantage. A new kind is a new file, a name in AdvantageConfig.kind and a line in registry.py.
"""

from ib_lpo.learner.advantages.assign import assign_advantages
from ib_lpo.learner.advantages.registry import ADVANTAGES

__all__ = ["ADVANTAGES", "assign_advantages"]

"""Which branches of a sibling set are trained on, one file per rule; a new rule is a new file and a line here.

A rule gets the verifiable, scored branches of one set, the highest S_IB first, N, and the filter's settings. It returns a weight per
branch, in that order: what its loss is multiplied by, or None for a branch that is dropped.
"""

from collections.abc import Callable

from ib_lpo.scoring.config import FilterConfig
from ib_lpo.scoring.filters.balance import balance
from ib_lpo.scoring.filters.top import top
from ib_lpo.scoring.filters.weights import weights
from ib_lpo.scoring.filters.within import within
from ib_lpo.tree import Trajectory

Rule = Callable[[list[Trajectory], int, FilterConfig], list[float | None]]

FILTERS: dict[str, Rule] = {"top": top, "balance": balance, "within": within, "weights": weights}

__all__ = ["FILTERS", "Rule"]

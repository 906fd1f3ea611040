"""Settings of entropy-driven branching."""

from typing import Literal

from pydantic import Field

from ib_lpo.section import Section


class BranchingConfig(Section):
    """Roots, fork selection and branches (method.md section 1)."""

    roots: int = Field(2, ge=1)
    """M, root rollouts per question."""
    branches: int = Field(3, ge=0)
    """K, branches per fork; 0 turns branching off (plain GRPO)."""
    mode: Literal["tree", "chained"] = "tree"
    """`tree`: the K branches of a fork resume at the same token; `chained`: one after another, each leaves the one before it at a token of
    that one's own, K levels deep (as the released code, which however drops the parent's prefix)."""
    forks: int = Field(1, ge=1)
    """Most forks of one trajectory; each has K branches."""
    depth: int = Field(1, ge=1, le=16)
    """Levels of branching: 1, roots fork; 2, their branches fork again."""
    budget: int | None = Field(None, ge=1)
    """Most branches of one root, over all levels; needed where depth > 1."""
    allocate: Literal["uniform", "by_outcome"] = "uniform"
    """Which roots fork: `uniform`, each up to `forks` times, as soon as it ends; `by_outcome`, when all roots of a
    batch have ended and are graded: none of a question whose roots are all right, others up to `most_forks` times,
    within the tokens that `uniform` would reserve on the same roots (branching/allocation.py)."""
    most_forks: int = Field(3, ge=1)
    """Most forks of one root under `allocate: by_outcome`; `forks` then only says how large the budget is."""
    early_share: float = Field(0.5, gt=0.0, le=1.0)
    """Share of a root's eligible positions, the first ones, at which it may fork under `allocate: by_outcome` where all
    roots of its question are wrong."""
    select: Literal["top_entropy", "argmax", "random", "open_entropy"] = "top_entropy"
    """How a fork point is drawn: uniformly from the top fraction; the highest entropy; or, the control, uniformly from
    all eligible positions, whatever their entropy (no floor either). `open_entropy`: uniformly from the top fraction by
    entropy times how open the outcome still is there (branching/openness.py); roots then fork when all of their batch
    have ended and are graded."""
    top_fraction: float = Field(0.05, gt=0.0, le=1.0)
    """Share of a trajectory's eligible positions that are candidates, by entropy, or what `select` makes of it."""
    floor: float = Field(0.5, ge=0.0)
    """tau: entropy in nats below which a position is never a fork."""
    min_distance: int = Field(1, ge=1)
    """Fewest tokens between two forks of a trajectory, and between the fork that a branch began at and those it makes; 1: distinct."""
    pivot: Literal["keep", "resample", "distinct"] = "distinct"
    """The hesitant token. `keep` (the paper's): it belongs to the shared prefix; `resample`: every branch samples its own,
    which may be the parent's again; `distinct`: branches draw theirs without replacement, none the parent's, and z acts
    on what follows (branching/pivots.py). `distinct` needs rollout.top_p=1 and no top_k."""
    least_mass: float = Field(0.02, gt=0.0, lt=1.0)
    """With `pivot: distinct`: probability that tokens not yet taken at a fork must have together for one more to be drawn."""

    @property
    def per_fork(self) -> int:
        """Branches of one fork."""
        return min(1, self.branches) if self.mode == "chained" else self.branches

    @property
    def levels(self) -> int:
        """Levels of branches below a root."""
        return self.branches if self.mode == "chained" else self.depth

    @property
    def forks_of_a_root(self) -> int:
        """Most forks of one root."""
        return self.most_forks if self.allocate == "by_outcome" else self.forks

    @property
    def after_grades(self) -> bool:
        """Whether roots fork only when all of their batch are graded."""
        return self.per_fork > 0 and (self.allocate == "by_outcome" or self.select == "open_entropy")

    @property
    def most_branches(self) -> int:
        """Branches of a root whose every trajectory finds all its forks, within the budget."""
        full = sum((self.forks_of_a_root * self.per_fork) ** level for level in range(1, self.levels + 1))
        return full if self.budget is None else min(full, self.budget)

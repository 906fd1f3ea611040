"""How a root's budget of branches goes down its tree.

A pure function of what each trajectory finds in itself: nothing is taken from a common pool, so the tree does not depend on which
trajectory ends first. What a branch cannot use (it finds no fork) is not given to another.
"""


def forks_within(quota: int, *, forks: int, per_fork: int) -> int:
    """Forks that a trajectory may make when `quota` branches may grow from it; the last may have fewer than `per_fork` branches."""
    return min(forks, -(-quota // per_fork)) if per_fork else 0


def divide(quota: int, *, forks: int, per_fork: int) -> tuple[list[int], list[int]]:
    """What becomes of the quota of a trajectory with `forks` forks: the branches of each fork, and the quota of each of these branches.

    What is left after the branches themselves goes on in portions of one fork, `per_fork` branches, so that whole sets of siblings grow
    rather than only children; the odd rest is the last portion. They are dealt evenly: to the first branch of each fork, to the second
    of each, and so on.
    """
    made = min(forks * per_fork, quota)
    counts = [min(per_fork, made - first) for first in range(0, made, per_fork)] if made else []
    quotas = [0] * made
    order = sorted(range(made), key=lambda branch: branch % per_fork)
    left = quota - made
    for portion, start in enumerate(range(0, left, per_fork) if made else ()):
        quotas[order[portion % made]] += min(per_fork, left - start)
    return counts, quotas

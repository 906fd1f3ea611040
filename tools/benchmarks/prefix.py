"""What branches save by reading their prefix from the cache."""

from pathlib import Path

import numpy as np

from benchmarks.compare import Comparison, alternate
from benchmarks.engines import policy, random_prefixes, requests, rollout_engine, run, settings

PREFIX, BRANCHES, TOKENS = 640, 24, 4


def prefix_resume(folder: Path, device: str, rounds: int) -> list[Comparison]:
    """24 branches with z of one prefix of 640 tokens, 4 new tokens each, after their root ran.

    Without the cache every branch has a prefix of its own that nothing has seen: the same work, and nothing to read back.
    """
    rng = np.random.default_rng(0)
    with rollout_engine(settings(policy(folder)), device) as engine:

        def milliseconds(cached: bool) -> float:
            prefixes = random_prefixes(rng, BRANCHES, PREFIX)
            if cached:
                prefixes = prefixes[:1] * BRANCHES
                run(engine, requests(prefixes[:1], tokens=TOKENS, rng=rng, latent=False), device)
            return 1e3 * run(engine, requests(prefixes, tokens=TOKENS, rng=rng, latent=True), device)[1]

        variants = {"without the cache": lambda: milliseconds(False), "prefix in the cache": lambda: milliseconds(True)}
        return [alternate("24 branches of a 640-token prefix", "ms", variants, rounds)]

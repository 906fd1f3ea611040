"""What PSA costs while decoding."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.compare import Comparison, alternate
from benchmarks.engines import RUNNING, random_prefixes, requests, rollout_engine, run

PROMPT, TOKENS = 16, 24


def psa_decoding(directory: Path, device: str, rounds: int) -> Comparison:
    """32 requests of 16 prompt and 24 new tokens on an engine without PSA, and on engines with it, for requests with and without z."""
    rng = np.random.default_rng(0)

    def speed(engine, latent: bool) -> float:
        tokens, seconds = run(engine, requests(random_prefixes(rng, RUNNING, PROMPT), tokens=TOKENS, rng=rng, latent=latent), device)
        return tokens / seconds

    with ExitStack() as stack:
        none = stack.enter_context(rollout_engine(directory, device, kind="none"))
        last = stack.enter_context(rollout_engine(directory, device))
        every = stack.enter_context(rollout_engine(directory, device, psa={"layers": "all"}))
        variants = {
            "engine without PSA": partial(speed, none, False),
            "PSA in 4 of 8 layers, no row has z": partial(speed, last, False),
            "PSA in 4 of 8 layers, all rows have z": partial(speed, last, True),
            "PSA in 8 of 8 layers, all rows have z": partial(speed, every, True),
        }
        return alternate("decoding with PSA", "tokens/s", variants, rounds)

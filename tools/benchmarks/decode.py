"""What PSA costs while decoding."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.compare import Comparison, goal, interleave
from benchmarks.engines import LAYERS, RUNNING, policy, random_prefixes, requests, rollout_engine, settings, stock_engine
from benchmarks.sampling import decoding

PROMPT, TOKENS, GOAL = 16, 48, 0.93
LAST, EVERY = f"PSA in 4 of {LAYERS} layers", f"PSA in {LAYERS} of {LAYERS} layers"


def psa_decoding(folder: Path, device: str, rounds: int) -> list[Comparison]:
    """Decode-only iterations of 32 requests on an engine with latents off, on engines with PSA, and on stock vLLM."""
    rng, directory = np.random.default_rng(0), policy(folder, ends=False)
    ours = {
        "latents off": ({"kind": "none"}, False),
        f"{LAST}, no row has z": ({"psa": {"layers": 4}}, False),
        f"{LAST}, all rows have z": ({"psa": {"layers": 4}}, True),
        f"{EVERY}, all rows have z": ({"psa": {"layers": "all"}}, True),
    }

    def iterations(engine, latent: bool) -> Iterator[int]:
        """The first call computes every prompt; from then on each iteration gives one token per request."""
        engine.advance(requests(random_prefixes(rng, RUNNING, PROMPT), tokens=TOKENS, rng=rng, latent=latent))
        yield 0
        for _ in range(TOKENS - 1):
            engine.advance([])
            yield RUNNING

    with ExitStack() as stack:
        stock = stack.enter_context(stock_engine(directory, device))  # before ours changes how vLLM multiplies on CPU
        variants = {}
        for name, (latent, z) in ours.items():
            engine = stack.enter_context(rollout_engine(settings(directory, rollout={"max_iterations_per_call": 1}, **latent), device))
            variants[name] = partial(iterations, engine, z)
        variants["stock vLLM"] = lambda: decoding(stock, random_prefixes(rng, RUNNING, PROMPT), TOKENS, logprobs=0)
        found = interleave("decoding with PSA", "tokens/s", variants, rounds, device)
    worst = min(found.ratio(f"{layers}, all rows have z") for layers in (LAST, EVERY))
    return [found.noted(f"All rows with z against latents off: {goal(GOAL, worst)}")]

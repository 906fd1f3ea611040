"""What exact entropies cost while decoding, against stock vLLM."""

from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.compare import Comparison, alternate, clock
from benchmarks.engines import RUNNING, TEMPERATURE, VOCAB, random_prefixes, rollout_engine, stock_engine

PROMPT, TOKENS = 16, 24


def entropy_sampling(directory: Path, device: str, rounds: int) -> Comparison:
    """32 requests of 16 prompt and 24 new tokens with log-probs of the sampled tokens; seeds and entropies are added one by one."""
    from vllm import SamplingParams

    rng = np.random.default_rng(0)

    def speed(engine, seeded: bool, **asked) -> float:
        for i, prompt in enumerate(random_prefixes(rng, RUNNING, PROMPT)):
            seed = i if seeded else None
            params = SamplingParams(max_tokens=TOKENS, temperature=TEMPERATURE, ignore_eos=True, detokenize=False, seed=seed, **asked)
            engine.add_request(f"q{i}", {"prompt_token_ids": prompt.tolist()}, params)
        started = clock(device)
        while engine.has_unfinished_requests():
            engine.step()
        return RUNNING * TOKENS / (clock(device) - started)

    with ExitStack() as stack:
        stock = stack.enter_context(stock_engine(directory, device))  # before ours changes how vLLM multiplies on CPU
        ours = stack.enter_context(rollout_engine(directory, device, kind="none"))._engine
        variants = {
            "stock vLLM, logprobs=0": partial(speed, stock, False, logprobs=0),
            "stock vLLM, logprobs=0, seeds": partial(speed, stock, True, logprobs=0),
            "our engine, logprobs=0, seeds": partial(speed, ours, True, logprobs=0),
            "our engine, entropies, seeds": partial(speed, ours, True, logprob_token_ids=[VOCAB]),
        }
        return alternate("sampling with exact entropies", "tokens/s", variants, rounds)

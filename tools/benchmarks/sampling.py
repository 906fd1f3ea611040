"""What exact entropies cost while decoding."""

from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.compare import Comparison, goal, interleave
from benchmarks.engines import RUNNING, TEMPERATURE, VOCAB, policy, random_prefixes, rollout_engine, settings, stock_engine

PROMPT, TOKENS, GOAL = 16, 48, 0.98
ENTROPIES = "our engine, entropies"


def entropy_sampling(folder: Path, device: str, rounds: int) -> list[Comparison]:
    """Decode-only iterations of 32 seeded requests with log-probs of the sampled tokens, with and without entropies, latents off."""
    rng, directory = np.random.default_rng(0), policy(folder, ends=False)

    def iterations(engines: list, **wanted) -> Iterator[int]:
        engines.append(engines.pop(0))
        return decoding(engines[0], random_prefixes(rng, RUNNING, PROMPT), TOKENS, **wanted)

    with ExitStack() as stack:
        stock = stack.enter_context(stock_engine(directory, device))  # before ours changes how vLLM multiplies on CPU
        one, other = (stack.enter_context(rollout_engine(settings(directory, kind="none"), device))._engine for _ in range(2))
        variants = {  # two engines that are alike still differ by up to 3 %, so they change places every round
            "our engine, logprobs=0": partial(iterations, [one, other], logprobs=0),
            ENTROPIES: partial(iterations, [other, one], logprob_token_ids=[VOCAB]),
            "stock vLLM, logprobs=0": partial(iterations, [stock], logprobs=0),
        }
        found = interleave("sampling with exact entropies", "tokens/s", variants, rounds, device)
    return [found.noted(f"Entropies against `logprobs=0` on the same engine: {goal(GOAL, found.ratio(ENTROPIES))}")]


def decoding(engine, prompts: list[np.ndarray], tokens: int, **asked) -> Iterator[int]:
    """`tokens` new ones per prompt on a vLLM LLMEngine, the first uncounted (compare.interleave); `asked` goes to SamplingParams."""
    from vllm import SamplingParams

    for i, prompt in enumerate(prompts):
        params = SamplingParams(max_tokens=tokens, temperature=TEMPERATURE, ignore_eos=True, detokenize=False, seed=i, **asked)
        engine.add_request(f"q{i}", {"prompt_token_ids": prompt.tolist()}, params)
    engine.step()
    yield 0
    while engine.has_unfinished_requests():
        engine.step()
        yield len(prompts)

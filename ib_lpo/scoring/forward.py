"""Log-probs and entropies of scoring passes under a causal language model, every shared prefix computed once.

Passes are packed as forests (policy/forest.py): the prompt of a question, its roots and what branches from them are forwarded once for
all passes that begin so, and nothing is padded. Which passes share a batch is a function of their token ids alone. Logits exist for a
chunk of tokens at a time.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from transformers import PreTrainedModel

from ib_lpo.policy.forest import Forest, Path, common_prefix, plant
from ib_lpo.policy.logprobs import token_logprobs
from ib_lpo.policy.packed_attention import packed_context
from ib_lpo.scoring.estimators import Scored


class Cost(NamedTuple):
    """Tokens of scoring."""

    forwarded: int  # that went through the model
    flat: int  # that would have gone through it with every pass on its own


@torch.inference_mode()
def score_paths(model: PreTrainedModel, paths: Sequence[Path], *, max_tokens: int, chunk: int) -> tuple[list[Scored], Cost]:
    """Per path the target tokens ids[start:], at temperature 1 and without z; equal paths are scored once.

    `model`: packed attention installed. max_tokens: of one forward pass, shared prefixes counted once; a longer path is a batch of its
    own. chunk: tokens whose logits exist at a time.
    """
    keys = [(path.ids.tobytes(), path.start) for path in paths]
    distinct = list(dict(zip(keys, paths, strict=True)).items())
    results: dict[tuple[bytes, int], Scored] = {}
    forwarded = 0
    for batch in batches([path for _, path in distinct], max_tokens):
        forest = plant([distinct[i][1] for i in batch], share=True)
        forwarded += forest.tokens
        scored = _score(model, forest, [len(distinct[i][1].ids) - distinct[i][1].start for i in batch], chunk)
        results.update(zip([distinct[i][0] for i in batch], scored, strict=True))
    return [results[key] for key in keys], Cost(forwarded, sum(len(path.ids) for path in paths))


def batches(paths: Sequence[Path], max_tokens: int) -> Iterator[list[int]]:
    """Indices of `paths` in groups whose forests hold at most max_tokens. Ordered by token ids, each path shares most with the one
    before it, so a forest grows by what follows their common prefix."""
    computed = [path.ids[: max(1, len(path.ids) - 1)].astype(">i4") for path in paths]
    order = sorted(range(len(paths)), key=lambda i: (computed[i].tobytes(), paths[i].start))
    batch: list[int] = []
    held = 0
    for index in order:
        more = len(computed[index]) - (common_prefix(computed[batch[-1]], computed[index]) if batch else 0)
        if batch and held + more > max_tokens:
            yield batch
            batch, held, more = [], 0, len(computed[index])
        batch.append(index)
        held += more
    if batch:
        yield batch


def _score(model: PreTrainedModel, forest: Forest, counts: list[int], chunk: int) -> list[Scored]:
    """`counts`: targets of each path, in order."""
    head = model.get_output_embeddings().weight
    forest = forest.to(head.device)
    packed = packed_context(forest, None, None)
    hidden = model.get_decoder()(input_ids=forest.ids, position_ids=forest.positions, use_cache=False, packed=packed).last_hidden_state
    logprobs, entropies = token_logprobs(hidden[0].index_select(0, forest.source), head, forest.targets, chunk=chunk)
    cuts = np.cumsum(counts)[:-1]
    halves = (np.split(values.float().cpu().numpy(), cuts) for values in (logprobs, entropies))
    return [Scored(*both) for both in zip(*halves, strict=True)]

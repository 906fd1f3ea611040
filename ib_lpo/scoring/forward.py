"""Log-probs of scoring passes under a causal language model, in batches of similar length.

Rows are padded on the right, which a causal model's earlier positions cannot see, so results do not depend on the batching
(up to floating-point order). The order of batches is a function of the lengths alone. Logits exist for a chunk of tokens at a time.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from ib_lpo.policy.logprobs import token_logprobs
from ib_lpo.scoring.passes import Pass


def batches(lengths: Sequence[int], max_tokens: int) -> Iterator[list[int]]:
    """Indices grouped, longest first, so that rows * longest row <= max_tokens; a longer row is a batch of its own."""
    held: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if held and (len(held) + 1) * lengths[held[0]] > max_tokens:
            yield held
            held = []
        held.append(index)
    if held:
        yield held


@torch.inference_mode()
def pass_logprobs(model: PreTrainedModel, passes: Sequence[Pass], *, max_tokens: int, chunk: int) -> list[np.ndarray]:
    """Per pass: float32 [targets], nats, at temperature 1. Equal passes are computed once."""
    distinct = list(dict.fromkeys(passes))
    results: dict[Pass, np.ndarray] = {}
    for batch in batches([len(p.context) + len(p.target) for p in distinct], max_tokens):
        rows = [distinct[index] for index in batch]
        results.update(zip(rows, _batch_logprobs(model, rows, chunk), strict=True))
    return [results[p] for p in passes]


def _batch_logprobs(model: PreTrainedModel, rows: list[Pass], chunk: int) -> list[np.ndarray]:
    device = model.get_output_embeddings().weight.device
    hidden = model.get_decoder()(input_ids=_padded(rows).to(device), use_cache=False).last_hidden_state  # [rows, longest, H]
    row_of, position_of, targets = _targets(rows)
    logprobs, _ = token_logprobs(
        hidden[row_of.to(device), position_of.to(device)], model.get_output_embeddings().weight, targets.to(device), chunk=chunk
    )
    return list(np.split(logprobs.float().cpu().numpy(), np.cumsum([len(p.target) for p in rows])[:-1]))


def _padded(rows: list[Pass]) -> Tensor:
    """int64 [rows, longest], right padding with id 0."""
    ids = [torch.tensor(p.context + p.target, dtype=torch.int64) for p in rows]
    return torch.nn.utils.rnn.pad_sequence(ids, batch_first=True)


def _targets(rows: list[Pass]) -> tuple[Tensor, Tensor, Tensor]:
    """Row index, position that predicts it, and id of every target token; int64 [N] each, row by row."""
    lengths = torch.tensor([len(p.target) for p in rows])
    row_of = torch.repeat_interleave(torch.arange(len(rows)), lengths)
    positions = [torch.arange(len(p.context) - 1, len(p.context) - 1 + len(p.target)) for p in rows]
    targets = [torch.tensor(p.target, dtype=torch.int64) for p in rows]
    return row_of, torch.cat(positions), torch.cat(targets)

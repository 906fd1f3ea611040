"""Entropies against float64, over several blocks of rows, and the two ways in which they reach vLLM's log-prob table."""

import pytest
import torch

from ib_lpo.rollout.plugin import entropy as module
from ib_lpo.rollout.plugin.entropy import columns, entropy, place

ID = 7


def reference(logits: torch.Tensor) -> torch.Tensor:
    logprobs = logits.double().log_softmax(-1)
    return -(logprobs.exp() * logprobs).sum(-1)


@pytest.mark.parametrize("rows", [1, 3, 4, 7])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_entropies_are_those_of_float64_whatever_the_blocks(monkeypatch, rows, dtype):
    monkeypatch.setattr(module, "_CPU_BLOCK", 3 * 20_000)
    logits = (40 + 5 * torch.randn(rows, 20_000, generator=torch.Generator().manual_seed(0))).to(dtype)
    assert (entropy(logits) - reference(logits)).abs().max() < 3e-6


def test_a_certain_and_a_uniform_row():
    logits = torch.zeros(2, 1000)
    logits[0, 3] = 200.0
    assert entropy(logits).tolist() == pytest.approx([0.0, torch.tensor(1000.0).log().item()], abs=1e-6)


def test_the_logits_stay_as_they_are():
    logits = torch.randn(4, 50)
    before = logits.clone()
    entropy(logits)
    assert torch.equal(logits, before)


def test_both_ways_give_the_same_columns():
    logprobs, sampled, entropies = torch.randn(3, 20).log_softmax(-1), torch.tensor([4, 0, 19]), torch.tensor([0.5, 1.5, 2.5])
    direct = columns(logprobs.gather(-1, sampled[:, None]), entropies, sampled, ID)
    placed = place(direct._replace(logprobs=direct.logprobs * torch.tensor([1.0, 0.0])), entropies, ID)
    assert direct.logprob_token_ids.tolist() == [[4, ID], [0, ID], [19, ID]]
    assert torch.equal(direct.logprobs, placed.logprobs)
    assert torch.equal(direct.logprobs[:, 1], entropies)
    assert torch.equal(direct.logprobs[:, 0], logprobs[torch.arange(3), sampled])

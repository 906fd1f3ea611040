"""What a loss chooses among all tokens of a step does not depend on ranks, micro-batches or order: two real ranks against one list."""

from types import SimpleNamespace

import pytest
import torch

from ib_lpo.learner.loss_config import ClipCovLoss, GrpoLoss, HighEntropyLoss, KlCovLoss
from ib_lpo.learner.losses import LOSSES, StepTokens
from ib_lpo.learner.measure import Measured, choose

pytestmark = pytest.mark.slow
CONFIGS = (
    HighEntropyLoss(fraction=0.3),
    KlCovLoss(fraction=0.1),
    ClipCovLoss(fraction=0.2, low=0.1, high=2.0),
    GrpoLoss(),
)
COUNT = 101


def step_tokens() -> StepTokens:
    rng = torch.Generator().manual_seed(4)
    logprobs, entropy, advantages = torch.randn(3, COUNT, generator=rng)
    return StepTokens(logprobs=logprobs, entropy=entropy.abs(), advantages=advantages, draw=torch.rand(COUNT, generator=rng).double())


def micro_batch(tokens: StepTokens, indices: torch.Tensor) -> Measured:
    logprobs, advantages = tokens.logprobs[indices], tokens.advantages[indices]
    batch = SimpleNamespace(advantages=advantages, draw=tokens.draw[indices], with_z=torch.zeros(len(indices), dtype=torch.bool))
    return Measured(batch, old=logprobs, sampled=logprobs, entropy=tokens.entropy[indices], reference=None)


def chosen_on(rank: int, places: list[list[list[int]]], config: GrpoLoss) -> list[list[bool]]:
    tokens = step_tokens()
    measured = [micro_batch(tokens, torch.tensor(indices, dtype=torch.int64)) for indices in places[rank]]
    return [mask.tolist() for mask in choose(measured, LOSSES[config.kind], config)]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_two_ranks_choose_what_one_list_would(ranks, config):
    loss, tokens = LOSSES[config.kind], step_tokens()
    want = torch.ones(COUNT, dtype=torch.bool) if loss.choose is None else loss.choose(tokens, config)
    assert loss.choose is None or 0 < int(want.sum()) < COUNT
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(8)).tolist()
    for places in ([[order[:10], order[10:40], []], [order[40:90], order[90:], []]], [[[]], [order]]):
        answers = ranks.run(chosen_on, places, config)
        got = torch.zeros(COUNT, dtype=torch.bool)
        for rank_places, masks in zip(places, answers, strict=True):
            for indices, mask in zip(rank_places, masks, strict=True):
                got[indices] = torch.tensor(mask, dtype=torch.bool)
        assert torch.equal(got, want)

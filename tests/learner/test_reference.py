"""The reference model on two real ranks: always the starting policy, and unnoticed by the engine that trains."""

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.learner import reference_ranks
from tests.learner.reference import token_statistics
from tests.learner.reference_ranks import TEMPERATURE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return reference_ranks.save_policy(tmp_path_factory.mktemp("policy"))


@pytest.fixture(scope="module")
def alone(ranks, path, tmp_path_factory):
    """Training without a reference."""
    return ranks.run(reference_ranks.train_beside, path, tmp_path_factory.mktemp("alone"), torch.float32, None)


@torch.no_grad()
def plain(path, rank):
    """Log-probs of the starting policy by a plain float32 forward pass, one sequence at a time."""
    policy = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return torch.cat([token_statistics(policy, p.ids, p.start, TEMPERATURE)[0] for p in reference_ranks.paths(rank)])


def assert_starting_policy(seen, path, *, tolerance=1e-5):
    for rank, one in enumerate(seen):
        want = plain(path, rank)
        assert want.std() > 0.1, "all log-probs alike would hide a mistake"
        assert (one.reference[0] - want).abs().max() < tolerance
        assert all(torch.equal(later, one.reference[0]) for later in one.reference)
        assert not one.reference[0].requires_grad and one.whole == []


@pytest.mark.parametrize("offload", [False, True])
def test_it_stays_the_starting_policy_and_disturbs_nothing(ranks, path, alone, tmp_path, offload):
    seen = ranks.run(reference_ranks.train_beside, path, tmp_path, torch.float32, offload)
    assert_starting_policy(seen, path)
    for one, without in zip(seen, alone, strict=True):
        assert len(one.reference) == 5 and None not in one.norms
        assert one.norms == without.norms
        assert all(torch.equal(one.weights[name], without.weights[name]) for name in without.weights)
        assert one.checkpoint_bytes == without.checkpoint_bytes, "its weights are in no checkpoint"
    start = AutoModelForCausalLM.from_pretrained(path).state_dict()
    assert (seen[0].weights["policy.model.embed_tokens.weight"] - start["model.embed_tokens.weight"]).abs().max() > 0.01


def test_a_resumed_run_has_the_starting_policy_as_reference(ranks, path, tmp_path):
    before = ranks.run(reference_ranks.train_beside, path, tmp_path, torch.float32, False)
    after = ranks.run(reference_ranks.train_beside, path, tmp_path, torch.float32, False, True)
    assert_starting_policy(after, path)
    assert after[0].norms != before[0].norms, "it went on from the checkpoint"


def test_bfloat16(ranks, path, tmp_path):
    """As near to the float32 log-probs as the type allows, and as constant."""
    assert_starting_policy(ranks.run(reference_ranks.train_beside, path, tmp_path, torch.bfloat16, False), path, tolerance=0.01)

"""top-p and top-k on a real engine: tokens come from the nucleus, log-probs are those within it, entropies those of everything."""

from dataclasses import replace

import numpy as np
import pytest

from tests.rollout.serving import mixed_branches, prompts, request, serve

pytestmark = pytest.mark.slow

CUTS = [{"top_p": 0.8}, {"top_k": 12}, {"top_p": 0.8, "top_k": 12}]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    latent = {"psa": {"k_slots": 3, "layers": "all", "gate": "exponential", "tau": 6.0}}
    served = serve(tmp_path_factory.mktemp("nucleus"), "qwen3", latent=latent)
    yield served
    served.engine.close()


@pytest.fixture(scope="module")
def requests():
    """Roots, and branches with and without z."""
    prefixes = prompts((5, 33, 64))
    return [request(f"r{i}", prefix, seed=i) for i, prefix in enumerate(prefixes)] + mixed_branches(prefixes)


@pytest.mark.parametrize("cut", CUTS, ids=str)
def test_tokens_logprobs_and_entropies_match_the_reference(served, requests, cut):
    asked = [replace(r, **cut) for r in requests]
    generations = served.run(asked)
    assert max(max(served.errors(r, generations[r.id])) for r in asked) < 1e-4


def test_held_against_the_whole_vocabulary_only_the_entropies_match(served, requests):
    generations = served.run([replace(r, top_p=0.8) for r in requests])
    errors = [served.errors(r, generations[r.id]) for r in requests]
    assert 0.05 < max(logprob for logprob, _ in errors) <= -np.log(0.8) + 1e-4
    assert max(entropy for _, entropy in errors) < 1e-4


def test_tokens_of_plain_sampling_leave_the_nucleus(served, requests):
    """So the first test would notice an engine that ignores the request's top_p."""
    generations = served.run(requests)
    assert any(served.errors(replace(r, top_p=0.8), generations[r.id])[0] == np.inf for r in requests)


def test_requests_of_one_batch_keep_to_their_own_nucleus(served, requests):
    mixed = [replace(r, **(CUTS[i % 3] if i % 2 else {})) for i, r in enumerate(requests)]
    generations = served.run(mixed)
    assert max(max(served.errors(r, generations[r.id])) for r in mixed) < 1e-4
    (plain, *_), alone = mixed, served.run(mixed[:1])
    np.testing.assert_array_equal(generations[plain.id].token_ids, alone[plain.id].token_ids)

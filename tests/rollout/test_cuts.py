"""top-p, top-k and excluded tokens on a real engine. With top-p and top-k tokens come from the nucleus and log-probs are those within it;
excluded tokens are never sampled, and log-probs stay those of the whole distribution. Entropies are those of everything."""

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


def test_tokens_are_distinct_and_log_probs_those_of_the_whole_distribution(served, requests):
    asked = [r for r in requests if r.latent is None]
    roots = served.run(asked)
    taken = {r.id: [int(roots[r.id].token_ids[0])] for r in asked}
    for turn in range(12):
        pivots = [replace(r, id=f"{r.id}/{turn}", seed=turn, max_new_tokens=1, excluded=tuple(taken[r.id])) for r in asked]
        plain = [replace(r, id=f"{r.id}/plain{turn}") for r in asked]
        drawn = served.run(pivots + plain)
        for r, pivot, unchanged in zip(asked, pivots, plain, strict=True):
            assert max(served.errors(pivot, drawn[pivot.id])) < 1e-4
            assert drawn[unchanged.id].token_ids.tolist() == roots[r.id].token_ids.tolist()
            token = int(drawn[pivot.id].token_ids[0])
            assert token not in taken[r.id]
            taken[r.id].append(token)


def test_exclusion_holds_for_every_token_of_a_longer_request(served, requests):
    asked = [r for r in requests if r.latent is None]
    roots = served.run(asked)
    without = [replace(r, id=f"{r.id}/w", excluded=tuple(set(roots[r.id].token_ids.tolist()))) for r in asked]
    drawn = served.run(without)
    for r in without:
        assert not set(drawn[r.id].token_ids.tolist()) & set(r.excluded)
        assert max(served.errors(r, drawn[r.id])) < 1e-4

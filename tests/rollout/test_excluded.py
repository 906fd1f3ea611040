"""Excluded tokens on a real engine: never sampled, and the log-probs and entropies stay those of the whole distribution."""

from dataclasses import replace

import pytest

from tests.rollout.serving import prompts, request, serve

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = serve(tmp_path_factory.mktemp("excluded"), "qwen3", latent={"psa": {"layers": "all"}})
    yield served
    served.engine.close()


@pytest.fixture(scope="module")
def asked():
    """Roots whose first tokens are then excluded one after another, in one batch with roots that exclude nothing."""
    return [request(f"r{i}", prefix, seed=i) for i, prefix in enumerate(prompts((5, 33, 64)))]


def test_tokens_are_distinct_and_log_probs_those_of_the_whole_distribution(served, asked):
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


def test_exclusion_holds_for_every_token_of_a_longer_request(served, asked):
    roots = served.run(asked)
    without = [replace(r, id=f"{r.id}/w", excluded=tuple(set(roots[r.id].token_ids.tolist()))) for r in asked]
    drawn = served.run(without)
    for r in without:
        assert not set(drawn[r.id].token_ids.tolist()) & set(r.excluded)
        assert max(served.errors(r, drawn[r.id])) < 1e-4

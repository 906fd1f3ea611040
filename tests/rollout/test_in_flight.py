"""A commit in the middle of rollouts: they go on, every token is exactly that of the version its span names, and nothing stale is read."""

import numpy as np
import pytest
import torch

from ib_lpo.rollout.engine import RolloutEngine
from ib_lpo.rollout.handles import HandleTable
from tests.rollout.serving import latents, policy, prompts, request, serve

pytestmark = pytest.mark.slow

LATENT = {"psa": {"k_slots": 2, "layers": [0, 2], "gate": "exponential", "tau": 30.0}}


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    served = serve(tmp_path_factory.mktemp("flight"), "qwen3", latent=LATENT, rollout={"max_iterations_per_call": 1, "max_running": 6})
    yield served
    served.engine.close()


@pytest.fixture
def new_weights(served):
    """Switches between the weights of two versions: `new_weights(True)` are those of the next."""
    versions = [
        {"model": {n: t.clone() for n, t in served.model.state_dict().items()}, "kv": served.maps.kv.detach().clone()},
        {"model": policy("qwen3", 21).state_dict(), "kv": served.maps.kv.detach() * -1.3},
    ]

    def switch(new: bool) -> None:
        served.model.load_state_dict(versions[new]["model"])
        with torch.no_grad():
            served.maps.kv.copy_(versions[new]["kv"])

    yield switch
    switch(False)


def running(tokens=50):
    """More than run at once: roots, branches with z, with one z twice, and without; some wait, some are prefilled in chunks."""
    zs = latents(4, seed=6)
    prefixes = prompts((110, 64, 33, 2), seed=7)
    requests = [request(f"r{i}", prefix, seed=i, tokens=tokens) for i, prefix in enumerate(prefixes)]
    return requests + [request(f"b{i}", prefixes[i % 3], seed=50 + i, tokens=tokens, latent=zs[i % 4]) for i in range(6)]


def advance(served, requests, calls):
    finished = {}
    for _ in range(calls):
        finished |= {g.id: g for g in served.engine.advance(requests)}
        requests = []
    return finished


def switch_after(served, new_weights, calls, version):
    """Generations of `running`, with a commit of `version` after `calls` iterations."""
    requests = running()
    finished = advance(served, requests, calls)
    new_weights(True)
    sent = served.parcel(version)
    served.engine.stage(sent)
    served.engine.commit(version)
    while len(finished) < len(requests):
        finished |= {g.id: g for g in served.engine.advance([])}
    return requests, finished


def gaps(served, new_weights, requests, finished, version):
    """Largest errors of the old version's tokens under the old weights, and of the new ones' under the new."""
    largest = {False: 0.0, True: 0.0}
    for new in (False, True):
        new_weights(new)
        for one in requests:
            generation = finished[one.id]
            assert [s.start for s in generation.spans] == [0, *(s.end for s in generation.spans[:-1])]
            assert generation.spans[-1].end == len(generation.token_ids)
            by = np.concatenate([np.full(s.end - s.start, s.version == version) for s in generation.spans])
            for delta in served.deltas(one, generation):
                largest[new] = max([largest[new], *delta[torch.from_numpy(by == new)].tolist()])
    return largest


@pytest.mark.parametrize("calls", [1, 2, 5, 17])
def test_tokens_before_and_after_a_commit_are_those_of_their_version(served, new_weights, calls):
    version = calls
    served.publish(0)
    requests, finished = switch_after(served, new_weights, calls, version)
    errors = gaps(served, new_weights, requests, finished, version)
    assert max(errors.values()) < 1e-4
    if calls > 2:  # earlier, prompts are still being read
        assert any([s.version for s in g.spans] == [0, version] for g in finished.values())


def test_without_the_reset_running_requests_read_stale_blocks(served, new_weights, monkeypatch):
    served.publish(0)
    monkeypatch.setattr(RolloutEngine, "_reset_cache", lambda engine: None)
    requests, finished = switch_after(served, new_weights, 17, 30)
    errors = gaps(served, new_weights, requests, finished, 30)
    assert errors[False] < 1e-4 and errors[True] > 1e-2
    monkeypatch.undo()


def beside_a_running_branch(served, new_weights, version):
    """A branch runs across a commit; then one with another z starts on its prefix, and finds what the cache has."""
    served.publish(0)
    first, second = (request(f"z{i}", prompts((96,))[0], seed=i, tokens=50, latent=z) for i, z in enumerate(latents(2, seed=3)))
    advance(served, [first], 6)
    new_weights(True)
    served.engine.stage(served.parcel(version))
    served.engine.commit(version)
    advance(served, [], 6)
    finished = {}
    waiting = [second]
    while len(finished) < 2:
        finished |= {g.id: g for g in served.engine.advance(waiting)}
        waiting = []
    assert finished["z1"].cached_tokens >= 64
    return max(served.errors(second, finished["z1"]))


def test_a_running_branch_keeps_its_handle_and_a_new_one_gets_another(served, new_weights):
    assert beside_a_running_branch(served, new_weights, 40) < 1e-4


def test_a_handle_given_away_under_a_running_branch_would_be_noticed(served, new_weights, monkeypatch):
    forget = HandleTable.reset
    monkeypatch.setattr(HandleTable, "reset", lambda table, keep=frozenset(): forget(table))
    assert beside_a_running_branch(served, new_weights, 41) > 1e-2


def test_the_same_calls_give_the_same_tokens_across_a_commit(served, new_weights):
    runs = []
    for _ in range(2):
        new_weights(False)
        served.publish(0)
        runs.append(switch_after(served, new_weights, 5, 50)[1])
    for name, generation in runs[0].items():
        np.testing.assert_array_equal(generation.token_ids, runs[1][name].token_ids)
        np.testing.assert_array_equal(generation.logprobs, runs[1][name].logprobs)
        assert generation.spans == runs[1][name].spans


def test_an_engine_in_bfloat16_takes_and_reads_back_bfloat16(tmp_path):
    served = serve(tmp_path, "qwen3", latent={"kind": "none"}, weights={"dtype": "bfloat16"})
    sent = served.parcel(1)
    served.engine.stage(sent)
    receipt = served.engine.commit(1)
    assert receipt.fingerprints == sent.fingerprints
    assert {spec.dtype for spec in sent.layout.specs()} == {"bfloat16"}
    root = request("r", prompts((40,))[0])
    assert 1e-6 < max(served.errors(root, served.run([root])["r"])) < 0.3
    served.engine.close()

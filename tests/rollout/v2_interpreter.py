"""Serve a tiny policy on vLLM's V2 model runner, the default on GPU, where there is no GPU: `python -m tests.rollout.v2_interpreter DIR`.

The V2 runner needs Triton; Triton's interpreter needs no GPU. Both are chosen when they are first imported, so this is a process of its
own, and `enter` comes before every other import. It prints one JSON line of what was served, for test_v2.py to judge.
"""

import json
import os
import sys
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

LATENT = {"psa": {"k_slots": 3, "layers": [0, 2], "gate": "exponential", "tau": 6.0}}


class InterpreterDriver:
    """What vLLM asks of a Triton driver; the interpreter uses none."""

    @staticmethod
    def is_active() -> bool:
        return True


def enter() -> None:
    """Choose Triton's interpreter and the V2 runner for this process."""
    os.environ |= {"TRITON_INTERPRET": "1", "VLLM_USE_V2_MODEL_RUNNER": "1"}
    from triton.backends import backends

    backends["cpu"] = SimpleNamespace(driver=InterpreterDriver, compiler=None)


def name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


class Trial:
    """A tiny Qwen3 with PSA, and branches with and without z of a short and a long prefix; errors are `Served.errors`."""

    def __init__(self, directory: str):
        from tests.rollout.serving import mixed_branches, policy, prompts, serve

        self.served = serve(directory, "qwen3", latent=LATENT)
        self.first_policy, self.next_policy = policy("qwen3"), policy("qwen3", seed=7)
        self.branches = [replace(branch, max_new_tokens=4) for branch in mixed_branches(prompts((20, 97)), per_prefix=2)]
        self.core = self.served.engine._engine.engine_core.engine_core
        self.runner = self.core.model_executor.driver_worker.worker.model_runner

    def report(self) -> dict:
        runner, served = self.runner, self.served
        found = {"runner": [name(kind) for kind in type(runner).__mro__], "state": name(type(runner.model_state))}
        iterations = self.note_iterations()
        fresh = served.run(self.branches)
        found |= {"fresh": self.errors(fresh), "z_ignored": self.errors(fresh, without_z=True)}
        found["prefill_chunks"] = {branch.id: sum(tokens[branch.id] > 1 for tokens in iterations) for branch in self.branches}
        cached = served.run(self.branches)
        found |= {"cached": self.errors(cached), "cached_tokens": {id: g.cached_tokens for id, g in cached.items()}}
        found["token_ids"] = [{id: g.token_ids.tolist() for id, g in generations.items()} for generations in (fresh, cached)]
        found |= self.nucleus()
        found["preempted"] = self.errors(self.run_preempted())
        served.model.load_state_dict(self.next_policy.state_dict())
        served.maps.reset(std=0.5, seed=2)
        found["weights_ignored"] = self.errors(cached)
        served.publish(1)
        found["published"] = self.errors(served.run(self.branches))
        found |= self.run_across_a_commit()
        served.engine.close()
        return found

    def errors(self, generations, *, without_z: bool = False) -> dict[str, tuple[float, float]]:
        requests = [replace(b, latent=None) for b in self.branches if b.latent is not None] if without_z else self.branches
        return {request.id: self.served.errors(request, generations[request.id]) for request in requests}

    def nucleus(self) -> dict:
        """The branches once more, from a part of the vocabulary; also as if they had been sampled from all of it.

        vLLM masks with its PyTorch code here: its Triton kernel for that is beyond the interpreter.
        """
        from vllm.v1.sample.ops import topk_topp_sampler

        topk_topp_sampler.HAS_TRITON = False
        cut = [replace(branch, top_p=0.8, top_k=50) for branch in self.branches]
        generations = self.served.run(cut)
        held = {branch.id: self.served.errors(branch, generations[branch.id]) for branch in cut}
        return {"nucleus": held, "nucleus_ignored": self.errors(generations)}

    def note_iterations(self) -> list[Counter]:
        """A list that grows by the scheduled tokens per request of every iteration."""
        iterations: list[Counter] = []
        execute = self.runner.execute_model

        def noting(scheduled, *args, **kwargs):
            iterations.append(Counter({id.rsplit("-", 1)[0]: n for id, n in scheduled.num_scheduled_tokens.items()}))
            return execute(scheduled, *args, **kwargs)

        self.runner.execute_model = noting
        return iterations

    def run_preempted(self) -> dict:
        """Every branch loses its KV blocks while it decodes, and is recomputed."""
        self.start()
        assert self.served.engine._engine.reset_prefix_cache(reset_running_requests=True)
        return self.rest()

    def run_across_a_commit(self) -> dict:
        """Every branch decodes while version 2 takes the place of version 1; errors of each version's tokens under its weights."""
        served = self.served
        self.start()
        versions = {1: {n: t.clone() for n, t in served.model.state_dict().items()}, 2: self.first_policy.state_dict()}
        served.model.load_state_dict(versions[2])
        served.engine.stage(served.parcel(2))
        served.engine.commit(2)
        generations, largest = self.rest(), {1: 0.0, 2: 0.0}
        for version, weights in versions.items():
            served.model.load_state_dict(weights)
            for branch in self.branches:
                generation = generations[branch.id]
                for delta in served.deltas(branch, generation):
                    of = [float(delta[span.start : span.end].max()) for span in generation.spans if span.version == version]
                    largest[version] = max([largest[version], *of])
        return {"across": largest, "spans": {id: [span.version for span in g.spans] for id, g in generations.items()}}

    def start(self) -> None:
        """All branches run, and have made a token."""
        (probe,) = self.served.engine.advance([*self.branches, replace(self.branches[0], id="probe", max_new_tokens=2)])
        assert probe.id == "probe"
        assert [request.num_output_tokens > 0 for request in self.core.scheduler.running] == [True] * len(self.branches)

    def rest(self) -> dict:
        """The branches, finished."""
        finished: dict = {}
        while len(finished) < len(self.branches):
            finished |= {generation.id: generation for generation in self.served.engine.advance([])}
        return finished


if __name__ == "__main__":
    enter()
    print(json.dumps(Trial(sys.argv[1]).report()))

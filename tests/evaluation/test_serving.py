"""How engines are kept busy, and which weights lie behind a path."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from ib_lpo.errors import UserError
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.identity import weights_digest
from ib_lpo.rollout.request import GenerationRequest
from ib_lpo.serving import Serving


class Engine:
    """Answers one request a call."""

    def __init__(self):
        self.waiting = []

    def advance(self, requests):
        self.waiting += requests
        return [SimpleNamespace(id=self.waiting.pop(0).id)]


def request(number):
    return GenerationRequest(id=str(number), prefix_ids=np.array([number // 2], np.int32), max_new_tokens=1, seed=0, temperature=1.0)


def test_every_request_is_answered_once_and_engines_work_on_while_the_caller_does():
    fleet = LocalFleet()
    workers = [fleet.spawn(Engine, name=str(i)) for i in range(3)]
    answered, left = [], [4, 4, 2]
    for generation in Serving(workers, fleet).stream([request(number) for number in range(10)]):
        engine = int(generation.id) // 2 % 3
        answered.append(generation.id)
        left[engine] -= 1
        assert len(workers[engine].target.waiting) == max(0, left[engine] - 1), "the next call is made before the answer is handed on"
    assert sorted(answered) == [str(number) for number in range(10)]
    assert list(Serving(workers, fleet).stream([])) == []


def test_a_digest_is_of_the_weights_not_of_their_path(tmp_path):
    model = ModelConfig(path=str(tmp_path))
    with pytest.raises(UserError, match="no weights there"):
        weights_digest(model)
    single = tmp_path / "model.safetensors"
    digests = []
    for content in (b"one", b"two!", b"one"):
        single.write_bytes(content)
        digests.append(weights_digest(model))
    assert digests[0] == digests[2] != digests[1]
    single.rename(tmp_path / "a.safetensors")
    index = {"weight_map": {"x": "a.safetensors", "y": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"names b\.safetensors, which is not there"):
        weights_digest(model)
    (tmp_path / "b.safetensors").write_bytes(b"more")
    digests.append(weights_digest(model))
    (tmp_path / "b.safetensors").write_bytes(b"less")
    digests.append(weights_digest(model))
    assert len(set(digests)) == 4

import pytest
import torch

from ib_lpo.errors import UserError
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.placement import check_engines, check_fit, resolve_device
from ib_lpo.fleet.ray import RayFleet
from ib_lpo.manifest import validate


class Sized(RayFleet):
    """A Ray fleet of a given size, without Ray."""

    def __init__(self, **resources):
        self._resources = resources

    @property
    def resources(self):
        return self._resources


def manifest(**cluster):
    return validate({"name": "t", "steps": 1, "model": {"path": "m"}, "cluster": cluster, "rollout": {"engines": 3}})


def test_too_few_cpus_name_keys_and_numbers():
    with pytest.raises(
        UserError, match=r"rollout\.engines=3, learner\.ranks=2, 1 scorers: .* reserve 6\.2 CPUs, the Ray cluster has 2; lower"
    ):
        check_fit(manifest(), "cpu", Sized(CPU=2.0))
    check_fit(manifest(), "cpu", Sized(CPU=6.2))


def test_too_few_gpus():
    with pytest.raises(UserError, match=r"6 GPUs, the Ray cluster has 4.*engine_gpus"):
        check_fit(manifest(), "cuda", Sized(CPU=64.0, GPU=4.0))
    check_fit(manifest(), "cuda", Sized(CPU=64.0, GPU=6.0))


def test_engines_alone_that_do_not_fit():
    with pytest.raises(UserError, match=r"rollout\.engines=4: they reserve 4 GPUs, the Ray cluster has 2; .*cluster\.engine_gpus"):
        check_engines(4, manifest().cluster, "cuda", Sized(CPU=64.0, GPU=2.0))
    with pytest.raises(UserError, match=r"reserve 2 CPUs, the Ray cluster has 1"):
        check_engines(2, manifest().cluster, "cpu", Sized(CPU=1.0))
    check_engines(2, manifest().cluster, "cpu", Sized(CPU=2.0))
    check_engines(2, manifest().cluster, "cuda", LocalFleet())


def test_auto_device_is_what_the_cluster_and_the_environment_have(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert resolve_device(manifest().cluster, Sized(CPU=1.0, GPU=1.0)) == "cuda"
    assert resolve_device(manifest().cluster, Sized(CPU=1.0)) == "cpu"
    monkeypatch.setattr(torch.version, "cuda", None)
    assert resolve_device(manifest().cluster, Sized(CPU=1.0, GPU=1.0)) == "cpu"
    assert resolve_device(manifest(device="cuda").cluster, LocalFleet()) == "cuda"

"""Where and how strongly z acts, in words."""

import pytest

from ib_lpo.report.gates import describe_gate, gate_values
from ib_lpo.report.units import UNITS
from ib_lpo.scoring.estimators import ESTIMATORS
from tests.report.made_run import manifest, save_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("gates")
    save_model(path / "model")
    return path


def described(folder, **latent):
    return describe_gate(manifest(folder, latent={"kind": "normal", "untrained": True, "dim": 4, **latent}))


@pytest.mark.parametrize(
    ("latent", "where"),
    [
        ({"injection": "input"}, "added to the input embeddings"),
        ({"injection": "softmax"}, "added to the last hidden state, before the output layer"),
        ({"psa": {"layers": 2}}, "in layers 4-5 (from 0) of 6 by pseudo self-attention, 4 slots each"),
        ({"psa": {"layers": [0, 3], "layer_gates": [1.0, 0.5]}}, "in layers 0, 3 (from 0) of 6 by pseudo self-attention, 4 slots each"),
    ],
)
def test_the_place_of_z(folder, latent, where):
    assert described(folder, **latent)["where"].startswith(where)


def test_gates_of_layers_are_told(folder):
    assert described(folder, psa={"layers": 2, "layer_gates": [1.0, 0.5]})["where"].endswith("; times 1, 0.5 layer by layer")


def test_without_a_latent_there_is_no_gate(folder):
    none = manifest(folder, latent={"kind": "none"})
    assert describe_gate(none) is None and gate_values(none, 5) == []


def test_every_estimator_has_units():
    assert set(UNITS) == set(ESTIMATORS)

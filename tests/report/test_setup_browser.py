"""Finding a Chromium for the tests."""

import pytest
import setup_browser


def program(folder, name):
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return str(path)


def test_the_environment_comes_before_the_path(tmp_path, monkeypatch):
    on_path, named = program(tmp_path, "google-chrome"), program(tmp_path, "mine")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert setup_browser.require() == on_path
    monkeypatch.setenv("CHROMIUM", named)
    assert setup_browser.require() == named


def test_without_one_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CHROMIUM", raising=False)
    assert setup_browser.main() == 1
    assert "install it" in capsys.readouterr().err
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "gone"))
    assert setup_browser.main() == 1
    assert f"CHROMIUM={tmp_path / 'gone'}: no program" in capsys.readouterr().err


def test_a_failing_or_hanging_install_is_one_line(tmp_path, monkeypatch):
    with pytest.raises(setup_browser.BrowserError, match="failed"):
        setup_browser.run(["sh", "-c", "echo broken >&2; exit 3"])
    monkeypatch.setattr(setup_browser, "DEADLINE_S", 0.05)
    with pytest.raises(setup_browser.BrowserError, match="took more than"):
        setup_browser.run(["sleep", "5"])

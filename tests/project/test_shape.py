"""The shape of the code base: small files, no heavy import under the manifest, nothing tied to one machine."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "ib_lpo").rglob("*.py"))
SKIPPED = {".git", ".venv", ".cache", "runs", "wandb", "__pycache__", ".pytest_cache", ".ruff_cache", ".hypothesis"}
TEXT = {".py", ".toml", ".txt", ".yaml", ".sh", ".sbatch", ".md", ".cpu", ".cuda", ""}


def text_files() -> list[Path]:
    found = (path for path in ROOT.rglob("*") if path.is_file() and not SKIPPED & set(path.relative_to(ROOT).parts))
    return sorted(path for path in found if path.suffix in TEXT)


def test_no_file_over_500_lines():
    assert [str(path) for path in SOURCES if len(path.read_text().splitlines()) > 500] == []


def test_every_module_says_what_it_holds():
    trees = {path: ast.parse(path.read_text()) for path in SOURCES}
    assert [str(path) for path, tree in trees.items() if tree.body and not ast.get_docstring(tree)] == []


@pytest.mark.parametrize("module", ["ib_lpo.manifest", "ib_lpo.cli", "ib_lpo.doctor"])
def test_light_modules_import_nothing_heavy(module):
    heavy = ("torch", "vllm", "ray", "transformers", "deepspeed", "datasets")
    code = f"import sys, {module}; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_no_package_index_is_named():
    """Which index pip uses is the business of the machine."""
    index = re.compile(r"--(extra-)?index-url|--find-links|https?://[^\s\"']*(pypi|simple)\b", re.IGNORECASE)
    this = Path(__file__).resolve()
    assert [str(path) for path in text_files() if path != this and index.search(path.read_text(errors="replace"))] == []

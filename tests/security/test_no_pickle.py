"""No file is read by anything that would run what stands in it: nothing pickled, no unsafe YAML, tensors as weights alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(path for folder in ("ib_lpo", "tools") for path in (ROOT / folder).rglob("*.py"))
FORBIDDEN_MODULES = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNSAFE_YAML = {"load", "load_all", "unsafe_load", "unsafe_load_all", "full_load", "full_load_all"}


def name_of(node: ast.expr) -> str:
    """torch.load for the function of `torch.load(...)`."""
    return ast.unparse(node)


def unsafe(source: str) -> list[str]:
    """What a module must not do, as line: what."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            found += [(node, module) for module in modules if module.split(".")[0] in FORBIDDEN_MODULES]
        if isinstance(node, ast.Call):
            called, given = name_of(node.func), {keyword.arg: keyword.value for keyword in node.keywords}
            owner, _, last = called.rpartition(".")
            if called == "torch.load" and not _is(given.get("weights_only"), True):
                found.append((node, "torch.load without weights_only=True"))
            if "allow_pickle" in given and not _is(given["allow_pickle"], False):
                found.append((node, "allow_pickle"))
            if owner == "yaml" and last in UNSAFE_YAML:
                found.append((node, called))
            if last in {"read_pickle", "to_pickle", "torch.save"} or called in {"eval", "exec", "torch.save"}:
                found.append((node, called))
    return [f"{node.lineno}: {what}" for node, what in found]


def _is(node: ast.expr | None, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def test_the_package_reads_nothing_that_runs():
    assert len(SOURCES) > 200
    assert {str(path): lines for path in SOURCES if (lines := unsafe(path.read_text()))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from pickle import UnpicklingError",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text, Loader=yaml.Loader)",
        "yaml.unsafe_load(text)",
        "pd.read_pickle(path)",
        "eval(text)",
        "torch.save(state, path)",
    ],
)
def test_each_of_them_would_be_found(line):
    assert unsafe(line) != []


@pytest.mark.parametrize(
    "line", ["torch.load(path, weights_only=True)", "np.load(path)", "yaml.safe_load(text)", "model.eval()", "json.load(file)"]
)
def test_what_is_safe_is_not(line):
    assert unsafe(line) == []

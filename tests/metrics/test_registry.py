"""Every metric has one name in the registry, and every name there is a metric that the code makes."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ib_lpo.alarms import ALARMS
from ib_lpo.diversity.measures import MEASURES
from ib_lpo.learner.losses import LOSSES
from ib_lpo.metrics.metric import PLACEHOLDERS, Metric
from ib_lpo.metrics.registry import METRICS, describe
from ib_lpo.scoring.grades import Cause
from ib_lpo.tree import FailureMode, Label, Verdict

PACKAGE = Path(__file__).resolve().parents[2] / "ib_lpo"
PREFIXES = sorted({metric.name.split("/")[0] for metric in METRICS if "/" in metric.name})
NAME = re.compile(rf"(?:{'|'.join(PREFIXES)})/[a-z0-9_@]+")
EXAMPLES = {
    "age": ["0", "12"],
    "alarm": list(ALARMS),
    "benchmark": ["aime24", "MATH-500", "gsm8k_test.v2"],
    "cause": list(Cause),
    "group": ["policy", "psa"],
    "k": ["1", "256"],
    "label": list(Label),
    "measure": list(MEASURES),
    "mode": list(FailureMode),
    "phase": ["grow", "held_out"],
    "quarter": ["1", "4"],
    "verdict": list(Verdict),
}


def names(metric: Metric) -> list[str]:
    """Names that a metric has, by all examples of its placeholders."""
    found = [metric.name]
    for placeholder in re.findall(r"<([a-z_]+)>", metric.name):
        found = [name.replace(f"<{placeholder}>", str(value)) for name in found for value in EXAMPLES[placeholder]]
    return found


def literals() -> list[tuple[Path, str]]:
    """All strings in the package that are whole, not parts of f-strings, each with its file."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.parent.name != "metrics":
            nodes = list(ast.walk(ast.parse(path.read_text())))
            parts = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
            constants = [node.value for node in nodes if isinstance(node, ast.Constant) and id(node) not in parts]
            found += [(path, value) for value in constants if isinstance(value, str)]
    return found


def test_every_name_in_the_code_is_in_the_registry():
    spelled = [(path, text) for path, text in literals() if NAME.fullmatch(text)]
    assert len(spelled) > 80
    assert [(str(path), text) for path, text in spelled if describe(text) is None] == []


def test_every_part_of_a_name_is_computed_in_the_file_that_the_registry_gives():
    """`grade/<verdict>` and the like are held by the next test; of all others the last part stands in their file, spelled out."""
    for metric in METRICS:
        path = PACKAGE / metric.source
        assert path.is_file(), metric
        last = metric.name.split("/")[-1]
        if "<" not in last and metric.source != "evaluation/during_training.py":
            assert re.search(rf"\b{last}\b", path.read_text()), metric


def test_every_kind_that_code_makes_names_of_is_named():
    losses = {name for loss in LOSSES.values() for name in loss.metrics}
    made = [f"loss/{name}" for name in losses] + [f"alarms/{name}" for name in ALARMS]
    made += [f"filter/{label}" for label in Label] + [f"failure/{mode}" for mode in FailureMode]
    made += [f"{prefix}/{verdict}" for prefix in ("grade", "verifier") for verdict in Verdict] + [f"verifier/{cause}" for cause in Cause]
    assert [name for name in made if describe(name) is None] == []


def test_every_phase_that_is_timed_has_a_name():
    phases = [
        node.args[0].value
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "phase" and node.args and isinstance(node.args[0], ast.Constant)
    ]
    assert {"grow", "publish", "checkpoint"} <= set(phases)
    assert all(describe(f"seconds/{phase}").unit == "seconds" for phase in phases)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_no_name_belongs_to_two_metrics(metric):
    for name in names(metric):
        assert [other.name for other in METRICS if other.pattern.fullmatch(name)] == [metric.name]
        assert describe(name) is metric


@pytest.mark.parametrize(
    "name", ["", "grow", "grow/", "grow/forks2", "grow/forks/x", "grade/maybe", "eval/aime24/pass@", "eval/aime24/pass@x"]
)
def test_other_names_have_no_description(name):
    assert describe(name) is None


def test_placeholders_are_those_in_use():
    assert {part for metric in METRICS for part in re.findall(r"<([a-z_]+)>", metric.name)} == PLACEHOLDERS.keys() == EXAMPLES.keys()


def test_meanings_are_one_line():
    for metric in METRICS:
        assert metric.meaning and "\n" not in metric.meaning and not metric.meaning.endswith("."), metric
    assert len({metric.name for metric in METRICS}) == len(METRICS)


def test_it_imports_nothing_heavy():
    code = "import sys, ib_lpo.metrics.registry; print([n for n in ('torch', 'vllm', 'ray', 'transformers', 'wandb') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True, cwd=PACKAGE.parent)
    assert done.stdout.strip() == "[]"


def test_the_page_is_what_the_registry_says():
    tool = PACKAGE.parent / "tools" / "write_metrics.py"
    done = subprocess.run([sys.executable, str(tool), "--check"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def test_a_page_that_is_out_of_date_is_refused(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(PACKAGE.parent / "tools"))
    import write_metrics
    from typer.testing import CliRunner

    monkeypatch.setattr(write_metrics, "PAGE", tmp_path / "metrics.md")

    def check():
        return CliRunner().invoke(write_metrics.app, ["--check"])

    assert check().exit_code == 1
    assert CliRunner().invoke(write_metrics.app, []).exit_code == 0 and check().exit_code == 0
    text = (tmp_path / "metrics.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(METRICS) + len(MEASURES) + len(PLACEHOLDERS)
    assert all(len(re.split(r"(?<!\\)\|", row)) in (4, 6, 8) for row in rows)  # a bar in a meaning would be a column
    (tmp_path / "metrics.md").write_text(text.replace("nats", "bits"))
    assert check().exit_code == 1

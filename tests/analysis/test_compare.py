"""`ib-lpo analyze compare`: what manifests differ in, cells, and differences of paired questions only."""

import csv
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from ib_lpo.analysis.compare.manifests import ABSENT, differing, flattened
from ib_lpo.analysis.compare.measures import (
    Cell,
    cells_of,
    differences,
    evaluated_cells,
    failure_units,
    held_out_cells,
    logged_cells,
    trained_units,
)
from ib_lpo.analysis.compare.tables import csv_rows, markdown
from ib_lpo.analysis.failures.rows import COLUMNS, compared, scored
from ib_lpo.analysis.failures.summary import summarised
from ib_lpo.analysis.runs.questions import question_means
from ib_lpo.cli import app
from ib_lpo.run_directory import RunDirectory
from tests.analysis.handmade import random_trees, write_run


def test_manifests_differ_by_dotted_key():
    a = {"name": "a", "runs_dir": "x", "data": {"size": 3, "options": {}}, "betas": [0.9, 0.95], "loss": {"kind": "grpo", "clip": 0.2}}
    b = {"name": "b", "runs_dir": "y", "data": {"size": 4, "options": {}}, "betas": [0.9, 0.95], "loss": {"kind": "cispo"}}
    assert differing({"a": a, "b": b}) == {"data.size": ["3", "4"], "loss.kind": ["'grpo'", "'cispo'"], "loss.clip": ["0.2", ABSENT]}
    assert differing({"a": a, "again": a | {"name": "c"}}) == {}
    assert differing({"a": {"x": "(absent)"}, "b": {"x": "y" * 200}})["x"][1].count("y") < 60
    assert flattened({"a": {"b": {"c": 1}, "d": {}}}) == {"a.b.c": 1, "a.d": {}}


def test_a_key_that_one_manifest_lacks_differs_from_every_value():
    assert list(differing({"a": {"x": None}, "b": {}})) == ["x"]


def test_differences_are_of_paired_questions():
    base = {(1, "a"): 0.0, (1, "b"): 1.0, (2, "a"): 0.5}
    better = {unit: value + 0.25 * unit[0] for unit, value in reversed(base.items())}
    assert sorted(differences(better, base)) == [0.25, 0.375]  # a question that came twice counts once
    assert differences({(1, "a"): 1.0}, base) == []
    assert differences({(1, "a"): 0.0, (1, "c"): 1.0, (2, "a"): 0.5}, base) == []


def test_a_question_without_a_value_in_one_run_is_in_no_difference():
    values = {"m": {(1, "a"): 1.0, (1, "b"): np.nan, (1, "c"): 2.0}}
    cell = cells_of(values, {"m": {(1, "a"): 0.5, (1, "b"): 0.0, (1, "c"): np.nan}})["m"]
    assert (cell.questions, cell.difference.mean, cell.pairs) == (2, 0.5, 1)


def test_units_of_a_run(tmp_path):
    trees = {1: random_trees(np.random.default_rng(1), 1, questions=6)}
    path = write_run(tmp_path, "a", trees)
    units = trained_units(question_means("a", RunDirectory(path), [1]))
    tokens = [np.mean([len(t.response_ids) for t in tree.roots]) for tree in trees[1]]
    assert sorted(units["response tokens: roots"].values()) == sorted(tokens)
    cell = cells_of(units, None)["response tokens: roots"]
    assert cell.value == pytest.approx(np.mean(tokens)) and cell.low <= cell.value <= cell.high
    assert (cell.questions, cell.difference) == (6, None)
    own = cells_of(units, units)["response tokens: roots"].difference
    assert (own.mean, own.low, own.high) == (0.0, None, None)
    assert cells_of(units, {})["response tokens: roots"].difference is None
    rows = [row for _, rows in [(1, RunDirectory(path).rows(1, COLUMNS))] for row in rows]
    scores = compared(list(scored(1, rows, 0.0)))
    found = failure_units(scores)
    low = [np.mean([t.ib.score < 0 for t in tree.trajectories if t.parent]) for tree in trees[1]]
    assert sorted(found["low S_IB, share of scored: branches"].values()) == pytest.approx(sorted(low))
    cell = cells_of(found, None)["logical drift, share of scored: branches"]
    summary = next(kind for kind in summarised(scores) if kind.name == "logical_drift")
    assert (summary.share.mean, summary.share.low) == (cell.value, cell.low)


def test_a_question_that_came_twice_counts_once(tmp_path):
    (one,) = random_trees(np.random.default_rng(1), 1, questions=1)
    path = write_run(tmp_path, "a", {1: [one, one]})
    units = trained_units(question_means("a", RunDirectory(path), [1]))
    assert list(units["response tokens: roots"].values()) == [np.mean([len(t.response_ids) for t in one.roots])]


def test_held_out_checks_in_order():
    lines = [{"step": s, "held_out/accuracy": a, "held_out/samples": 40} for s, a in ((0, 0.25), (4, 0.75), (8, 0.5))] + [{"step": 9}]
    found = held_out_cells(lines, samples=2)
    assert {name: cell.value for name, cell in found.items()} == {
        "held-out accuracy: first": 0.25,
        "held-out accuracy: last": 0.5,
        "held-out accuracy: best": 0.75,
    }
    assert all(cell.questions == 20 and cell.low < cell.value < cell.high for cell in found.values())
    assert held_out_cells([{"step": 1}], samples=2) == {}


def test_totals_and_seconds_by_hand():
    lines = [
        {"step": 0, "seconds/publish": 100.0},
        {"step": 1, "grow/forks": 3, "grow/roots": 4, "grow/tokens": 10, "seconds/grow": 1.0, "seconds/update": 2.0, "eval/m/avg": 0.1},
        {"step": 2, "grow/forks": 1, "grow/roots": 4, "grow/tokens": 20, "seconds/grow": 5.0, "seconds/held_out": 50.0, "eval/m/avg": 0.2},
    ]
    found = {name: cell.value for name, cell in logged_cells(lines).items()}
    expected = {"forks": 4, "sampled tokens": 30, "forks per root": 0.5, "seconds per step, median": 4.0, "in training, m/avg": 0.2}
    assert found == expected


def test_results_of_an_evaluation_are_read_tolerantly():
    estimates = {"avg": {"mean": 0.5, "low": 0.4, "high": 0.6}, "odd": 3, "none": {"mean": None, "low": 0, "high": 1}}
    found = evaluated_cells({"benchmarks": {"math": {"questions": 9, "estimates": estimates}, "half": {"complete": False}, "x": 1}})
    assert found == {"eval, math/avg": Cell(value=0.5, low=0.4, high=0.6, questions=9)}
    assert [evaluated_cells(odd) for odd in (None, [], {"benchmarks": 3}, {"benchmarks": {"a": {"estimates": []}}})] == [{}] * 4


@pytest.fixture
def runs(tmp_path):
    def held_out(step):
        return {"held_out/accuracy": step / 30, "held_out/samples": 8} if step % 10 == 0 else {}

    paths = []
    for seed, (name, steps) in enumerate({"a": 20, "b": 22}.items()):
        rng = np.random.default_rng(seed)
        trees = {step: random_trees(rng, step) for step in range(1, steps + 1)}
        lines = [{"step": step, "grow/tokens": 5, "seconds/grow": 1.0, **held_out(step)} for step in range(steps + 1)]
        paths.append(write_run(tmp_path, name, trees, lines, seed=seed, held_out={"every": 10, "samples": 1}))
    return paths


def test_the_command_compares_paired_steps(runs, tmp_path):
    (tmp_path / "b-eval").mkdir()
    estimate = {"mean": 0.5, "low": 0.4, "high": 0.6}
    (tmp_path / "b-eval" / "results.json").write_text(json.dumps({"benchmarks": {"math": {"estimates": {"avg": estimate}}}}))
    (tmp_path / "a-eval").mkdir()
    (tmp_path / "a-eval" / "results.json").write_text("{half")
    done = CliRunner().invoke(app, ["analyze", "compare", *map(str, runs), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    said = " ".join(done.output.split())
    assert "results.json: cannot be read" in said and "left out" in said
    assert "compared up to step 20" in said
    assert (tmp_path / "out" / "compare.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "out" / "compare.md").read_text()
    assert "| `seed` | `0` | `1` |" in page and "eval, math/avg" in page
    with (tmp_path / "out" / "compare.csv").open(newline="") as file:
        rows = {(row["run"], row["measure"]): row for row in csv.DictReader(file)}
    assert rows["b", "sampled tokens"]["value"] == "105"  # steps 0 to 20 of 22
    assert rows["b", "held-out accuracy: last"]["value"] == f"{20 / 30:.6g}"
    units = [trained_units(question_means("x", RunDirectory(path), [19, 20])) for path in runs]
    for measure, of in units[1].items():
        expected = np.nanmean([value - units[0][measure][unit] for unit, value in of.items()])
        assert float(rows["b", measure]["difference"]) == pytest.approx(expected, abs=1e-5)
        assert float(rows["b", measure]["questions"]) == np.sum(~np.isnan(list(of.values())))
        assert rows["a", measure]["difference"] == ""


def test_other_questions_have_no_differences(tmp_path):
    rng = np.random.default_rng(0)
    a, b = (write_run(tmp_path, name, {1: random_trees(rng, step)}) for name, step in (("a", 1), ("b", 2)))
    done = CliRunner().invoke(app, ["analyze", "compare", str(a), str(b)])
    assert done.exit_code == 0, done.output
    assert "No paired differences" in " ".join(done.output.split())
    assert "## Difference from" not in (a / "analysis" / "compare.md").read_text()


def test_runs_without_a_common_step_are_one_line(tmp_path):
    rng = np.random.default_rng(0)
    a, b = (write_run(tmp_path, name, {step: random_trees(rng, step)}) for name, step in (("a", 1), ("b", 2)))
    done = CliRunner().invoke(app, ["analyze", "compare", str(a), str(b)])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "no step with trees in common: a has 1 to 1, b has 2 to 2" in done.stderr


def test_one_run_is_a_table_of_its_own(runs):
    done = CliRunner().invoke(app, ["analyze", "compare", str(runs[0])])
    assert done.exit_code == 0, done.output
    assert (runs[0] / "analysis" / "compare.png").exists()


def test_a_page_escapes_bars_and_marks_what_excludes_zero():
    units = {"m": {(1, str(n)): float(n) for n in range(30)}}
    more = {"m": {unit: value + 1 + value % 2 for unit, value in units["m"].items()}}
    found = {"a": cells_of(units, None), "b": cells_of(more, units)}
    page = markdown(found, {"k": ["'x|y'", "z"]}, [])
    assert "`'x\\|y'`" in page and "**+1.5 [+1.3" in page
    header, rows = csv_rows(found)
    assert dict(zip(header, rows[1], strict=True))["pairs"] == 30


def test_few_questions_seldom_differ_by_chance():
    rng = np.random.default_rng(0)
    null = [{"m": {(1, str(n)): v for n, v in enumerate(of)}} for of in rng.normal(size=(1000, 4))]
    zero = {"m": dict.fromkeys(null[0]["m"], 0.0)}
    assert 0.02 < np.mean([cells_of(of, zero)["m"].difference.excludes_zero for of in null]) < 0.08


def test_names_that_look_like_markup_are_shown_as_they_are(tmp_path):
    rng = np.random.default_rng(0)
    trees = {1: random_trees(rng, 1)}
    sections = {"model": {"path": "[/INST]"}}
    paths = [str(write_run(tmp_path / f, "x", trees, **s)) for f, s in (("[red]", {}), ("[/red]", sections))]
    for command in ("compare", "dynamics", "entropy"):
        done = CliRunner().invoke(app, ["analyze", command, *paths, "--out", str(tmp_path / "out")])
        assert done.exit_code == 0, done.output
        assert command != "compare" or "[/INST]" in done.output

"""`ib-lpo analyze dynamics`: points equal straight-line sums, and reach the CSV and the figure."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from ib_lpo.analysis.dynamics.points import MEASURES, as_rows, in_steps, logged_points, trained_points
from ib_lpo.analysis.runs.questions import question_means
from ib_lpo.cli import app
from ib_lpo.run_directory import RunDirectory
from ib_lpo.tree import Verdict
from tests.analysis.handmade import manifest, random_trees, write_run


@pytest.fixture
def trees():
    rng = np.random.default_rng(1)
    return {step: random_trees(rng, step, questions=4) for step in range(1, 13)}


@pytest.fixture
def run(tmp_path, trees):
    held_out = {"held_out/accuracy": 0.25, "held_out/samples": 16}
    lines = [{"step": 0, **held_out}, *({"step": s, "eval/math/avg": s / 20, "eval/math/pass@4": None} for s in trees)]
    return write_run(tmp_path, "a", trees, lines, held_out={"every": 1, "samples": 2})


def test_points_are_means_over_questions(run, trees):
    points = trained_points("a", question_means("a", RunDirectory(run), list(trees)), window=3)
    assert {(p.measure, p.group) for p in points} == {(m, g) for m in MEASURES for g in ("roots", "branches")}
    for p in (p for p in points if p.measure == "accuracy" and p.group == "branches"):
        of_questions = []
        for tree in trees[p.step]:
            judged = [t.verdict for t in tree.trajectories if t.parent is not None and t.verdict is not Verdict.UNVERIFIABLE]
            of_questions += [sum(v is Verdict.CORRECT for v in judged) / len(judged)] if judged else []
        assert p.value == pytest.approx(np.mean(of_questions))
        assert p.low is None if len(set(of_questions)) < 2 else p.low <= p.value <= p.high
        assert p.questions == len(of_questions)
    lengths = {p.step: p for p in points if p.measure == "tokens" and p.group == "roots"}
    assert lengths[5].smooth == pytest.approx(np.mean([lengths[step].value for step in (4, 5, 6)]))
    assert lengths[1].smooth == pytest.approx(np.mean([lengths[step].value for step in (1, 2)]))


def test_the_ends_pool_questions_over_steps(run, trees):
    means = question_means("a", RunDirectory(run), list(trees))
    expected = [np.mean([len(t.response_ids) for t in tree.roots]) for step in (1, 2) for tree in trees[step]]
    assert in_steps(means, [1, 2], "roots", "tokens").mean == pytest.approx(np.mean(expected))
    assert in_steps(means, [99], "roots", "tokens") is None


def test_what_is_logged_is_taken_as_it_is(tmp_path):
    lines = [{"step": 0, "held_out/accuracy": 0.5, "held_out/samples": 64, "eval/a/b/pass@4": 0.75}, {"step": 1, "eval/a/b/avg": None}]
    held_out, benchmark = logged_points("x", lines, manifest("x", tmp_path, held_out={"samples": 2}))
    assert (held_out.measure, held_out.group, held_out.value, held_out.questions) == ("accuracy", "held_out", 0.5, 32)
    assert held_out.low == pytest.approx(0.3364, abs=1e-3) and held_out.high == pytest.approx(1 - 0.3364, abs=1e-3)
    assert (benchmark.measure, benchmark.group, benchmark.value, benchmark.low) == ("pass@4", "a/b", 0.75, None)


def test_the_command_writes_its_points_and_a_figure(run, trees, tmp_path):
    other = write_run(tmp_path, "b", {1: random_trees(np.random.default_rng(2), 1, branches=0)})
    done = CliRunner().invoke(app, ["analyze", "dynamics", str(run), str(other)])
    assert done.exit_code == 0, done.output
    assert "the runs differ in length: a has 12 steps, b has 1 steps" in " ".join(done.output.split())
    folder = run / "analysis"
    assert (folder / "dynamics.png").read_bytes().startswith(b"\x89PNG")
    with (folder / "dynamics.csv").open(newline="") as file:
        header, *rows = csv.reader(file)
    points = trained_points("a", question_means("a", RunDirectory(run), list(trees)), window=3)
    expected_header, expected = as_rows(points)
    assert header == expected_header
    assert rows[: len(expected)] == [[str(value) for value in row] for row in expected]
    assert {tuple(row[2:4]) for row in rows if row[0] == "a"} >= {("accuracy", "held_out"), ("avg", "math")}
    assert {row[3] for row in rows if row[0] == "b"} == {"roots"}

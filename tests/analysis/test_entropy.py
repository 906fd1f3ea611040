"""`ib-lpo analyze entropy`: bins hold every token once, shares and means are exact, forks count once."""

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from typer.testing import CliRunner

from ib_lpo.analysis.entropy.counts import COLUMNS, EDGES, RunEntropies, count, histogram_rows, of_step, pooled, step_rows
from ib_lpo.cli import app
from tests.analysis.handmade import random_trees, trajectory, tree, write_run


def rows(trees):
    return [
        {"question_id": one.question.id, "tree": n} | {c: getattr(t, c) for c in COLUMNS[2:]}
        for n, one in enumerate(trees)
        for t in one.trajectories
    ]


@given(arrays.arrays(np.float32, st.integers(0, 50), elements=st.floats(-(2.0**-20), 11.5, width=32)))
def test_every_token_is_in_the_bin_it_lies_in(values):
    found = count(values)
    assert found.sum() == len(values)
    for b in range(1, len(found)):
        assert found[b] == sum(EDGES[b] <= float(value) < EDGES[b + 1] for value in values)
    assert found[0] == sum(float(value) < EDGES[1] for value in values)


def test_the_bins_reach_above_any_vocabulary():
    assert np.all(np.diff(EDGES) > 0)
    assert EDGES[0] == 0 and EDGES[1] == pytest.approx(1e-4) and EDGES[-1] > np.log(1e6)


def test_a_step_by_hand():
    roots = [trajectory("q/r0", [1, 2], entropies=[0.0, 1.0]), trajectory("q/r1", [1], entropies=[2.0])]
    branches = [trajectory(f"q/r0/b{b}", [1], prefix=[1], entropies=[9.0]) for b in range(3)]
    other = [trajectory("p/r0", [1], entropies=[0.5]), trajectory("p/r0/b0", [1], prefix=[1])]
    found = of_step(4, rows([tree("q", *roots, *branches), tree("p", *other)]), floor=0.5)
    assert (found.tokens, found.total, found.above) == (4, 3.5, 3)
    assert found.question_means == {"q": 1.0, "p": 0.5}
    assert found.forks == [1.5, 1.5]  # one of q with three branches, one of p


def test_pools_are_sums_and_the_tail_is_what_lies_above():
    rng = np.random.default_rng(3)
    trees = {step: random_trees(rng, step) for step in range(1, 21)}
    steps = [of_step(step, rows(of), 0.3) for step, of in trees.items()]
    run = RunEntropies(floor=0.3, steps=steps)
    everything = np.concatenate([t.entropies for of in trees.values() for one in of for t in one.roots])
    pool = run.parts["all"]
    assert pool.tokens == everything.size
    assert pool.mean == pytest.approx(everything.mean(), rel=1e-5)
    assert pool.above_share == np.mean(everything.astype(np.float64) >= 0.3)
    for b in range(1, len(EDGES)):
        assert pool.exceeding[b] == pytest.approx(np.mean(everything.astype(np.float64) >= EDGES[b]))
    assert (run.parts["early"].steps, run.parts["late"].steps) == ((1, 2), (19, 20))
    assert run.parts["late"].tokens == pooled(steps[-2:]).tokens == sum(one.tokens for one in steps[-2:])


def test_the_command_writes_its_counts_and_a_figure(tmp_path):
    rng = np.random.default_rng(4)
    trees = {step: random_trees(rng, step) for step in (1, 2, 3)}
    plain = {step: random_trees(rng, step, branches=0) for step in (1, 2, 3)}
    a, b = write_run(tmp_path, "a", trees), write_run(tmp_path, "b", plain)
    done = CliRunner().invoke(app, ["analyze", "entropy", str(a), str(b), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "entropy.png").read_bytes().startswith(b"\x89PNG")
    found = {
        name: RunEntropies(floor=0.5, steps=[of_step(step, rows(t), 0.5) for step, t in of.items()])
        for name, of in (("a", trees), ("b", plain))
    }
    for name, table in (("entropy.csv", histogram_rows(found)), ("entropy_steps.csv", step_rows(found))):
        with (tmp_path / "out" / name).open(newline="") as file:
            written = list(csv.reader(file))
        assert written == [table[0], *([str(value) for value in row] for row in table[1])]


def test_trees_without_roots_are_one_line(tmp_path):
    path = write_run(tmp_path, "a", {1: [tree("q")]})
    done = CliRunner().invoke(app, ["analyze", "entropy", str(path)])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "no token of any root" in done.stderr

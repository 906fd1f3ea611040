"""`ib-lpo analyze failures`: counts, the rule that chooses examples, and marks that enclose the evidence."""

import csv

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ib_lpo.analysis.failures.examples import CLOSE, FORK, OPEN, choose, entry, marked
from ib_lpo.analysis.failures.rows import COLUMNS, by_question, compared, csv_rows, evidence_cover, over_steps, scored, shares
from ib_lpo.analysis.failures.summary import summarised, summary_rows
from ib_lpo.cli import app
from ib_lpo.tree import FailureMode, Verdict
from tests.analysis.handmade import failure, random_trees, trajectory, tree, write_run
from tests.system.tiny_policy import save_tokenizer

LOOP, DRIFT, FLUFF = FailureMode.REPETITIVE_LOOP, FailureMode.LOGICAL_DRIFT, FailureMode.EMPTY_FLUFF


def everyone(trees, step=1, below=0.0):
    rows = [
        {"tree": n, "question_id": one.question.id} | {c: getattr(t, c) for c in COLUMNS if c not in ("tree", "question_id")}
        for n, one in enumerate(trees)
        for t in one.trajectories
    ]
    return list(scored(step, rows, below))


@pytest.fixture
def trees():
    a = trajectory("a/r0", [1] * 10, Verdict.WRONG, score=-1.0, failures=(failure(LOOP, 2, 10, 0.3), failure(DRIFT, 0, 5, 0.9)))
    b = trajectory("a/r1", [1] * 10, Verdict.CORRECT, score=-0.5)
    c = trajectory("b/r0", [1] * 10, Verdict.UNVERIFIABLE, score=-2.0, failures=(failure(DRIFT, 5, 10, 0.7),))
    d = trajectory("b/r1", [1] * 10, Verdict.CORRECT, score=1.0)
    unscored = trajectory("b/r2", [1] * 10)
    return [tree("a", a, b), tree("b", c, d, unscored)]


def test_kinds_and_shares_by_hand(trees):
    found = everyone(trees)
    assert [one.kinds for one in found] == [("repetitive_loop", "logical_drift"), ("unexplained",), ("logical_drift",), ("not low",)]
    assert shares(found, "logical_drift") == {(1, "a"): 0.5, (1, "b"): 0.5}
    assert over_steps(shares(found, "empty_fluff"))[1].mean == 0.0
    assert by_question(found, "logical_drift", "reward") == [0.0]  # of one question: the other's has no reward
    assert by_question(found, "not low", "reward") == [1.0]
    assert by_question(found, "empty_fluff", "reward") == []
    places = np.array([0.0, 0.3, 0.5, 0.9])
    assert evidence_cover(found, "logical_drift", places).tolist() == [0.5, 0.5, 0.5, 0.5]
    assert evidence_cover(found, "repetitive_loop", places).tolist() == [0, 1, 1, 1]
    assert [one.low for one in everyone(trees, below=-0.7)] == [True, False, True, False]


def test_branches_are_not_mixed_with_roots():
    root = trajectory("a/r0", [1] * 5, score=-1.0)
    branches = [trajectory(f"a/r0/b{n}", [1] * 5, prefix=[1], score=score) for n, score in enumerate((1.0, -2.0, float("nan")))]
    scores = compared(everyone([tree("a", root, *branches)]))
    assert ([one.id for one in scores.members], scores.group) == (["a/r0/b0", "a/r0/b1"], "branches")
    assert (scores.roots, scores.unusable) == (1, 1)
    plain = compared(everyone([tree("a", root)]))
    assert ([one.id for one in plain.members], plain.group, plain.roots) == (["a/r0"], "roots", 0)


def test_a_question_weighs_the_same_however_many_branches_it_has(trees):
    many = tree("c", *(trajectory(f"c/r{n}", [1] * 4, score=-1.0, failures=(failure(DRIFT, 0, 4, 0.9),)) for n in range(6)))
    kinds = {kind.name: kind for kind in summarised(compared(everyone([*trees, many])))}
    drift = kinds["logical_drift"]
    assert (drift.trajectories, drift.questions) == (8, 3)
    assert drift.share.mean == pytest.approx((0.5 + 0.5 + 1) / 3) == drift.steps[1].mean
    assert drift.means["score"].mean == pytest.approx((-1 - 2 - 1) / 3)
    assert drift.cover[0] == pytest.approx(2 / 3)  # of a and c
    header, rows = summary_rows(list(kinds.values()), "roots")
    of = [dict(zip(header, row, strict=True)) for row in rows if row[1] == "logical_drift"]
    assert [row["value"] for row in of if row["measure"] == "evidence"] == [f"{value:.6g}" for value in drift.cover]
    assert [row["value"] for row in of if (row["measure"], row["at"]) == ("share", 1)] == [f"{drift.steps[1].mean:.6g}"]


def test_csv_holds_the_low_ones_with_their_evidence(trees):
    header, rows = csv_rows(everyone(trees))
    first, second, third = (dict(zip(header, row, strict=True)) for row in rows)
    assert (first["id"], first["kinds"], first["reward"], first["score"]) == ("a/r0", "repetitive_loop;logical_drift", "0", "-1")
    assert (first["repetitive_loop_start"], first["repetitive_loop_end"], first["repetitive_loop_measure"]) == (2, 10, "0.3")
    assert (first["empty_fluff_start"], second["logical_drift_end"]) == ("", "")
    assert (second["kinds"], third["reward"], third["verdict"]) == ("unexplained", "", "unverifiable")


def test_the_clearest_come_first_one_of_a_question():
    def of(question, name, mode, start, end, measure, score=-1.0):
        return tree(question, trajectory(f"{question}/{name}", [1] * 20, score=score, failures=(failure(mode, start, end, measure),)))

    drifts = everyone([of("a", "r0", DRIFT, 0, 5, 0.6), of("a", "r1", DRIFT, 0, 5, 0.9), of("b", "r0", DRIFT, 0, 5, 0.7)])
    assert [one.id for one in choose(drifts, "logical_drift", 5)] == ["a/r1", "b/r0"]
    assert [one.id for one in choose(drifts, "logical_drift", 1)] == ["a/r1"]
    loops = everyone([of("a", "r0", LOOP, 0, 5, 0.4), of("b", "r0", LOOP, 0, 5, 0.2)])
    assert [one.id for one in choose(loops, "repetitive_loop", 5)] == ["b/r0", "a/r0"]
    fluff = everyone([of("a", "r0", FLUFF, 0, 5, 0.0), of("b", "r0", FLUFF, 0, 15, 0.04), of("c", "r0", FLUFF, 0, 15, 0.0, score=-2.0)])
    assert [one.id for one in choose(fluff, "empty_fluff", 5)] == ["c/r0", "b/r0", "a/r0"]
    assert choose(fluff, "logical_drift", 5) == []


def test_examples_do_not_depend_on_the_order_of_reading():
    found = [one for step in (1, 2) for one in everyone(random_trees(np.random.default_rng(step), 0, questions=6), step)]
    for kind in ("empty_fluff", "repetitive_loop", "logical_drift", "unexplained"):
        assert choose(found, kind, 3) == choose(found[::-1], kind, 3)


@given(st.text("abcé💡 ", min_size=1, max_size=30), st.data())
def test_marks_enclose_the_evidence_of_byte_tokens(text, data):
    """Tokens are bytes, so that cuts fall inside of characters."""
    ids = np.frombuffer(text.encode(), np.uint8).astype(np.int32)
    start = data.draw(st.integers(0, len(ids) - 1))
    end = data.draw(st.integers(start + 1, len(ids)))
    prefix = data.draw(st.integers(0, start))

    def decode(tokens):
        return bytes(tokens).decode(errors="replace")

    found = marked(ids, prefix, failure(LOOP, start, end, 0.1), decode)
    assert found.replace(OPEN, "").replace(CLOSE, "").replace(FORK, "") == text
    assert found.index(OPEN) < found.index(CLOSE)
    assert (FORK in found) == (prefix > 0) and found.find(FORK) <= found.index(OPEN)
    if text.isascii():
        assert found.partition(OPEN)[2].partition(CLOSE)[0] == text[start:end]


def test_a_text_with_backticks_stays_inside_its_block(trees):
    shown = entry(everyone(trees)[0], "logical_drift", "q", "7", "before ```` after")
    assert "`````text\nbefore ```` after\n`````" in shown
    assert "tokens 0 to 5, drop of I(r;a) 0.900" in shown


@pytest.fixture
def tokenizer(tmp_path):
    save_tokenizer(tmp_path / "model")
    return {"model": {"path": str(tmp_path / "model")}}


def test_the_command_writes_rows_figure_and_examples(tmp_path, tokenizer):
    rng = np.random.default_rng(0)
    trees = {step: random_trees(rng, step, questions=5) for step in range(1, 6)}
    path = write_run(tmp_path, "a", trees, **tokenizer)
    done = CliRunner().invoke(app, ["analyze", "failures", str(path)])
    assert done.exit_code == 0, done.output
    folder = path / "analysis"
    assert (folder / "failures.png").read_bytes().startswith(b"\x89PNG")
    found = compared([one for step, of in trees.items() for one in everyone(of, step)]).members
    with (folder / "failures.csv").open(newline="") as file:
        written = list(csv.reader(file))
    header, rows = csv_rows(found)
    assert written == [header, *([str(value) for value in row] for row in rows)]
    page = (folder / "failures.md").read_text()
    for kind in ("empty_fluff", "repetitive_loop", "logical_drift", "unexplained"):
        for one in choose(found, kind, 5):
            assert f"### step {one.step}, `{one.id}`" in page
    assert page.count(OPEN) == page.count(CLOSE) > 3
    again = CliRunner().invoke(app, ["analyze", "failures", str(path), "--out", str(tmp_path / "again")])
    assert again.exit_code == 0
    assert (tmp_path / "again" / "failures.md").read_text() == page


@pytest.mark.parametrize("kind", ["no estimator", "no scores", "no model", "damaged", "old"])
def test_what_cannot_be_analysed_is_one_line(tmp_path, tokenizer, kind):
    trees = [tree("q", trajectory("q/r0", [1]))] if kind == "no scores" else random_trees(np.random.default_rng(0), 1)
    sections = {"ib": {"estimator": "none", "self_reward": "none"}} if kind == "no estimator" else {}
    path = write_run(tmp_path, "a", {1: trees}, **({} if kind == "no model" else tokenizer), **sections)
    step = path / "trees" / "step-000001.parquet"
    if kind == "damaged":
        step.write_bytes(step.read_bytes()[:-40])
    if kind == "old":
        pq.write_table(pq.read_table(step).drop_columns(["failures"]), step)
    expected = {
        "no estimator": "ib.estimator=none",
        "no scores": "no trajectory of its trees has an S_IB",
        "no model": "needs the tokenizer of the run's model; model.path=",
        "damaged": "cannot be read as parquet",
        "old": "missing or different: failures",
    }
    done = CliRunner().invoke(app, ["analyze", "failures", str(path)])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert expected[kind] in done.stderr
    assert not (path / "analysis").exists()

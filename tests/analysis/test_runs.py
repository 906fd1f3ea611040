"""What the analyses of runs share: which runs and steps, how trees are read, intervals, smoothing."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from ib_lpo.analysis.runs.directories import open_runs, recorded_steps, rows_of, smoothed, tenth, unequal, window_of
from ib_lpo.analysis.runs.intervals import FEW, MOST, SHARE, numbers, over_questions, per_question, shown, wilson
from ib_lpo.analysis.runs.questions import COLUMNS, means_of, question_means
from ib_lpo.cli import app
from ib_lpo.errors import UserError
from ib_lpo.run_directory import RunDirectory
from ib_lpo.tree import Status, Verdict
from ib_lpo.tree_store import read_rows, read_trees
from tests.analysis.handmade import random_trees, trajectory, tree, write_run

C, W, U = Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def test_rows_hold_what_the_trees_hold(tmp_path, rng):
    path = write_run(tmp_path, "a", {1: [*random_trees(rng, 1), tree("empty")]}) / "trees" / "step-000001.parquet"
    columns = ["tree", "question_text", *(name for name in trajectory("x", [1]).__slots__ if name not in ("kept", "advantage"))]
    rows = read_rows(path, columns)
    expected = [(n, t.question.text, one) for n, t in enumerate(read_trees(path)) for one in t.trajectories]
    assert len(rows) == len(expected) > 0
    for row, (number, text, one) in zip(rows, expected, strict=True):
        assert (row["tree"], row["question_text"]) == (number, text)
        for name in columns[2:]:
            np.testing.assert_equal(row[name], getattr(one, name))
    assert rows[0]["token_ids"].dtype == np.int32 and rows[0]["entropies"].dtype == np.float32


def test_rows_of_an_older_file_need_only_their_own_columns(tmp_path, rng):
    path = write_run(tmp_path, "a", {1: random_trees(rng, 1)}) / "trees" / "step-000001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["missing_forks", "ib"]), path)
    assert len(read_rows(path, ["verdict", "token_ids"])) == table.num_rows
    with pytest.raises(UserError, match=r"step-000001.parquet: not trees .*missing or different: ib"):
        read_rows(path, ["verdict", "ib"])
    assert list(read_rows(path, ["verdict"])[0]) == ["verdict"]


def test_means_of_a_question_by_hand():
    ids = [1, 2, 3, 4, 1, 2, 3, 4]  # its last token completes the 4-gram 1 2 3 4 again
    roots = [trajectory("q/r0", ids, C, entropies=[1.0] * 8), trajectory("q/r1", [5, 6], U, entropies=[0.0, 0.5], status=Status.TRUNCATED)]
    branch = trajectory("q/r0/b0", [1, 2], W, prefix=ids[:4], entropies=[2.0, 4.0])
    other = trajectory("p/r0", [9], U)
    rows = [_row(0, "q", one) for one in (*roots, branch)] + [_row(1, "p", other)]
    of_roots, of_branches, of_other = means_of(3, rows)
    assert (of_roots.step, of_roots.tree, of_roots.question, of_roots.group) == (3, 0, ("q", "what is q?"), "roots")
    assert (of_roots.responses, of_roots.accuracy, of_roots.reward) == (2, 1.0, 1.0)
    assert (of_roots.tokens, of_roots.truncated, of_roots.repetition) == (5.0, 0.5, 1 / 8 / 2)
    assert of_roots.entropy == pytest.approx(8.5 / 10)
    assert (of_branches.group, of_branches.accuracy, of_branches.tokens, of_branches.entropy) == ("branches", 0.0, 6.0, 3.0)
    assert np.isnan(of_other.accuracy) and np.isnan(of_other.reward)


def _row(number, name, one):
    about = {"tree": number, "question_id": name, "question_text": f"what is {name}?"}
    return about | {column: getattr(one, column) for column in COLUMNS if column not in about}


def test_means_of_a_run_equal_those_of_its_trees(tmp_path, rng):
    trees = {step: random_trees(rng, step) for step in (1, 2)}
    found = question_means("a", RunDirectory(write_run(tmp_path, "a", trees)), [1, 2])
    assert len(found) == 2 * 3 * 2
    for means in found:
        one = trees[means.step][means.tree]
        group = [t for t in one.trajectories if (t.parent is None) == (means.group == "roots")]
        judged = [t.verdict is C for t in group if t.verdict is not U]
        assert means.question[0] == one.question.id
        np.testing.assert_equal(means.accuracy, np.mean(judged) if judged else np.nan)
        assert means.tokens == np.mean([len(t.response_ids) for t in group])
        assert means.entropy == pytest.approx(np.concatenate([t.entropies for t in group]).mean(), rel=1e-5)


def test_runs_of_one_name_are_told_apart_by_their_path(tmp_path, rng):
    a, b = (write_run(tmp_path / folder, "same", {1: random_trees(rng, 1)}) for folder in ("x", "y"))
    c = write_run(tmp_path, "other", {1: random_trees(rng, 1)})
    assert list(open_runs([a, b, c])) == [str(a), str(b), "other"]


def test_only_steps_with_metrics_and_trees_count(tmp_path, rng):
    trees = {step: random_trees(rng, step) for step in (1, 2, 3)}
    run = RunDirectory(write_run(tmp_path, "a", trees, [{"step": 0}, {"step": 1}, {"step": 2}, {"step": 4}]))
    assert recorded_steps(run) == [1, 2]
    assert [step for step, _ in rows_of("a", run, [2, 1], ["id"])] == [2, 1]


UNREADABLE = {
    "no run": "no run directory",
    "no trees": "has no step with trees yet",
    "no metrics": "holds no step yet",
    "damaged metrics": "metrics.jsonl: cannot be read",
    "old manifest": "not a manifest that this version",
    "damaged trees": "step-000001.parquet: cannot be read as parquet",
    "old trees": "not trees as this version",
}
CASES = [(command, kind) for command in ("dynamics", "entropy", "compare") for kind in UNREADABLE]
CASES += [("failures", kind) for kind in list(UNREADABLE)[:5]]  # damaged and old trees: test_failures, which has a tokenizer


def spoil(path, kind):
    step = path / "trees" / "step-000001.parquet"
    match kind:
        case "no run":
            (path / "manifest.yaml").unlink()
        case "no trees":
            step.unlink()
        case "no metrics":
            (path / "metrics.jsonl").unlink()
        case "damaged metrics":
            (path / "metrics.jsonl").write_text("{nonsense}\n")
        case "old manifest":
            (path / "manifest.yaml").write_text((path / "manifest.yaml").read_text() + "gone: 1\n")
        case "damaged trees":
            step.write_bytes(step.read_bytes()[:-40])
        case "old trees":
            pq.write_table(pq.read_table(step).drop_columns(["entropies"]), step)


@pytest.mark.parametrize(("command", "kind"), CASES)
def test_what_cannot_be_read_is_one_line(tmp_path, rng, command, kind):
    path = write_run(tmp_path, "a", {1: random_trees(rng, 1)})
    spoil(path, kind)
    done = CliRunner().invoke(app, ["analyze", command, str(path)])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert UNREADABLE[kind] in done.stderr
    assert not (path / "analysis").exists()


@pytest.mark.parametrize("command", ["dynamics", "entropy", "compare"])
def test_a_run_given_twice_is_one_line(tmp_path, rng, command):
    path = write_run(tmp_path, "a", {1: random_trees(rng, 1)})
    done = CliRunner().invoke(app, ["analyze", command, str(path), str(path / ".." / "a")])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "given 2 times" in done.stderr


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path, rng):
    path = write_run(tmp_path, "a", {1: random_trees(rng, 1)})
    (tmp_path / "file").write_text("")
    done = CliRunner().invoke(app, ["analyze", "entropy", str(path), "--out", str(tmp_path / "file" / "x")])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "cannot be written" in done.stderr


@pytest.mark.parametrize(("command", "name"), [("dynamics", "dynamics.csv"), ("entropy", "entropy.png"), ("compare", "compare.md")])
def test_a_file_that_cannot_be_written_is_one_line(tmp_path, rng, command, name):
    path = write_run(tmp_path, "a", {1: random_trees(rng, 1)})
    (path / "analysis" / name).mkdir(parents=True)
    done = CliRunner().invoke(app, ["analyze", command, str(path)])
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert f"{name}: cannot be written (Is a directory)" in done.stderr


def test_smoothing_by_hand():
    assert smoothed({1: 1.0, 2: 4.0, 3: 1.0, 9: 5.0}, 3) == {1: 2.5, 2: 2.0, 3: 2.5, 9: 5.0}
    assert smoothed({1: 1.0, 2: 4.0}, 1) == {1: 1.0, 2: 4.0}
    assert [window_of(range(n)) for n in (1, 10, 11, 40, 900)] == [1, 1, 3, 5, 91]
    assert [tenth(range(n)) for n in (1, 4, 40, 900)] == [1, 1, 4, 90]


def test_different_lengths_are_told():
    assert unequal({"a": [1, 2], "b": [2]}) is None
    assert unequal({"a": [1, 2], "b": [1, 3]}) == "the runs differ in length: a has 2 steps, b has 3 steps"


def test_an_interval_over_questions_leaves_out_those_without_a_value(rng):
    values = rng.normal(size=30).tolist()
    assert over_questions([*values, np.nan]) == over_questions(values)
    assert over_questions([np.nan]) is None


def test_values_that_are_all_alike_have_no_interval():
    for values in ([0.5], [0.0] * 4, [1.0] * 50):
        found = over_questions(values)
        assert (found.mean, found.low, found.high, found.excludes_zero) == (values[0], None, None, False)
        assert (shown(found), numbers(found)[1:]) == (f"{values[0]:.3g}", ["", ""])
    assert (shown(None), numbers(None)) == ("-", ["", "", ""])
    assert shown(over_questions([999.0, 1001.0])) == "1,000 [987, 1,013]"


def test_few_questions_have_students_interval_within_what_can_be():
    found = over_questions([0.0, 0.0, 1.0])  # 1/3 -+ 4.303 / sqrt(3) * sqrt(1/3)
    assert (found.low, found.high) == (pytest.approx(1 / 3 - 4.303 / 3), pytest.approx(1 / 3 + 4.303 / 3))
    found = over_questions([0.0, 0.0, 1.0], SHARE)
    assert (found.low, found.high) == (0.0, 1.0)


@pytest.mark.parametrize("count", [2, 4, FEW - 1, FEW])
def test_intervals_cover_about_as_often_as_they_say(count):
    drawn = [over_questions(row.tolist()) for row in np.random.default_rng(count).normal(size=(800, count))]
    assert 0.9 < np.mean([e.low <= 0 <= e.high for e in drawn]) < 0.98


def test_a_question_counts_once_however_often_it_came():
    assert per_question([("a", 1.0), ("b", 5.0), ("a", 3.0), ("c", np.nan)]) == [2.0, 5.0]


def test_the_interval_of_many_values_goes_on_from_that_of_fewer(rng):
    values = rng.exponential(size=MOST + 1)
    many, fewer = over_questions(values.tolist()), over_questions(values[:-1].tolist())
    assert many.mean == values.mean()
    width = fewer.high - fewer.low
    assert (many.low, many.high) == (pytest.approx(fewer.low, abs=width / 10), pytest.approx(fewer.high, abs=width / 10))


def test_wilson_by_hand_and_at_the_ends():
    found = wilson(0.5, 100)  # textbook: 0.4038, 0.5962
    assert (found.low, found.high) == (pytest.approx(0.4038, abs=1e-4), pytest.approx(0.5962, abs=1e-4))
    none, all_ = wilson(0.0, 10), wilson(1.0, 10)
    assert none.low == 0.0 and none.high == pytest.approx(0.2775, abs=1e-4)
    assert all_.high == 1.0 and all_.low == pytest.approx(1 - 0.2775, abs=1e-4)


def test_wilson_covers_about_as_often_as_it_says(rng):
    drawn = rng.binomial(32, 0.7, size=2000) / 32
    covered = np.mean([wilson(share, 32).low <= 0.7 <= wilson(share, 32).high for share in drawn])
    assert 0.92 <= covered <= 0.98

"""Pairs, means and differences of variants, and what the table says of them."""

import csv
import re

import pytest

from ib_lpo.analysis.figures import write_csv
from ib_lpo.study.compare import compare, pairs_of
from ib_lpo.study.failures import Failure
from ib_lpo.study.figure import draw
from ib_lpo.study.intervals import quantile
from ib_lpo.study.measures import AT_BUDGET, MEAN, common_budget, measured
from ib_lpo.study.table import HEADER, TaskResults, csv_rows, markdown
from tests.study.made import result

BUDGET = 80.0


def curve(end):
    """Accuracy 0.2 at the start and `end` at 100 tokens."""
    return ((0, 0.2), (100, end))


def results(grpo=(0.4, 0.5, 0.6, 0.7), forks=(0.5, 0.65, 0.7, 0.75), **forked):
    of = {"grpo": grpo, "forks": forks}
    return {v: [result(v, m, curve=curve(end), **(forked if v == "forks" else {})) for m, end in enumerate(of[v])] for v in of}


def task(found, failures=(), missing=(), notes=None):
    return TaskResults(
        task="sums",
        study="small",
        baseline="grpo",
        budget=BUDGET,
        notes=notes or dict.fromkeys(found, ""),
        results=found,
        cells=compare({variant: runs for variant, runs in found.items() if runs}, "grpo", BUDGET),
        failures=failures,
        missing=missing,
        differing={},
    )


def at_budget(end):
    return 0.2 + 0.8 * (end - 0.2)


def test_differences_are_paired_by_seed():
    found = compare(results(), "grpo", BUDGET)
    cell = found["forks"][AT_BUDGET]
    differences = [0.8 * d for d in (0.1, 0.15, 0.1, 0.05)]
    assert cell.mean.mean == pytest.approx(sum(map(at_budget, (0.5, 0.65, 0.7, 0.75))) / 4)
    assert (cell.runs, cell.pairs, cell.difference.mean) == (4, 4, pytest.approx(0.08))
    spread = (sum((d - 0.08) ** 2 for d in differences) / 3) ** 0.5
    assert cell.difference.high - cell.difference.mean == pytest.approx(quantile(3) * spread / 2)
    assert cell.difference.excludes_zero and found["grpo"][AT_BUDGET].difference is None
    assert found["forks"][MEAN].difference.mean == pytest.approx(0.5 * 0.8 * 0.1)


@pytest.mark.parametrize("changed", [{"processor": "CPU two"}, {"model": "other weights"}])
def test_runs_of_another_processor_or_model_are_no_pair(changed):
    found = results()
    found["forks"][1:] = [result("forks", m, curve=curve(0.9), **changed) for m in (1, 2, 3)]
    assert pairs_of(found, "grpo") == {"forks": 1}
    cell = compare(found, "grpo", BUDGET)["forks"][AT_BUDGET]
    assert (cell.runs, cell.pairs, cell.difference.low) == (4, 1, None)
    assert cell.difference.mean == pytest.approx(0.8 * 0.1)


def test_the_order_of_results_is_no_matter():
    one, other = results(), results()
    other["grpo"].reverse()
    assert compare(one, "grpo", BUDGET)["forks"] == compare(other, "grpo", BUDGET)["forks"]


def test_a_run_that_ended_before_the_budget_has_no_accuracy_there():
    found = results()
    found["forks"][0] = result("forks", 0, curve=((0, 0.2), (79, 0.9)))
    cells = compare(found, "grpo", BUDGET)["forks"]
    assert (cells[AT_BUDGET].runs, cells[AT_BUDGET].pairs, cells["generated tokens"].runs) == (3, 3, 4)
    assert "Runs without a check at or beyond the budget, which are left out of accuracy: forks (1)" in markdown(task(found), "f.png")
    assert common_budget([one for of in found.values() for one in of], None) == 79


def test_measures_of_the_last_check():
    one = result("grpo", **{"pass@16": 0.9, "pass@4": 0.7, "maj@4": 0.6, "entropy": 0.3, "diversity/self_bleu_distance": 0.4})
    names = list(measured(one, BUDGET))
    assert names[2:7] == ["held-out pass@4", "held-out pass@16", "held-out maj@4", "held-out token entropy, nats", "held-out 1 - Self-BLEU"]
    assert measured(one, BUDGET)["held-out 1 - Self-BLEU"] == 0.4


def test_the_table_names_failed_and_missing_runs_and_processors():
    found = results(processor="CPU two")
    failures = [
        Failure("small-sums-forks-m4-s0", 2, ["before", "model.path='x_y': | no such", ""]),
        Failure("small-sums-forks-m5-s0", -9, []),
    ]
    text = markdown(task(found, failures, ["small-sums-forks-m6-s0"], {"grpo": "plain", "forks": ""}), "f.png")
    assert "* small-sums-forks-m4-s0: exit status 2: model.path='x\\_y': \\| no such" in text
    assert "* small-sums-forks-m5-s0: signal 9" in text and "Not run yet: small-sums-forks-m6-s0" in text
    assert "Runs per processor: CPU one: 4; CPU two: 4." in text
    assert "| pairs | - | 0 |" in text and "Fewer than 3 pairs, so no interval: forks (0)" in text
    assert "* grpo: plain\n" in text and "* forks:" not in text


def test_the_table_holds_what_the_csv_holds(tmp_path):
    of = task(results())
    write_csv(tmp_path / "t.csv", HEADER, csv_rows(of))
    rows = {(row["variant"], row["measure"]): row for row in csv.DictReader((tmp_path / "t.csv").open())}
    row = rows["forks", AT_BUDGET]
    assert (row["runs"], row["pairs"], float(row["difference"])) == ("4", "4", pytest.approx(0.08))
    assert rows["grpo", AT_BUDGET]["difference"] == ""
    line = next(line for line in markdown(of, "f.png").splitlines() if line.startswith(f"| {AT_BUDGET}"))
    numbers = [float(number) for number in re.findall(r"[+-]?\d+\.\d+", line)]
    expected = [rows["grpo", AT_BUDGET]["mean"], row["mean"], row["difference"], row["difference_low"], row["difference_high"]]
    assert numbers == pytest.approx(list(map(float, expected)), rel=5e-3) and "**" in line


@pytest.mark.parametrize("found", [results(), {"grpo": [result("grpo")], "forks": []}, {"grpo": [], "forks": []}])
def test_the_figure_is_drawn_of_whatever_is_there(tmp_path, found):
    draw(task(found), tmp_path / "f.png")
    assert (tmp_path / "f.png").stat().st_size > 5000
    assert "small: sums" in markdown(task(found), "f.png")

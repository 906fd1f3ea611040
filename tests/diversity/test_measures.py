"""The registry: names, what is absent when, and answers."""

import math
from pathlib import Path

import numpy as np
import pytest

from ib_lpo.diversity.answers import answer_entropy, given_answer_entropy
from ib_lpo.diversity.measures import MEASURES, measure

IDS = [[1, 2, 3, 4, 5], [1, 2, 3, 4, 6]]
TEXTS = ["so it is 7", "then it is 8"]


def test_answer_entropy_counts_no_answer_as_one():
    assert answer_entropy(["7", "7", "7"]) == 0.0
    assert answer_entropy(["7", None]) == pytest.approx(math.log(2))
    assert answer_entropy(["1", "2", None, "1"]) == pytest.approx(1.5 * math.log(2))
    assert math.isnan(answer_entropy([]))


def test_entropy_among_given_answers_leaves_no_answer_out():
    assert given_answer_entropy(["7", None, None]) == 0.0
    assert given_answer_entropy(["1", "2", None]) == pytest.approx(math.log(2))
    assert math.isnan(given_answer_entropy([None, None]))


def test_all_measures_of_two_samples():
    found = measure([np.array(ids, np.int32) for ids in IDS], TEXTS, ["7", "8"], np.eye(2, dtype=np.float32))
    assert set(found) == set(MEASURES)
    assert found["distinct_1"] == 6 / 10 and found["distinct_4"] == 3 / 4
    assert found["distance"] == pytest.approx(1.0) and found["vendi"] == pytest.approx(2.0)
    assert found["self_rouge_distance"] == pytest.approx(1 - 2 * 2 / 8)  # "it is"
    assert found["answer_entropy"] == pytest.approx(math.log(2)) and found["repetition"] == 0.0
    assert all(type(value) is float for value in found.values())


def test_what_is_undefined_is_absent():
    assert {"distance", "vendi"} == set(MEASURES) - set(measure(IDS, TEXTS, ["7", "8"], None))
    one = measure(IDS[:1], TEXTS[:1], [None], np.ones((1, 3)))
    assert {"self_bleu_distance", "self_rouge_distance", "distance", "given_answer_entropy"} == set(MEASURES) - set(one)
    assert measure([], [], [], None) == {} == measure([], [], [], np.zeros((0, 3)))
    assert "distinct_4" not in measure([[1, 2]] * 2, TEXTS, ["7", "8"], None)


def test_sets_of_different_size_are_refused():
    with pytest.raises(ValueError, match=r"disagree in number: \[1, 2\]"):
        measure(IDS, TEXTS[:1], ["7", "8"], None)


def test_the_page_explains_every_measure():
    page = (Path(__file__).parents[2] / "docs" / "diversity.md").read_text()
    rows = {name: row for row in page.splitlines() for name in MEASURES if row.startswith(f"| `{name}` ")}
    assert set(rows) == set(MEASURES)
    assert all(f"| {MEASURES[name].kind} |" in row for name, row in rows.items())

"""Which trees a report holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.errors import UserError
from ib_lpo.report.sampling import even_quotas, sample_trees, tree_kinds
from ib_lpo.run_directory import RunDirectory
from tests.report.made_run import STEPS, TREES, make_run


@given(available=st.lists(st.integers(0, 20), max_size=30), most=st.integers(1, 200))
def test_quotas_are_even_and_use_what_there_is(available, most):
    quotas = even_quotas(available, most)
    assert sum(quotas) == min(most, sum(available))
    assert all(0 <= quota <= there for quota, there in zip(quotas, available, strict=True))
    open_ = [quota for quota, there in zip(quotas, available, strict=True) if quota < there]
    assert not open_ or max(quotas) - min(open_) <= 1


def test_few_trees_are_spread_from_the_first_step_to_the_last():
    assert even_quotas([5] * 9, 3) == [1, 0, 0, 0, 1, 0, 0, 0, 1]


def test_everything_is_taken_when_there_is_room(run):
    sample = sample_trees(RunDirectory(run), 1000)
    assert sample.size == sample.total == STEPS * TREES
    assert sample.chosen == {step: list(range(TREES)) for step in range(1, STEPS + 1)}


def test_a_sample_is_deterministic_even_and_holds_every_kind(run):
    directory = RunDirectory(run)
    sample = sample_trees(directory, 15)
    assert sample == sample_trees(directory, 15) and (sample.size, sample.total) == (15, STEPS * TREES)
    assert {len(trees) for trees in sample.chosen.values()} == {2, 3}
    held = {tree_kinds(directory, step)[tree] for step, trees in sample.chosen.items() for tree in trees}
    assert held == {kind for step in directory.steps for kind in tree_kinds(directory, step).values()} and len(held) > 3


def test_a_damaged_file_is_one_line(tmp_path):
    run = make_run(tmp_path)
    path = run / "trees" / "step-000003.parquet"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=r"step-000003.parquet: .* damaged") as caught:
        sample_trees(RunDirectory(run), 10)
    assert "\n" not in str(caught.value)


def test_trees_of_steps_without_a_line_are_leftovers(tmp_path):
    run = make_run(tmp_path)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:4]))
    sample = sample_trees(RunDirectory(run), 1000)
    assert list(sample.chosen) == [1, 2, 3] and sample.total == 3 * TREES

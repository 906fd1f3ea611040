"""The figures of a task: pass@k against enumeration, groups, and the table of a model."""

from itertools import combinations

import measure_task
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model.network import make_network, make_tokenizer
from typer.testing import CliRunner

from ib_lpo.manifest import load

runner = CliRunner()


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(1, 8))
def test_pass_at_k_is_the_share_of_subsets_with_a_right_one(right, k):
    k = min(k, len(right))
    subsets = list(combinations(right, k))
    assert measure_task.pass_at(k, sum(right), len(right)) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_a_group_is_mixed_when_it_has_both():
    groups = [[True] * 8, [False] * 8, [True] + [False] * 7, [False] + [True] * 7]
    assert measure_task.mixed([one for group in groups for one in group]) == 0.5


@pytest.fixture
def manifest(tmp_path):
    path = tmp_path / "task.yaml"
    path.write_text(f"""
name: task
steps: 1
model: {{path: {tmp_path}/model}}
data:
  template: "{{q}}\\n"
  train: {{kind: file, name: two_ways, path: {tmp_path}/train.jsonl}}
  held_out: {{kind: file, name: two_ways, path: {tmp_path}/held-out.jsonl}}
rollout: {{max_response_tokens: 4}}
""")
    return path


def test_an_absent_model_is_named_with_the_command_that_makes_it(manifest):
    found = runner.invoke(measure_task.app, [str(manifest)])
    assert found.exit_code == 2 and f"make_tiny_model.py {manifest}" in found.output


def test_the_table_of_an_untrained_model(manifest):
    """It knows neither way, and its answers are as long as they may be."""
    settings = load(manifest)
    tokenizer = make_tokenizer(["12 + 34\nFast: \\boxed{46}"], max_context=64)
    tokenizer.save_pretrained(settings.model.path)
    make_network(tokenizer, hidden=32, layers=1, vocabulary=512, max_context=64, seed=0).save_pretrained(settings.model.path)
    found = measure_task.study(settings, settings.model.path, questions=3, samples=8)
    assert (found["pass@1"], found["pass@8"], found["long"], found["groups of 8 with mixed rewards"]) == (0.0, 0.0, 0.0, 0.0)
    assert 3.5 < found["response tokens"] <= 4.0 and "pass@64" not in found
    table = runner.invoke(measure_task.app, [str(manifest), "--questions", "2", "--samples", "8"]).output
    assert "| pass@8 | 0.000 |" in table and "2 training questions x 8 samples" in table

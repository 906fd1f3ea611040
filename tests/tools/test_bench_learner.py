"""What the learner's benchmarks compute without a model: batches, padding, what sharing saves, and where the tables go."""

import numpy as np
import pytest
import torch
from benchmarks import document
from benchmarks.compare import Comparison, goal
from benchmarks.learner_batch import (
    BRANCHES,
    PROMPT_TOKENS,
    RESPONSE_MEAN,
    RESPONSE_TOKENS,
    ROOTS,
    TreeSize,
    padded,
    padding_share,
    real_tokens,
    response_lengths,
    rollouts,
    tree,
)
from benchmarks.learner_memory import VARIANTS
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.policy.forest import planted_tokens

SIZES = st.builds(
    lambda prompt, fork, rest: TreeSize(prompt=prompt, response=fork + rest, fork=fork),
    st.integers(1, 9),
    st.integers(1, 9),
    st.integers(2, 9),
)


@given(SIZES)
def test_tree_sizes_are_what_planting_gives(size):
    paths = tree(np.random.default_rng(0), size, vocabulary=1 << 30)  # so large that no two draws agree by chance
    assert len(paths) == ROOTS * (1 + BRANCHES)
    assert planted_tokens(paths, share=False) == size.flat_tokens
    assert planted_tokens(paths, share=True) == size.tree_tokens
    assert sum(len(path.ids) - path.start for path in paths) == size.trained_tokens
    assert size.ideal == pytest.approx(1 / (1 - size.shared))


def test_later_forks_share_more():
    shared = [TreeSize(prompt=64, response=256, fork=fork).shared for fork in range(1, 255)]
    assert shared == sorted(shared) and 0 < shared[0] < shared[-1] < 1


def test_responses_have_the_stated_lengths():
    lengths = response_lengths(np.random.default_rng(0), 20_000)
    assert (lengths.min(), lengths.max()) == RESPONSE_TOKENS
    assert RESPONSE_MEAN - 10 < lengths.mean() < RESPONSE_MEAN


def test_padding_keeps_every_token_in_its_place():
    paths, advantages = rollouts(np.random.default_rng(0), questions=3, each=4, vocabulary=50)
    batch = padded(paths, advantages)
    for row, path in enumerate(paths):
        prompt, completion = (batch[f"{part}_ids"][row][batch[f"{part}_mask"][row].bool()] for part in ("prompt", "completion"))
        assert PROMPT_TOKENS[0] <= len(prompt) <= PROMPT_TOKENS[1]
        assert torch.cat([prompt, completion]).tolist() == path.ids.tolist()
        assert batch["prompt_mask"][row, -1] == 1 and batch["completion_mask"][row, 0] == 1
    masks = torch.cat([batch["prompt_mask"], batch["completion_mask"]], dim=1)
    assert masks.sum() == real_tokens(paths)
    assert padding_share(paths) == pytest.approx(1 - masks.float().mean().item())
    assert batch["num_items_in_batch"] == sum(len(path.ids) - path.start for path in paths)


def test_all_log_prob_variants_give_the_same():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(7, 5), torch.randn(11, 5), torch.randint(11, (7,))
    found = {name: torch.stack(run(hidden, weight, targets)) for name, run in VARIANTS.items()}
    for name, values in found.items():
        torch.testing.assert_close(values, found["naive"], msg=name)


def test_tables_go_into_their_own_block(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("top\n<!-- a:begin -->\nold\n<!-- a:end -->\nmiddle\n<!-- b:begin -->\nkept\n<!-- b:end -->\n")
    monkeypatch.setattr(document, "PAGE", page)
    shown = Comparison(title="one thing", unit="s", samples={"x": [1.0], "y": [3.0]}, note="A note.")
    document.write([shown], block="a", device="cpu", command="run", packages=("torch",))
    text = page.read_text()
    assert (
        "old" not in text and "\nkept\n" in text and "### One thing\n\nA note.\n\n|" in text and "| y | 3.0 | 3.0 to 3.0 | 3.00 |" in text
    )
    with pytest.raises(ValueError, match="c:begin"):
        document.write([shown], block="c", device="cpu", command="run", packages=("torch",))


def test_goals_are_judged():
    assert goal(1.5, 1.5) == "goal 1.5 met with 1.50."
    assert goal(1.5, 1.49) == "goal 1.5 missed with 1.49."

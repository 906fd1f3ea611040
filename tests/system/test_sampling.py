"""Dynamic sampling in a real run: steps draw several batches, and an interrupted run draws on where it stopped."""

import json
import shutil

import pytest

from ib_lpo.branching.sampling import has_signal
from ib_lpo.tree_store import read_trees
from tests.system.runs import LOCAL, MANIFEST, dumps, repeatable, train, write_manifest
from tests.system.tiny_policy import save_policy, save_questions

pytestmark = pytest.mark.slow

STEPS, WANTED, BUDGET = 3, 4, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sampling")
    save_policy(folder / "model")
    save_questions(folder / "train.jsonl", 14, seed=1)  # little more than a step may draw: epochs end inside steps
    return folder


def manifest(folder, name, steps):
    data = {key: value for key, value in MANIFEST["data"].items() if key != "held_out"}
    return write_manifest(
        folder,
        name=name,
        steps=steps,
        data=data | {"questions_per_step": WANTED, "batches_per_step": BUDGET},
        branching={"roots": 2, "branches": 1, "floor": 0.3, "top_fraction": 0.2},
        filter={"keep": 1},
        ib={"estimator": "none", "self_reward": "none"},
        checkpoint={"every": 1, "keep": 9},
    )


@pytest.fixture(scope="module")
def lines(folder):
    """metrics.jsonl of the run without an interruption."""
    train(folder, manifest(folder, "whole", STEPS), *LOCAL)
    return repeatable(folder, "whole")


def test_steps_draw_until_they_are_full_and_count_what_they_drop(lines, folder):
    steps = lines[1:]
    assert len(steps) == STEPS
    assert max(line["sampling/batches"] for line in steps) > 1
    for line in steps:
        trees = read_trees(folder / "runs" / "whole" / "trees" / f"step-{line['step']:06d}.parquet")
        assert len({tree.question.id for tree in trees}) == len(trees) == line["advantage/groups"]
        assert line["sampling/questions"] == len(trees) + line["sampling/silent"] + line["sampling/surplus"]
        assert line["sampling/questions"] + line["sampling/repeated"] == WANTED * line["sampling/batches"]
        assert line["grow/roots"] == 2 * line["sampling/questions"]
        assert line["grade/trajectories"] == line["grow/roots"] + line["grow/branches"]
        assert len(trees) == WANTED or line["sampling/batches"] == BUDGET
        if line["update/no_signal"] == 0:
            assert all(map(has_signal, trees))


def test_an_interrupted_run_draws_on_where_it_stopped(lines, folder):
    """The run as it would be, had it been killed after its first checkpoint, is resumed."""
    shutil.copytree(folder / "runs", folder / "killed", symlinks=True)  # wandb links to logs that it may not have written
    for step in range(2, STEPS + 1):
        shutil.rmtree(folder / "killed" / "whole" / "checkpoints" / f"step-{step:06d}")
    output = train(folder, manifest(folder, "whole", STEPS), *LOCAL, "runs_dir=killed", "--resume")
    assert "from step 1" in output
    assert dumps(repeatable(folder, "whole", "killed")) == dumps(lines)
    drawn = sum(line["sampling/batches"] for line in lines[1:])
    for runs in ("runs", "killed"):
        state = folder / runs / "whole" / "checkpoints" / f"step-{STEPS:06d}" / "state.json"
        recorded = json.loads(state.read_text())
        assert {key: recorded[key] for key in ("step", "batches", "latent")} == {"step": STEPS, "batches": drawn, "latent": None}
    assert drawn > STEPS

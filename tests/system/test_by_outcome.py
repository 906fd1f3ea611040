"""Branches by outcome on real parts: repeatable, killed or not, whether I(r;a) along roots or past forks say what is
open; the latter with several batches in a step."""

import json
import time

import pytest

from ib_lpo.tree_store import read_trees
from tests.system.runs import LOCAL, MANIFEST, dumps, finish, repeatable, start, train, write_manifest

pytestmark = pytest.mark.slow

STEPS = 4
BRANCHING = {"allocate": "by_outcome", "select": "open_entropy", "floor": 0.3, "top_fraction": 0.2, "min_distance": 2}
VARIANTS = {
    "profile": {"ib": {"estimator": "pmi"}},
    "past-forks": {
        "ib": {"estimator": "none", "self_reward": "none"},
        "data": MANIFEST["data"] | {"batches_per_step": 2},
    },
}


def manifest(folder, name, values):
    checkpoint = {"every": 1, "keep": 9}
    return write_manifest(folder, name=name, steps=STEPS, branching=BRANCHING, checkpoint=checkpoint, **values)


def rows(folder, name, step):
    trees = read_trees(folder / "runs" / name / "trees" / f"step-{step:06d}.parquet")
    return [(t.id, t.seed, t.token_ids.tolist(), t.fork, t.verdict) for tree in trees for t in tree.trajectories]


@pytest.fixture(scope="module", params=VARIANTS)
def run(request, shared):
    """The lines of a whole run, and its variant."""
    name = request.param
    train(shared, manifest(shared, name, VARIANTS[name]), *LOCAL)
    return name, repeatable(shared, name)


def test_budgets_are_kept_and_questions_that_are_right_have_no_branches(run, shared):
    name, lines = run
    assert [line["step"] for line in lines] == list(range(STEPS + 1))
    for line in lines[1:]:
        assert 0 < line["grow/reserved_tokens"] <= line["grow/budget_tokens"]
        trees = read_trees(shared / "runs" / name / "trees" / f"step-{line['step']:06d}.parquet")
        forked = [tree for tree in trees if len(tree.trajectories) > len(tree.roots)]
        assert line["grow/allocated_forks_mixed"] + line["grow/allocated_forks_wrong"] == line["grow/forks"] > 0
        assert all({root.reward for root in tree.roots} != {1.0} for tree in forked)
        assert line["grade/trajectories"] == line["grow/roots"] + line["grow/branches"]
        assert line["mismatch/max_abs"] < 1e-4


def test_a_run_that_is_killed_and_resumed_grows_the_same_trees(run, shared):
    name, lines = run
    killed = f"{name}-killed"
    asked = manifest(shared, killed, VARIANTS[name])
    process = start(shared, asked, *LOCAL)
    marker = shared / "runs" / killed / "checkpoints" / "step-000002" / "complete"
    deadline = time.monotonic() + 400
    while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    finish(process)
    assert marker.exists()
    output = train(shared, asked, *LOCAL, "--resume")
    assert "from step 2" in output or "from step 3" in output, output
    assert dumps(repeatable(shared, killed)) == dumps(lines)
    assert all(rows(shared, killed, step) == rows(shared, name, step) for step in range(1, STEPS + 1))
    ends = [
        json.loads((shared / "runs" / one / "checkpoints" / f"step-{STEPS:06d}" / "state.json").read_text())["forks"]
        for one in (name, killed)
    ]
    assert ends[0] == ends[1] and sum(sum(pair) for of in ends[0].values() for pair in of) > 10

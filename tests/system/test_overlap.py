"""An overlapped run on real parts: steps grow while the learner works, and a kill of the driver loses and repeats no question."""

import math
import time
from itertools import pairwise

import psutil
import pytest

from ib_lpo.assembly import check
from ib_lpo.data.schedule import batch_indices
from ib_lpo.manifest import load
from ib_lpo.tracking import read_metrics
from ib_lpo.tree_store import read_trees
from tests.system.runs import MANIFEST, descendants, start, train, write_manifest

pytestmark = pytest.mark.slow

STEPS, STALENESS, PER_STEP = 6, 2, 4


@pytest.fixture(scope="module")
def folder(shared):
    return shared


@pytest.fixture(scope="module")
def lines(folder):
    """metrics.jsonl of a run whose driver was killed after step 2, and that went on from there."""
    manifest = write_manifest(
        folder,
        name="ahead",
        steps=STEPS,
        max_staleness=STALENESS,
        held_out=MANIFEST["held_out"] | {"every": 3},
        rollout=MANIFEST["rollout"] | {"max_iterations_per_call": 6, "max_running": 1},  # weights arrive in the middle of responses
        learner=MANIFEST["learner"] | {"loss": {"engine_is": True}},
    )
    process = start(folder, manifest)
    marker = folder / "runs" / "ahead" / "checkpoints" / "step-000002" / "complete"
    deadline = time.monotonic() + 400
    while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [child for child in descendants(process.pid) if "::" in child.name() and "Agent" not in child.name()]
    process.kill()
    process.communicate()
    _, alive = psutil.wait_procs(workers, timeout=60)
    assert marker.exists() and workers and not alive
    output = train(folder, manifest, "--resume")
    assert "from step 2" in output or "from step 4" in output
    return read_metrics(folder / "runs" / "ahead" / "metrics.jsonl")


@pytest.fixture(scope="module")
def trees(folder, lines):
    """By step."""
    return {step: read_trees(folder / "runs" / "ahead" / "trees" / f"step-{step:06d}.parquet") for step in range(1, STEPS + 1)}


def test_it_finishes_and_every_batch_is_trained_on_once(folder, lines, trees, monkeypatch):
    assert [line["step"] for line in lines] == list(range(STEPS + 1))
    monkeypatch.chdir(folder)
    questions = check(load("ahead.yaml")).sets.train
    chosen = [batch_indices(b, questions=len(questions), per_batch=PER_STEP, seed=0, shuffle=True) for b in range(STEPS)]
    trained = [[tree.question.id for tree in of_step] for of_step in trees.values()]
    assert sorted(trained) == sorted([questions[i].id for i in batch] for batch in chosen)
    for of_step in trees.values():
        ids = [t.id for tree in of_step for t in tree.trajectories]
        assert len(ids) == len(set(ids))
        assert all(len(tree.roots) == 2 and len(tree.branches(root)) in (0, 3) for tree in of_step for root in tree.roots)


def test_tokens_are_older_than_the_weights_but_within_the_bound(lines, trees):
    assert max(line["staleness/max"] for line in lines[1:]) > 0
    for step, of_step in trees.items():
        for t in (t for tree in of_step for t in tree.trajectories):
            assert t.spans[0].start == 0 and t.spans[-1].end == len(t.token_ids) == len(t.token_versions)
            assert all(a.end == b.start and a.version < b.version for a, b in pairwise(t.spans))
            assert step - 1 - STALENESS <= t.version and t.spans[-1].version <= step - 1
        lags = [step - 1 - t.version for tree in of_step for t in tree.kept]
        assert max(lags) == lines[step]["staleness/max"]


def test_responses_go_on_across_versions_and_the_new_weights_are_the_learners(lines, trees):
    """The keys and values of their tokens so far are computed anew: otherwise the log-probs after the switch would be off."""
    assert any(len(t.spans) > 1 for of_step in trees.values() for tree in of_step for t in tree.trajectories)
    assert max(line["staleness/mixed"] for line in lines[1:]) > 0
    measured = [line["mismatch/max_abs"] for line in lines[1:] if "mismatch/max_abs" in line]
    assert measured and max(measured) < 1e-4
    assert any(line.get("staleness/drift", 0) > 0 for line in lines[1:])


def test_importance_weights_are_finite_and_syncs_whole(lines):
    for line in lines[1:]:
        weights = [value for name, value in line.items() if name.startswith("is/")]
        assert weights and all(value is not None and math.isfinite(value) for value in weights)
        assert line["loss/grad_norm"] > 0 and line["publish/syncs"] == 1
        assert 0 <= line["idle/engines"] <= 1 and 0 <= line["idle/learner"] <= 1
    assert {line["step"] for line in lines if "held_out/accuracy" in line} == {0, 3, 6}

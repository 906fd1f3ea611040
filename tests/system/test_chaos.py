"""Every part of a run is killed once, and the driver too: nothing is lost or done twice, and what can be repeated is, bit for bit."""

import shutil
import sys
from pathlib import Path

import pytest

from ib_lpo.tracking import read_metrics
from ib_lpo.tree_store import write_trees
from tests.system.conftest import REFERENCE_STEPS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))

from kills.checks import differences, trees_of, unsound
from kills.trial import found, struck

PLAN = (
    ("verifier", "any"),
    ("scorer", "publish"),
    ("sampler", "any"),
    ("learner", "checkpoint"),
    ("driver", "publish"),
    ("engine", "publish"),
)
STEPS = REFERENCE_STEPS


@pytest.fixture(scope="module")
def reference(shared, reference_output):
    return found(shared, shared / "reference.yaml")


pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_run_survives_the_death_of_every_part(shared, reference):
    trial = struck(shared, "struck", PLAN, steps=STEPS, seed=0, reference=reference)
    assert trial.wrong == []
    assert [kill.kind for kill in trial.kills] == [kind for kind, _ in PLAN]
    assert all(kill.recovery_s is not None for kill in trial.kills if kill.kind != "engine")
    same = min(kill.step for kill in trial.kills if kill.kind == "engine")
    files = [of.run_dir / "rollouts.jsonl" for of in (trial.manifest, reference)]
    shown, whole = ([row for row in read_metrics(file) if row["step"] <= same] for file in files)
    assert shown == whole and [row["step"] for row in shown] == [step for step in range(1, same + 1, 2) for _ in range(8)]


@pytest.mark.parametrize("damage", ["a step twice", "a trajectory lost", "the questions of another step", "another token"])
def test_the_checks_see_what_is_wrong(reference, damage, tmp_path):
    run = tmp_path / reference.name
    shutil.copytree(reference.run_dir, run, ignore=shutil.ignore_patterns("checkpoints", "logs", "wandb"))
    damaged = reference.model_copy(update={"runs_dir": tmp_path})
    assert unsound(damaged) == differences(damaged, reference, STEPS) == []
    trees, file = trees_of(damaged, 3), run / "trees" / "step-000003.parquet"
    if damage == "a step twice":
        text = (run / "metrics.jsonl").read_text()
        (run / "metrics.jsonl").write_text(text + text.splitlines()[-1] + "\n")
    elif damage == "a trajectory lost":
        trees[1].trajectories.pop()
        write_trees(file, trees, 3)
    elif damage == "the questions of another step":
        write_trees(file, trees_of(damaged, 2), 3)
    else:
        trees[0].trajectories[0].token_ids[0] += 1
        write_trees(file, trees, 3)
        assert differences(damaged, reference, 2) == [] == unsound(damaged)
        assert differences(damaged, reference, STEPS) == ["step 3: other trees"]
        return
    assert unsound(damaged) != []

"""Real trajectories: sampled by the rollout engine and kept as parquet, graded by the verifier whenever they are read.

The file is named after all that decides what is in it, so that grading and scoring can be repeated without generating.
"""

import hashlib
import json
from pathlib import Path

from ib_lpo.branching.scheduler import BranchScheduler
from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.placement import resolve_device
from ib_lpo.latent.sampler import LatentSampler
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_policy, load_tokenizer, text_decoder
from ib_lpo.rollout.engine import RolloutEngine, engine_env
from ib_lpo.scoring.grade import grade_trees
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Question, RolloutTree
from ib_lpo.tree_store import read_trees, write_trees
from ib_lpo.weights.dtype import copy_dtype
from ib_lpo.weights.publish import publish


def trajectories(run: Manifest, asked: list[Question], folder: Path) -> list[RolloutTree]:
    """`held_out.samples` graded roots per question; sampled into `folder` unless they are there."""
    path = folder / f"trajectories-{_digest(run, asked)}.parquet"
    decode = text_decoder(load_tokenizer(run.model))
    if not path.exists():
        write_trees(path, _sample(run, asked), step=0, decode=decode)
    trees = read_trees(path)
    grade(trees, run)
    return trees


def grade(trees: list[RolloutTree], run: Manifest) -> None:
    """Verdicts and rewards of the real verifier."""
    verifier = Verifier(run.verifier)
    try:
        grade_trees(trees, verifier.grade, text_decoder(load_tokenizer(run.model)))
    finally:
        verifier.close()


def _sample(run: Manifest, asked: list[Question]) -> list[RolloutTree]:
    fleet = LocalFleet()
    try:
        device = resolve_device(run.cluster, fleet)
        engine = fleet.spawn(RolloutEngine, run, 0, device, name="engine-0", env=engine_env(device))
        sampler = fleet.spawn(LatentSampler, run, name="latent-sampler")
        scheduler = fleet.spawn(BranchScheduler, run, fleet, [engine], sampler, name="scheduler")
        policy = load_policy(run.model, dtype=copy_dtype(run, device), device=device)
        sent = policy.named_parameters()
        publish(sent, version=0, receivers=[engine], fleet=fleet, config=run.weights, dtype=copy_dtype(run, device))
        return scheduler.call("sample", 0, asked).result()
    finally:
        fleet.shutdown()


def _digest(run: Manifest, asked: list[Question]) -> str:
    """Of the model's path, the settings of sampling, and the prompts."""
    settings = {name: getattr(run, name).model_dump(mode="json") for name in ("model", "held_out", "rollout")}
    decided = [run.seed, settings, [(question.id, question.prompt_ids) for question in asked]]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:12]

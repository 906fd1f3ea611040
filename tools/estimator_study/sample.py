"""Real trajectories: sampled by the rollout engine and kept as parquet, graded by the verifier whenever they are read.

The file is named after all that decides what is in it, so that grading and scoring can be repeated without generating.
"""

import hashlib
import json
from pathlib import Path

from ib_lpo.branching.growth import Growth, GrowthPlan
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_tokenizer, text_decoder
from ib_lpo.scoring.grade import grade_trees
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.serving import serving
from ib_lpo.tree import Question, RolloutTree
from ib_lpo.tree_store import read_trees, write_trees


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
    held_out, r = run.held_out, run.rollout
    plan = GrowthPlan(
        branching=run.branching.model_copy(update={"roots": held_out.samples, "branches": 0}),
        max_response_tokens=r.max_response_tokens,
        temperature=held_out.temperature,
        top_p=1.0,
        top_k=None,
        oldest=0,
        seed_path=(run.seed, 0, "held_out"),
    )
    growth = Growth(plan, asked, lambda ids: None)
    requests = [request for of in growth.start() for request in of]
    with serving(run.model_copy(update={"cluster": run.cluster.model_copy(update={"mode": "local"})})) as engine:
        for generation in engine.stream(requests):
            growth.on_generation(generation, engine=0)
    return [growth.grown(number) for number in range(len(asked))]


def _digest(run: Manifest, asked: list[Question]) -> str:
    """Of the model's path, the settings of sampling, and the prompts."""
    settings = {name: getattr(run, name).model_dump(mode="json") for name in ("model", "held_out", "rollout")}
    decided = [run.seed, settings, [(question.id, question.prompt_ids) for question in asked]]
    return hashlib.sha256(json.dumps(decided).encode()).hexdigest()[:12]

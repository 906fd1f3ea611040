"""Trees through the real scorer, under one estimator at a time: S_IB of every trajectory, and what it cost."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from rich.progress import track

from ib_lpo.fleet.local import LocalFleet
from ib_lpo.fleet.loop import EventLoop
from ib_lpo.fleet.placement import resolve_device
from ib_lpo.manifest import Manifest
from ib_lpo.policy.dtype import compute_dtype
from ib_lpo.policy.load import load_policy, load_tokenizer, text_decoder
from ib_lpo.policy.packed_attention import install
from ib_lpo.scoring.estimators import Need
from ib_lpo.scoring.forward import Cost, score_paths
from ib_lpo.scoring.passes import PASSES
from ib_lpo.scoring.replicas import read_trees
from ib_lpo.scoring.score import score_trees
from ib_lpo.scoring.scorer import IBScorer
from ib_lpo.tree import IbScore, Question, RolloutTree

QUESTIONS_PER_CALL = 32  # a step's worth, as data.questions_per_step


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """All trajectories under one estimator."""

    name: str
    scores: dict[str, IbScore]  # by trajectory id
    beta: float
    cost: Cost
    wall_s: float
    cpu_s: float  # of this process

    def raw(self, trajectory_id: str) -> float:
        """beta * I(r;a) - I(q;r) of the terms as they are, nats."""
        held = self.scores[trajectory_id]
        return self.beta * held.relevance - held.compression


def score(name: str, run: Manifest, trees: Sequence[RolloutTree], asked: Sequence[Question]) -> Scoring:
    """Score graded trees under `run.ib.estimator`. `asked`: their questions, tokenised as `run.data` has it; prompts must be the same."""
    posed = [replace_question(tree, question) for tree, question in zip(trees, asked, strict=True)]
    decode, fleet, costs = text_decoder(load_tokenizer(run.model)), LocalFleet(), [Cost(0, 0)]
    loop = EventLoop(fleet, run.cluster.call_deadline_s)
    device = resolve_device(run.cluster, fleet)
    scorers = [fleet.spawn(IBScorer, run, device, name="scorer-0")] if run.runs_scorer else []
    calls = [posed[at : at + QUESTIONS_PER_CALL] for at in range(0, len(posed), QUESTIONS_PER_CALL)]
    wall, cpu = time.perf_counter(), time.process_time()
    for call in track(calls, name, transient=True, disable=len(calls) == 1):
        readings, cost = read_trees(scorers, call, run.ib, decode, loop)
        score_trees(call, readings, cost, run)
        costs.append(cost)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    scores = {t.id: t.ib for tree in posed for t in tree.trajectories}
    return Scoring(name=name, scores=scores, beta=run.ib.beta, cost=Cost(*map(sum, zip(*costs, strict=True))), wall_s=wall, cpu_s=cpu)


def log_entropies(run: Manifest, tree: RolloutTree) -> None:
    """Set `entropies` of trajectories that no engine sampled, as an engine without z would have logged them."""
    device = resolve_device(run.cluster, LocalFleet())
    model = load_policy(run.model, dtype=compute_dtype(run.learner, device), device=device)
    install(model, None)
    paths = [PASSES[Need.OWN_GIVEN_QUESTION](tree.question, t, t.token_ids.size) for t in tree.trajectories]
    scored, _ = score_paths(model, paths, max_tokens=run.ib.max_tokens_per_batch, chunk=run.learner.logprob_chunk)
    for trajectory, own in zip(tree.trajectories, scored, strict=True):
        trajectory.entropies = own.entropies.astype(np.float32)


def replace_question(tree: RolloutTree, question: Question) -> RolloutTree:
    """The tree with trajectories of its own, asked by `question`. Raises ValueError when its prompt is another one."""
    if (tree.question.id, tree.question.prompt_ids) != (question.id, question.prompt_ids):
        raise ValueError(f"question {tree.question.id} was sampled from another prompt than {question.id} has; sample again")
    return replace(tree, question=question, trajectories=[replace(t) for t in tree.trajectories])

"""The training loop: one step of method.md per iteration.

    grow     questions -> roots -> forks -> latents -> branches        BranchScheduler, RolloutEngines, LatentSampler
    grade    verifiable reward                                         Verifier
    score    S_IB of every trajectory                                  IBScorers
    filter   the N best branches of each root or question              here
    advantages                                                         here
    update   GRPO on what was kept                                     Learner ranks (ZeRO-3)
    publish  the new weights, verified, to engines and scorer          Learner -> RolloutEngines, IBScorer

With data.batches_per_step > 1 (dynamic sampling) grow and grade repeat until enough questions have signal. Steps count from 1; step k is
grown by policy version k-1 and publishes version k. Each phase waits for the one before it: no trajectory is older than its update.
"""

from ib_lpo.assembly import Assembly, assemble
from ib_lpo.branching.metrics import growth_metrics
from ib_lpo.branching.sampling import Harvest
from ib_lpo.evaluation.during_training import evaluation, evaluation_due
from ib_lpo.held_out import accuracy, due
from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.manifest import Manifest
from ib_lpo.run import Run
from ib_lpo.scoring.failures import label_failures
from ib_lpo.scoring.filter import filter_branches
from ib_lpo.scoring.grade import grade_trees, grading_metrics
from ib_lpo.scoring.replicas import read_trees
from ib_lpo.scoring.score import score_trees
from ib_lpo.tree import RolloutTree


def train(manifest: Manifest, *, resume: bool = False) -> None:
    """Run the manifest from its first step, or from the newest complete checkpoint of its run directory."""
    with assemble(manifest) as parts, Run(manifest, resume=resume) as run:
        published = run.restore(parts)
        if run.done == 0:
            with run.phase("held_out"):
                first = accuracy(parts, 0)
            if evaluation_due(0, manifest):
                with run.phase("evaluation"):
                    first |= evaluation(parts, 0)
            run.log_start(published | first | {"data/unjudgeable": float(parts.sets.unjudgeable)})
        for step in range(run.done + 1, manifest.steps + 1):
            trees, metrics = one_step(step, run, parts)
            if due(step, manifest):
                with run.phase("held_out"):
                    metrics |= accuracy(parts, step)
            if evaluation_due(step, manifest):
                with run.phase("evaluation"):
                    metrics |= evaluation(parts, step)
            run.record(step, trees, metrics, parts)
        run.summarise()


def one_step(step: int, run: Run, parts: Assembly) -> tuple[list[RolloutTree], dict[str, float]]:
    """Steps 1 to 7 of method.md; returns the finished trees and the step's metrics."""
    trees, metrics = grow_and_grade(step, run, parts)
    with run.phase("score"):
        metrics |= score(trees, parts)
    with run.phase("filter"):
        metrics |= filter_branches(trees, parts.manifest)
    with run.phase("advantages"):
        manifest = parts.manifest
        metrics |= assign_advantages(
            trees, manifest.learner.advantage, max_response_tokens=manifest.rollout.max_response_tokens, ib=manifest.ib
        )
    with run.phase("update"):
        metrics |= parts.learner.update(trees, step)
    with run.phase("publish"):
        metrics |= parts.learner.publish(step, parts.receivers)
    return trees, metrics


def score(trees: list[RolloutTree], parts: Assembly) -> dict[str, float]:
    """S_IB of every trajectory, and what went wrong in those where it is low; nothing without an estimator."""
    ib = parts.manifest.ib
    if ib.estimator == "none":
        return {}
    readings, cost = read_trees(parts.scorers, trees, ib, parts.decode)
    return score_trees(trees, readings, cost, parts.manifest) | label_failures(trees, ib.failures, parts.decode)


def grow_and_grade(step: int, run: Run, parts: Assembly) -> tuple[list[RolloutTree], dict[str, float]]:
    """The graded trees that the step trains on, and metrics of all that were grown for it."""
    data = parts.manifest.data
    harvest = Harvest(wanted=data.questions_per_step, budget=data.batches_per_step)
    while not harvest.complete:
        questions = harvest.fresh(parts.questions(run.next_batch()))
        with run.phase("grow"):
            trees = parts.scheduler.call("grow", step, questions).result()
        with run.phase("grade"):
            grade_trees(trees, parts.grade, parts.decode)
        harvest.add(trees)
    metrics = growth_metrics(harvest.grown, parts.manifest.rollout.block_size) | grading_metrics(harvest.grown) | harvest.metrics()
    return harvest.kept(), metrics | parts.verifier.call("stats").result()

"""The training loop: one step of method.md per iteration.

    grow       questions -> roots -> forks -> latents -> branches, graded    BranchScheduler, RolloutEngines, LatentSampler, Verifier
    score      S_IB of every trajectory                                       IBScorers
    filter     the N best branches of each root or question                   here
    advantages                                                                here
    update     GRPO on what was kept                                          Learner ranks (ZeRO-3)
    publish    the new weights, verified, to engines and scorers              Learner -> RolloutEngines, IBScorers

Steps count from 1; step k makes version k of version k-1. With max_staleness: 0 each phase waits for the one before it. With n, the next n
steps grow while the learner works (branching/ahead.py): whatever the driver waits for, its event loop goes on serving the engines.

A lost learner is started again from the newest checkpoint, and what came after that is done again; all other losses are made good where
they happen (docs/reliability.md). SIGTERM and SIGHUP drop the step that is growing, or let the one finish that is trained on; then a
checkpoint is written.
"""

from contextlib import suppress
from dataclasses import replace

from ib_lpo.agreement import require_agreement
from ib_lpo.assembly import Assembly, assemble, check, reserve
from ib_lpo.branching.ahead import Ahead
from ib_lpo.branching.allocation import allocation_metrics
from ib_lpo.branching.metrics import ending_metrics, growth_metrics
from ib_lpo.branching.outcomes import outcome_metrics
from ib_lpo.evaluation.during_training import evaluation, evaluation_due
from ib_lpo.garbage import rare_collections
from ib_lpo.held_out import due, held_out
from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.learner.gap import with_gap
from ib_lpo.learner.group import LearnerLost
from ib_lpo.manifest import Manifest
from ib_lpo.run import Resume, Run, left_to_do
from ib_lpo.run_lock import locked
from ib_lpo.scoring.failures import label_failures
from ib_lpo.scoring.filter import filter_branches
from ib_lpo.scoring.grade import grading_metrics
from ib_lpo.scoring.replicas import read_trees
from ib_lpo.scoring.score import score_trees
from ib_lpo.termination import Terminated, Termination
from ib_lpo.tree import RolloutTree


def train(manifest: Manifest, *, resume: Resume = False) -> None:
    """Run the manifest from its first step, or from a complete checkpoint of its run directory."""
    if not left_to_do(manifest, resume):
        return
    checked = check(manifest)
    with (
        Termination(manifest.cluster.grace_s) as termination,
        locked(manifest.run_dir),
        reserve(manifest) as fleet,
        Run(manifest, resume=resume) as run,
    ):
        with assemble(replace(checked, manifest=run.for_workers), fleet) as parts:
            train_until_asked(run, parts, termination)
        run.summarise()


def train_until_asked(run: Run, parts: Assembly, termination: Termination) -> None:
    """All steps that are left; or as many as there are before SIGTERM or SIGHUP, the last of them saved. Raises Terminated then."""
    termination.listen()  # Ray took the signals as it started
    run.alarms = with_gap(parts.manifest, parts.device)
    with termination.deferred():
        run.ends_on(termination)
        parts.loop.every_tick(run.stop_if_asked)
        try:
            train_to_the_end(run, parts)
        except Terminated as asked:
            raise run.leave(parts, asked) from None
        finally:
            termination.relax()


def train_to_the_end(run: Run, parts: Assembly) -> None:
    """All steps that are left, whatever becomes of the learner meanwhile."""
    lost: LearnerLost | None = None
    with rare_collections():
        while True:
            try:
                train_on(run.restore(parts) if lost is None else run.rewind(parts, lost), run, parts)
                return
            except LearnerLost as loss:
                lost = loss
                parts.scheduler.abandon()
                parts.publisher.withdraw()


def train_on(version: int, run: Run, parts: Assembly) -> None:
    """All steps that are left, from the policy version that the learner holds."""
    manifest = parts.manifest
    ahead = Ahead(manifest, parts.scheduler, run.draws, parts.questions, run.past_forks)
    parts.engines.on_version = ahead.published
    with run.phase("publish"):
        published = parts.publisher.publish(version)
    if not run.compared:
        require_agreement(version, parts)
        run.compared = True
    if not run.begun:
        run.log_start(published | _checks(0, run, parts) | {"data/unjudgeable": float(parts.sets.unjudgeable)})
    while not run.over:
        step = run.done + 1
        trees, metrics = one_step(step, run, parts, ahead)
        metrics |= run.tokens_total(metrics)
        if last := run.ends_with(step, metrics):
            ahead.end()
        with suppress(Terminated):  # the step is recorded all the same, without its checks
            metrics |= _checks(step, run, parts, last=last)
        run.record(step, trees, metrics, parts)


def one_step(step: int, run: Run, parts: Assembly, ahead: Ahead) -> tuple[list[RolloutTree], dict[str, float]]:
    """One step of method.md; returns the finished trees and the step's metrics."""
    manifest = parts.manifest
    with run.phase("grow"):
        harvest = ahead.take(step)
        trees = harvest.kept()
        grown = harvest.grown
        metrics = growth_metrics(grown, manifest.rollout.block_size) | grading_metrics(grown) | outcome_metrics(grown)
        metrics |= ending_metrics(grown, parts.markers) | allocation_metrics(harvest.allocations) | harvest.metrics()
        run.past_forks.add(grown)
    with run.phase("score"):
        metrics |= score(trees, parts)
    with run.phase("filter"):
        metrics |= filter_branches(trees, manifest)
    with run.phase("advantages"):
        longest = manifest.rollout.max_response_tokens
        metrics |= assign_advantages(trees, manifest.learner.advantage, max_response_tokens=longest, ib=manifest.ib)
    with run.phase("update"):
        metrics |= parts.learner.update(trees, step)
    with run.phase("publish"):
        metrics |= parts.publisher.publish(step)
    return trees, metrics | parts.metrics()


def score(trees: list[RolloutTree], parts: Assembly) -> dict[str, float]:
    """S_IB of every trajectory, and what went wrong in those where it is low; nothing without an estimator."""
    ib = parts.manifest.ib
    if ib.estimator == "none":
        return {}
    readings, cost = read_trees(parts.scorers, trees, ib, parts.decode, parts.loop, parts.learner.require_alive)
    return score_trees(trees, readings, cost, parts.manifest) | label_failures(trees, ib.failures, parts.decode)


def _checks(step: int, run: Run, parts: Assembly, *, last: bool = False) -> dict[str, float]:
    """How good policy version `step` is, where that is due; on held-out questions it is for the first version and the last."""
    metrics: dict[str, float] = {}
    if due(step, parts.manifest, last=last):
        with run.phase("held_out"):
            metrics |= held_out(parts, step, at_end=step == 0 or last)
    if evaluation_due(step, parts.manifest, last=last):
        with run.phase("evaluation"):
            metrics |= evaluation(parts, step)
    return metrics

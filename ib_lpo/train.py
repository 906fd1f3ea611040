"""The training loop: one step of method.md per iteration.

    grow     questions -> roots -> forks -> latents -> branches        BranchScheduler, RolloutEngines, LatentSampler
    grade    verifiable reward                                         Verifier
    score    S_IB of every trajectory                                  IBScorer
    filter   the N best branches of each root                          here
    advantages                                                         here
    update   GRPO on what was kept                                     Learner ranks (ZeRO-3)
    publish  the new weights, verified, to engines and scorer          Learner -> RolloutEngines, IBScorer

Steps count from 1; step k is grown by policy version k-1 and publishes version k. Each phase waits for the one before it: no
trajectory is older than its update.
"""

from ib_lpo.assembly import Assembly, assemble
from ib_lpo.held_out import accuracy, due
from ib_lpo.learner.advantages import assign_advantages
from ib_lpo.manifest import Manifest
from ib_lpo.run import Run
from ib_lpo.scoring.filter import filter_branches
from ib_lpo.scoring.grade import grade_trees
from ib_lpo.scoring.score import apply_scores
from ib_lpo.tree import RolloutTree


def train(manifest: Manifest, *, resume: bool = False) -> None:
    """Run the manifest from its first step, or from the newest complete checkpoint of its run directory."""
    with assemble(manifest) as parts, Run(manifest, resume=resume) as run:
        published = run.restore(parts)
        if run.done == 0:
            with run.phase("held_out"):
                first = accuracy(parts, 0)
            run.log_start(published | first)
        for step in range(run.done + 1, manifest.steps + 1):
            trees, metrics = one_step(step, run, parts)
            if due(step, manifest):
                with run.phase("held_out"):
                    metrics |= accuracy(parts, step)
            run.record(step, trees, metrics, parts)
        run.summarise()


def one_step(step: int, run: Run, parts: Assembly) -> tuple[list[RolloutTree], dict[str, float]]:
    """Steps 1 to 7 of method.md; returns the finished trees and the step's metrics."""
    with run.phase("grow"):
        trees, metrics = parts.scheduler.call("grow", step, parts.questions(step)).result()
    with run.phase("grade"):
        metrics |= grade_trees(trees, parts.grade, parts.decode) | parts.verifier.call("stats").result()
    with run.phase("score"):
        if parts.scorer is not None:
            metrics |= apply_scores(trees, parts.scorer.call("score", trees).result())
    with run.phase("filter"):
        metrics |= filter_branches(trees, parts.manifest)
    with run.phase("advantages"):
        metrics |= assign_advantages(trees, parts.manifest.learner.advantage)
    with run.phase("update"):
        metrics |= parts.learner.update(trees, step)
    with run.phase("publish"):
        metrics |= parts.learner.publish(step, parts.receivers)
    return trees, metrics

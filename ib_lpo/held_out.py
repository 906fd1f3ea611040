"""The held-out check: plain samples of the current policy, without branching and without z."""

from ib_lpo.assembly import Assembly
from ib_lpo.manifest import Manifest
from ib_lpo.scoring.grade import grade_trees
from ib_lpo.tree import Verdict


def due(step: int, manifest: Manifest) -> bool:
    """Whether a check follows `step`: every `held_out.every` steps, and after the last one."""
    every = manifest.held_out.every
    return step == manifest.steps or (every > 0 and step % every == 0)


def accuracy(parts: Assembly, version: int) -> dict[str, float]:
    """`held_out/accuracy` over all samples (unverifiable ones count as not solved), and what it rests on; empty without held-out data."""
    if not parts.sets.held_out:
        return {}
    trees = parts.scheduler.sample(version, parts.sets.held_out)
    grade_trees(trees, parts.grade, parts.decode)
    verdicts = [t.verdict for tree in trees for t in tree.trajectories]
    return {
        "held_out/accuracy": sum(v is Verdict.CORRECT for v in verdicts) / len(verdicts),
        "held_out/samples": len(verdicts),
        "held_out/unverifiable": sum(v is Verdict.UNVERIFIABLE for v in verdicts),
    }

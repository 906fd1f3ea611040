"""Whether the record of a run is whole: every batch of questions trained on once, every trajectory there once, nothing too old.

Each check returns what is wrong, one line per finding; nothing is wrong in a run that nobody disturbed.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from ib_lpo.assembly import check
from ib_lpo.data.schedule import batch_indices
from ib_lpo.manifest import Manifest
from ib_lpo.tracking import read_metrics
from ib_lpo.tree import RolloutTree, Trajectory
from ib_lpo.tree_store import read_trees

_UNREPEATABLE = ("seconds", "gb_per_s", "verifier/", "idle/", "memory/", "fleet/", "tracking/", "update/seconds")
MOST_MISMATCH = 1e-4  # nats between the log-prob that an engine sampled with and the learner's, of the same version, in fp32


def unsound(manifest: Manifest) -> list[str]:
    """What is wrong with the run in `manifest.run_dir` (its paths hold from here)."""
    lines = {line["step"]: line for line in read_metrics(manifest.run_dir / "metrics.jsonl")}
    count = Counter(line["step"] for line in read_metrics(manifest.run_dir / "metrics.jsonl"))
    found = [f"metrics.jsonl has step {step} {count[step]} times" for step in range(manifest.steps + 1) if count[step] != 1]
    found += [f"metrics.jsonl has step {step}" for step in count if not 0 <= step <= manifest.steps]
    if found:
        return found
    trees = {step: trees_of(manifest, step) for step in range(1, manifest.steps + 1)}
    found += _questions(manifest, trees)
    for step, of_step in trees.items():
        found += [f"step {step}: {problem}" for problem in _of_step(manifest, step, of_step, lines[step])]
    return found


def differences(manifest: Manifest, reference: Manifest, steps: int) -> list[str]:
    """Where the first `steps` steps of two runs are not the same bit for bit: metrics that do not depend on the clock, and trees."""
    ours, theirs = (_repeatable(one)[: steps + 1] for one in (manifest, reference))
    found = [
        f"step {a['step']}: {name} is {a.get(name)}, was {b.get(name)}"
        for a, b in zip(ours, theirs, strict=True)
        for name in sorted(a.keys() | b.keys())
        if a.get(name) != b.get(name)
    ]
    for step in range(1, steps + 1):
        if [_bits(tree) for tree in trees_of(manifest, step)] != [_bits(tree) for tree in trees_of(reference, step)]:
            found.append(f"step {step}: other trees")
    return found


def trees_of(manifest: Manifest, step: int) -> list[RolloutTree]:
    """What a step trained on."""
    return read_trees(manifest.run_dir / "trees" / f"step-{step:06d}.parquet")


def _repeatable(manifest: Manifest) -> list[dict[str, float]]:
    lines = read_metrics(manifest.run_dir / "metrics.jsonl")
    return [{name: value for name, value in line.items() if not any(word in name for word in _UNREPEATABLE)} for line in lines]


def _bits(tree: RolloutTree) -> tuple:
    return tree.question.id, [
        (
            t.id,
            t.seed,
            t.engine,
            t.reward,
            t.label,
            t.advantage,
            t.ib,
            t.spans,
            *(a.tobytes() for a in (t.token_ids, t.logprobs, t.entropies)),
        )
        for t in tree.trajectories
    ]


def _questions(manifest: Manifest, trees: dict[int, list[RolloutTree]]) -> Iterator[str]:
    """Batch s - 1 belongs to step s: a batch is drawn when a step begins to grow, and steps begin in order."""
    train = check(manifest).sets.train
    how = {"questions": len(train), "per_batch": manifest.data.questions_per_step, "seed": manifest.seed, "shuffle": manifest.data.shuffle}
    for step, of_step in trees.items():
        wanted = [train[i].id for i in batch_indices(step - 1, **how)]
        if (got := [tree.question.id for tree in of_step]) != wanted:
            yield f"step {step} trained on {got}, not on {wanted}"


def _of_step(manifest: Manifest, step: int, trees: list[RolloutTree], line: dict[str, float]) -> Iterator[str]:
    for tree in trees:
        if (got := sorted(t.id for t in tree.trajectories)) != (wanted := sorted(_ids(tree, manifest))):
            yield f"{tree.question.id} has trajectories {got}, not {wanted}"
    everyone = [t for tree in trees for t in tree.trajectories]
    yield from (f"{t.id}: {problem}" for t in everyone for problem in _of_trajectory(t, step, manifest.max_staleness))
    kept = [t for t in everyone if t.kept]
    sums = {"update/sequences": len(kept), "update/tokens": sum(t.token_ids.size for t in kept), "publish/syncs": 1}
    yield from (f"{name} is {line[name]:g}, not {value}" for name, value in sums.items() if line[name] != value)
    if not (mismatch := line.get("mismatch/max_abs", 0.0)) < MOST_MISMATCH:  # absent where no token is of the newest version
        yield f"mismatch/max_abs is {mismatch:g}: tokens were not sampled from the version they name"


def _ids(tree: RolloutTree, manifest: Manifest) -> Iterator[str]:
    """The ids of a whole tree: all roots, and K branches of each that forked; `tree.unforked` says how many did not."""
    branching = manifest.branching
    forked = {t.parent for t in tree.trajectories if t.parent is not None}
    for number in range(branching.roots):
        root = f"{tree.question.id}/r{number}"
        yield root
        if root in forked:
            yield from (f"{root}/b{k}" for k in range(branching.branches))
    yield from ("a root that forked and has no branches" for _ in range(branching.roots - len(forked) - tree.unforked))


def _of_trajectory(t: Trajectory, step: int, bound: int) -> Iterator[str]:
    versions = t.token_versions
    if versions.size != t.token_ids.size or versions.size == 0:
        yield f"{versions.size} of {t.token_ids.size} tokens have a version"
    elif not (step - 1 - bound <= versions.min() and versions.max() <= step - 1):
        yield f"tokens of versions {versions.min()} to {versions.max()} in step {step}, max_staleness {bound}"
    if np.any(np.diff(versions) < 0):
        yield "its versions go down"
    if t.verdict is None or t.ib is None:
        yield "not graded or not scored"

"""Run directories made by hand, without training: a manifest, lines of metrics, and trees of given numbers."""

import json
from pathlib import Path

import numpy as np

from ib_lpo.manifest import dump, validate
from ib_lpo.tree import Failure, FailureMode, Fork, IbScore, Question, RolloutTree, Status, Trajectory, Verdict, VersionSpan
from ib_lpo.tree_store import write_trees

REWARDS = {Verdict.CORRECT: 1.0, Verdict.WRONG: 0.0, Verdict.NO_ANSWER: 0.0, Verdict.UNVERIFIABLE: None}


def manifest(name, runs_dir, **sections):
    data = {"train": {"kind": "reasoning_gym", "name": "chain_sum", "size": 8}}
    values = {"name": name, "steps": 40, "runs_dir": str(runs_dir), "model": {"path": "nowhere"}, "data": data}
    return validate(values | sections)


def question(name):
    return Question(id=name, text=f"what is {name}?", answer="7", prompt_ids=(1, 2), answer_ids=(3,))


def trajectory(name, ids, verdict=Verdict.CORRECT, *, prefix=(), entropies=None, status=Status.FINISHED, score=None, failures=()):
    """A root, or, with a prefix, a branch that leaves the trajectory its name hangs below at the prefix's last token."""
    parent = name.rpartition("/")[0] if prefix else None
    return Trajectory(
        id=name,
        parent=parent,
        fork=Fork(position=len(prefix) - 1, entropy=1.5, candidates=2, prefix_length=len(prefix)) if prefix else None,
        seed=1,
        engine=0,
        prefix_ids=np.array(prefix, np.int32),
        token_ids=np.array(ids, np.int32),
        logprobs=np.zeros(len(ids), np.float32),
        entropies=np.array([0.25] * len(ids) if entropies is None else entropies, np.float32),
        spans=(VersionSpan(version=0, start=0, end=len(ids)),),
        status=status,
        cached_tokens=0,
        verdict=verdict,
        reward=REWARDS[verdict],
        ib=None if score is None else ib(score),
        failures=failures,
    )


def ib(score):
    return IbScore(estimator="pmi", relevance=score / 2, compression=0.1, relevance_z=score / 2, compression_z=0.0, score=score)


def failure(mode, start, end, measure):
    return Failure(mode=FailureMode(mode), start=start, end=end, measure=measure)


def tree(name, *trajectories):
    return RolloutTree(question=question(name), trajectories=list(trajectories))


def write_run(folder: Path, name: str, trees, lines=None, **sections) -> Path:
    """`trees`: by step; `lines`: of metrics.jsonl, one per step when absent."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "manifest.yaml").write_text(dump(manifest(name, folder, **sections)))
    lines = [{"step": step} for step in trees] if lines is None else lines
    (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    for step, of_step in trees.items():
        write_trees(path / "trees" / f"step-{step:06d}.parquet", of_step, step)
    return path


def random_trees(rng, step, questions=3, roots=2, branches=2):
    """Trees of mixed verdicts, lengths and entropies; questions are the same for every generator."""
    return [_random_tree(rng, f"q{step}-{number}", roots, branches) for number in range(questions)]


def _random_tree(rng, name, roots, branches):
    grown = [_random(rng, f"{name}/r{r}") for r in range(roots)]
    for root in list(grown):
        for b in range(branches):
            prefix = root.token_ids[: rng.integers(1, len(root.token_ids))].tolist()
            grown.append(_random(rng, f"{root.id}/b{b}", prefix=prefix))
    return tree(name, *grown)


def _random(rng, name, prefix=()):
    ids = rng.integers(0, 3, size=rng.integers(6, 30)).tolist()
    made = trajectory(
        name,
        ids,
        _any(rng, Verdict),
        prefix=prefix,
        entropies=rng.exponential(0.5, size=len(ids)),
        status=_any(rng, Status),
        score=float(rng.normal()),
    )
    if made.ib.score < 0 and rng.random() < 0.7:
        start = len(prefix)
        made.failures = (failure(_any(rng, FailureMode), start, start + len(ids), float(rng.normal())),)
    return made


def _any(rng, kind):
    return list(kind)[rng.integers(len(kind))]

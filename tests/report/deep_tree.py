"""A tree made by hand that is deeper and wider than the others: branches of branches, forks without their pivot, more lanes than fit."""

import numpy as np

from ib_lpo.scoring.siblings import sibling_sets
from ib_lpo.tree import Fork, Label, Question, RolloutTree, Status, Trajectory, Verdict, VersionSpan
from tests.report.made_run import made_score

ROOT = "one two three four five six seven eight nine ten"
BRANCHES = 12  # leave r0 itself
DEEP, DEEPER = "r0/b3/b0", "r0/b3/b0/b0"
TEXTS = {"r0": ROOT, DEEP: "second level", DEEPER: "third level"}


def deep_tree(tokenizer) -> RolloutTree:
    """r0 with twelve branches, `DEEP` on the fourth of them and `DEEPER` on that; no branch holds the token that it forks at."""
    rng = np.random.default_rng(0)
    question = Question(id="q-deep", text="How deep?", answer="3", prompt_ids=(5,), answer_ids=(6,))
    tree = RolloutTree(question=question, unforked_branches=2, missing_forks=1)
    made: dict[str, Trajectory] = {}
    names = [("r0", None, 0), *((f"r0/b{number}", "r0", 2 + number) for number in range(BRANCHES))]
    for name, parent, at in [*names, (DEEP, "r0/b3", 4), (DEEPER, DEEP, 3)]:
        ids = tokenizer.encode(TEXTS.get(name, "first level"))
        made[name] = _trajectory(question.id, name, np.asarray(ids, np.int32), rng, made.get(parent), at)
    tree.trajectories = list(made.values())
    _filter(tree)
    return tree


def _trajectory(question, name, ids, rng, parent, own_at) -> Trajectory:
    """Leaves `parent` at that parent's own token `own_at`, of which it keeps only what is before."""
    at = 0 if parent is None else len(parent.prefix_ids) + own_at
    verdict = Verdict.WRONG if parent is None else Verdict.CORRECT
    return Trajectory(
        id=f"{question}/{name}",
        parent=None if parent is None else parent.id,
        fork=None if parent is None else Fork(position=at, entropy=float(parent.entropies[own_at]), candidates=2, prefix_length=at),
        latent=None if parent is None else rng.normal(size=4).astype(np.float32),
        seed=7,
        engine=0,
        prefix_ids=np.zeros(0, np.int32) if parent is None else parent.response_ids[:at],
        token_ids=ids,
        logprobs=-rng.exponential(0.5, len(ids)).astype(np.float32),
        entropies=rng.exponential(0.8, len(ids)).astype(np.float32),
        spans=(VersionSpan(version=3, start=0, end=len(ids)),),
        status=Status.FINISHED,
        cached_tokens=0,
        verdict=verdict,
        reward=float(verdict is Verdict.CORRECT),
        ib=made_score(rng, at + len(ids), score=float("nan") if name == "r0" else None),
        advantage=0.0,
        label=Label.ROOT,
    )


def _filter(tree: RolloutTree) -> None:
    ranked = sorted(sibling_sets(tree, "root")[1], key=lambda t: -t.ib.score)
    for number, t in enumerate(ranked, start=1):
        t.rank, t.kept, t.label = number, number <= 4, Label.TOP if number <= 4 else Label.PRUNED

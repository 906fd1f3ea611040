"""A run directory made by hand: a byte-level tokenizer, metrics, and trees of every kind written through tree_store."""

import json
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config

from ib_lpo.manifest import Manifest, dump, validate
from ib_lpo.tree import Failure, FailureMode, Fork, IbScore, Label, Question, RolloutTree, Segment, Status, Trajectory, Verdict, VersionSpan
from ib_lpo.tree_store import write_trees

STEPS, TREES = 6, 12
DEEP_TREE = (STEPS, TREES - 1)  # step and index
TAU = 8.0
NASTY = "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'><b>bold</b>"
UNICODE = "été 中文 🙂 done"
TEMPLATE = "Question: {q}\n\n<b>Answer</b>: "
NEEDLE = "aardvark"  # in one response of one tree


def save_model(path: Path) -> PreTrainedTokenizerFast:
    """Config and a tokenizer whose tokens are bytes, plus a few words."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {"th": ("t", "h"), "the": ("th", "e"), "Ġw": ("Ġ", "w")}
    vocabulary = {piece: index for index, piece in enumerate(["<pad>", "<|end|>", *alphabet, *words])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(words.values())))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>", pad_token="<pad>")
    fast.save_pretrained(path)
    Qwen3Config(vocab_size=300, num_hidden_layers=6, hidden_size=32, num_attention_heads=2, num_key_value_heads=1).save_pretrained(path)
    return fast


def manifest(folder: Path, **values) -> Manifest:
    return validate(
        {
            "name": "made",
            "steps": STEPS,
            "runs_dir": str(folder),
            "model": {"path": str(folder / "model")},
            "data": {"template": TEMPLATE},
            "branching": {"branches": 3},
            "latent": {"kind": "normal", "untrained": True, "dim": 4, "psa": {"tau": TAU, "layers": 2}},
            "rollout": {"max_response_tokens": 512},
            **values,
        }
    )


def make_run(folder: Path, **values) -> Path:
    """Write everything under `folder` and return the run directory. Tree `DEEP_TREE` is that of deep_tree."""
    from tests.report.deep_tree import deep_tree

    tokenizer = save_model(folder / "model")
    run = folder / "made"
    run.mkdir()
    (run / "manifest.yaml").write_text(dump(manifest(folder, **values)))
    (run / "metrics.jsonl").write_text("".join(json.dumps(metrics(step)) + "\n" for step in range(STEPS + 1)))
    for step in range(1, STEPS + 1):
        trees = [make_tree(step, index, tokenizer) for index in range(TREES - (step == STEPS))]
        trees += [deep_tree(tokenizer)] * (step == STEPS)
        write_trees(run / "trees" / f"step-{step:06d}.parquet", trees, step, decode=tokenizer.decode)
    return run


def metrics(step: int) -> dict[str, float]:
    if step == 0:
        return {"step": 0, "held_out/accuracy": 0.25}
    alarm = {"loss/skipped_steps": 1.0, "alarms/skipped": 1.0} if step == 3 else {"loss/skipped_steps": 0.0, "alarms/skipped": 0.0}
    return {
        "step": step,
        "grade/reward": 0.1 * step,
        "held_out/accuracy": 0.25 + 0.1 * step,
        "grow/entropy": 1.0 / step,
        "grow/forks": 24,
        "odd/<b>name</b>": float(step),
        "seconds/grow": 2.0,
        "seconds/update": 3.0,
        **alarm,
    }


def make_tree(step: int, index: int, tokenizer: PreTrainedTokenizerFast) -> RolloutTree:
    """Root r0 with three branches and root r1 without any; tree 0 of step 1 is nasty, tree 1 unicode, tree 2 of step 2 has the needle."""
    rng = np.random.default_rng([step, index])
    kind = index % 4  # all right, all wrong, mixed, with an unverifiable branch
    special = {(1, 0): NASTY, (1, 1): UNICODE}.get((step, index), f"the sum of step {step} is {index}, what else?\nSo the way on")
    question = Question(
        id=f"q-{step}-{index}", text=f"What is {index} plus {step}? {special}", answer=str(index + step), prompt_ids=(5,), answer_ids=(6,)
    )
    tree = RolloutTree(question=question, unforked=1)
    root = trajectory(tree, "r0", tokenizer.encode(special), rng, verdict_of(kind, 0))
    tree.trajectories = [root, trajectory(tree, "r1", tokenizer.encode("nothing to say"), rng, verdict_of(kind, 1))]
    at = len(root.token_ids) // 2
    for number in range(3):
        text = NEEDLE if (step, index, number) == (2, 2, 1) else "and then it was over " * (number + 1)
        branch = trajectory(tree, f"r0/b{number}", [*tokenizer.encode(text), 1], rng, verdict_of(kind, 2 + number), root, at)
        tree.trajectories.append(branch)
    rank(tree)
    return tree


def verdict_of(kind: int, number: int) -> Verdict:
    if kind == 3 and number == 4:
        return Verdict.UNVERIFIABLE
    return {0: Verdict.CORRECT, 1: Verdict.WRONG}.get(kind, Verdict.CORRECT if number % 2 else Verdict.WRONG)


def trajectory(tree, name, ids, rng, verdict, parent=None, at=0) -> Trajectory:
    count = len(ids)
    fork = None if parent is None else Fork(position=at, entropy=float(parent.entropies[at]), candidates=3, prefix_length=at + 1)
    prefix = np.zeros(0, np.int32) if parent is None else parent.token_ids[: at + 1]
    whole = len(prefix) + count
    drift = Failure(mode=FailureMode.LOGICAL_DRIFT, start=len(prefix) + 2, end=len(prefix) + 7, measure=0.75)
    return Trajectory(
        id=f"{tree.question.id}/{name}",
        parent=None if parent is None else parent.id,
        fork=fork,
        latent=None if parent is None else rng.normal(size=4).astype(np.float32),
        seed=2**63 + int(rng.integers(1000)),
        engine=1,
        prefix_ids=prefix.astype(np.int32),
        token_ids=np.asarray(ids, np.int32),
        logprobs=-rng.exponential(0.5, count).astype(np.float32),
        entropies=rng.exponential(0.8, count).astype(np.float32),
        spans=(VersionSpan(version=7, start=0, end=count),),
        status=Status.TRUNCATED if parent is None else Status.FINISHED,
        cached_tokens=16,
        verdict=verdict,
        reward=None if verdict is Verdict.UNVERIFIABLE else float(verdict is Verdict.CORRECT),
        ib=made_score(rng, whole),
        failures=(drift,) if name == "r0/b2" else (),
        advantage=None if verdict is Verdict.UNVERIFIABLE else 0.5,
        segments=made_segments(count) if name == "r0" and verdict is not Verdict.UNVERIFIABLE else (),
        label=Label.ROOT,
    )


def made_segments(tokens: int) -> tuple[Segment, ...]:
    """The first three tokens are worth 0.25 each, the others 0.75."""
    return (Segment(start=0, end=3, advantage=0.25), Segment(start=3, end=tokens, advantage=0.75))


def made_score(rng: np.random.Generator, tokens: int, score: float | None = None) -> IbScore:
    return IbScore(
        estimator="pmi",
        relevance=0.123,
        compression=0.456,
        relevance_z=0.5,
        compression_z=-0.25,
        score=float(rng.normal()) if score is None else score,
        profile_at=(0, tokens // 2, tokens),
        profile=(0.0, 0.4, -0.2),
    )


def rank(tree: RolloutTree) -> None:
    """Ranks and labels as the filter gives them with N = 2."""
    branches = [t for t in tree.trajectories if t.parent]
    ranked = sorted((t for t in branches if t.verdict is not Verdict.UNVERIFIABLE), key=lambda t: -t.ib.score)
    for number, t in enumerate(ranked, start=1):
        t.rank, t.kept, t.label = number, number <= 2, Label.TOP if number <= 2 else Label.PRUNED
    for t in branches:
        if t.verdict is Verdict.UNVERIFIABLE:
            t.kept, t.label, t.rank = False, Label.UNVERIFIABLE, None

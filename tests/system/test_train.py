"""The main job, on real parts: Ray actors, vLLM engines, ZeRO-3 ranks, scorer and verifier, on a tiny trained policy."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import psutil
import pytest
from typer.testing import CliRunner

from ib_lpo.cli import app
from ib_lpo.tracking import read_metrics
from ib_lpo.tree import Label
from ib_lpo.tree_store import read_trees
from tests.system.conftest import REFERENCE_STEPS
from tests.system.runs import LOCAL, descendants, finish, repeatable, start, train, write_manifest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(shared):
    return shared


@pytest.fixture(scope="module")
def run(folder, reference_output):
    """The reference run: its metrics, and what it printed."""
    return read_metrics(folder / "runs" / "reference" / "metrics.jsonl"), reference_output


def trees_of(folder, name, step):
    return read_trees(folder / "runs" / name / "trees" / f"step-{step:06d}.parquet")


def test_it_learns_and_reports(run):
    lines, output = run
    assert [line["step"] for line in lines] == list(range(REFERENCE_STEPS + 1))
    assert all(line["loss/grad_norm"] > 0 for line in lines[1:])
    assert {line["step"] for line in lines if "held_out/accuracy" in line} == set(range(0, REFERENCE_STEPS + 1, 2))
    assert "held-out reward" in output
    assert "weight syncs" in output


def test_engine_and_learner_agree_at_every_published_version(run):
    """Rank shards -> buckets -> vLLM: the log-probs the engine sampled with are the learner's, with and without z."""
    lines, _ = run
    assert max(line["mismatch/max_abs"] for line in lines[1:]) < 1e-4
    assert min(line["mismatch/z_gap"] for line in lines[1:]) > 1e-3
    assert all(line["alarms/mismatch"] == 0 for line in lines[1:])
    assert [line["publish/syncs"] for line in lines] == [1] * (REFERENCE_STEPS + 1)


def test_branches_share_their_prefix(run):
    lines, _ = run
    assert sum(line["grow/forks"] for line in lines[1:]) > 10
    assert all(line["grow/cache_misses"] == 0 for line in lines[1:])


def test_trees_are_whole(run, folder):
    for step in range(1, REFERENCE_STEPS + 1):
        for tree in trees_of(folder, "reference", step):
            rewards = [t.reward for t in tree.trajectories if t.reward is not None]
            for t in tree.trajectories:
                assert t.version == step - 1
                assert t.verdict is not None
                assert t.kept == (t.label in (Label.ROOT, Label.TOP))
                assert (t.advantage is None) == (not t.kept)
                if t.kept:
                    assert t.advantage == pytest.approx(t.reward - np.mean(rewards), abs=1e-6)
            for root in tree.roots:
                kept = [b for b in tree.branches(root) if b.kept]
                assert len(kept) == (2 if tree.branches(root) else 0)


def test_scores_decisions_and_failures_are_stored_with_each_trajectory(run, folder):
    lines, _ = run
    for line in lines[1:]:
        trees = trees_of(folder, "reference", line["step"])
        everyone = [t for tree in trees for t in tree.trajectories]
        for t in everyone:
            assert t.ib.estimator == "pmi"
            assert t.ib.score == pytest.approx(2 * t.ib.relevance_z - t.ib.compression_z)
            assert t.ib.profile[-1] == pytest.approx(t.ib.relevance, abs=1e-4)
            assert (t.rank is None) == (t.label not in (Label.TOP, Label.PRUNED))
            assert all(len(t.prefix_ids) <= f.start < f.end <= len(t.response_ids) and t.ib.score < 0 for f in t.failures)
        assert line["failure/low"] == sum(t.ib.score < 0 for t in everyone)
        assert 0 < line["ib/token_share"] < 0.5


def test_every_generated_token_of_a_kept_trajectory_is_trained_once(run, folder):
    lines, _ = run
    for line in lines[1:]:
        trees = trees_of(folder, "reference", line["step"])
        assert line["update/tokens"] == sum(t.token_ids.size for tree in trees for t in tree.kept)


def test_ctrl_c_stops_everything_and_says_how_to_go_on(folder):
    """That a run which is ended and resumed is the same bit for bit: test_chaos.py."""
    manifest = write_manifest(folder, name="interrupted")
    process = start(folder, manifest)
    marker = folder / "runs" / "interrupted" / "checkpoints" / "step-000002" / "complete"
    deadline = time.monotonic() + 300
    while not marker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    children = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    code, output = finish(process, 120)
    assert code == 130, output
    assert "--resume" in output
    _, alive = psutil.wait_procs(children, timeout=60)
    assert not alive
    assert len(repeatable(folder, "interrupted")) < 7


IN_PROCESS = {
    "local": (),
    "no-latent": ("latent.kind=none",),
    "grpo": ("branching.branches=0", "branching.roots=4", "ib.estimator=none", "ib.self_reward=none"),
    "rate-by-prompt": ("ib.estimator=rate", "ib.self_reward=both", "filter.scope=prompt"),
    "advantage-entropy": ("ib.estimator=advantage_entropy", "ib.scorer=none"),
    "reference-scorer": ("ib.scorer=reference", "ib.estimator=answer_entropy", "latent.psa.layers=1", "latent.offpolicy=none"),
}


@pytest.fixture(scope="module")
def in_process(folder):
    """All of them, two at a time: each keeps one core busy."""
    with ThreadPoolExecutor(2) as pool:
        manifests = {name: write_manifest(folder, name=name, steps=2) for name in IN_PROCESS}
        return {name: pool.submit(train, folder, manifests[name], *LOCAL, *of) for name, of in IN_PROCESS.items()}


@pytest.mark.parametrize("name", IN_PROCESS)
def test_in_process(folder, in_process, name):
    """`cluster.mode: local`: the same code without Ray, and the controls."""
    in_process[name].result()
    lines = repeatable(folder, name)
    assert [line["step"] for line in lines] == [0, 1, 2]
    assert max(line["mismatch/max_abs"] for line in lines[1:]) < 1e-4
    assert all(line["loss/grad_norm"] > 0 for line in lines[1:])
    if name in ("no-latent", "grpo"):
        assert all(line["mismatch/z_gap"] == 0 for line in lines[1:])
    if name == "grpo":
        assert all(line["grow/branches"] == 0 and line["filter/pruned"] == 0 for line in lines[1:])
    if name == "rate-by-prompt":
        kept = [sum(t.label is Label.TOP for t in tree.trajectories) for step in (1, 2) for tree in trees_of(folder, name, step)]
        assert max(kept) == 4 and all(line["advantage/self_reward"] > 0 for line in lines[1:])
    if name == "advantage-entropy":
        assert all("ib/tokens_per_trajectory" not in line and line["ib/scored"] > 0 for line in lines[1:])


def test_a_gold_answer_that_does_not_parse_stops_the_run_before_its_first_step(folder, monkeypatch):
    monkeypatch.chdir(folder)
    lines = (folder / "train.jsonl").read_text().splitlines()
    (folder / "damaged.jsonl").write_text("\n".join([*lines[:3], '{"question": "1+1", "answer": "\\\\frac{2"}', *lines[3:]]))
    manifest = str(write_manifest(folder, name="damaged"))
    result = CliRunner().invoke(app, ["train", manifest, *LOCAL, "data.train.path=damaged.jsonl"])
    assert result.exit_code == 2, result.output
    assert "1 gold answers cannot be judged against (question damaged-3: '\\\\frac{2')" in result.output
    assert not (folder / "runs" / "damaged").exists()


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (("model.path=nowhere",), "model.path='nowhere'"),
        (("data.train.answer_column=gold",), "gold"),
        (("rollout.max_response_tokens=400",), "rollout.max_response_tokens=400"),
        (("cluster.cpus=1",), "the Ray cluster has 1"),
        (("data.questions_per_step=99",), "data.questions_per_step=99"),
        (("latent.psa.layers=7",), "latent.psa.layers=7"),
        (("verifier.reward=nowhere.rewards:f",), "verifier.reward='nowhere.rewards:f'"),
        (("rollout.max_response_tokens=222", "data.answer_lead=" + "=" * 60), "scored with its gold answer it may take"),
        (("ib.scorer=none",), "ib.scorer=none: ib.estimator=pmi needs a scoring model"),
    ],
)
def test_bad_input_is_one_clear_error_and_writes_nothing(folder, overrides, complaint, monkeypatch):
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["train", str(write_manifest(folder, name="bad")), *overrides])
    assert result.exit_code == 2, result.output
    assert complaint in result.output
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (folder / "runs" / "bad").exists()

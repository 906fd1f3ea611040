"""PSA, entropies and publishing on vLLM's V2 model runner, which GPUs use, against the reference that the V1 runner is held to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rollout.serving import BLOCK

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 300


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    command = [sys.executable, "-m", "tests.rollout.v2_interpreter", str(tmp_path_factory.mktemp("v2"))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def largest(errors: dict[str, tuple[float, float]]) -> float:
    return max(max(pair) for pair in errors.values())


def test_it_was_the_v2_runner_with_the_psa_state(report):
    assert "vllm.v1.worker.gpu.model_runner.GPUModelRunner" in report["runner"]
    assert report["state"] == "ib_lpo.rollout.plugin.runner_v2.PsaModelState"


def test_branches_match_the_reference_through_a_chunked_prefill(report):
    assert report["prefill_chunks"]["p1b0"] > 1
    assert largest(report["fresh"]) < 1e-4


def test_branches_match_from_the_cache_and_repeat_their_tokens(report):
    assert report["cached_tokens"]["p1b0"] == report["cached_tokens"]["p1b1"] == 96 // BLOCK * BLOCK
    assert largest(report["cached"]) < 1e-4
    fresh, cached = report["token_ids"]
    assert fresh == cached


def test_a_nucleus_is_sampled_within_it_and_leaves_the_entropies_those_of_the_raw_distribution(report):
    assert largest(report["nucleus"]) < 1e-4
    assert max(logprob for logprob, _ in report["nucleus_ignored"].values()) > 0.05
    assert max(entropy for _, entropy in report["nucleus_ignored"].values()) < 1e-4


def test_branches_match_after_a_preemption(report):
    assert largest(report["preempted"]) < 1e-4


def test_branches_match_the_published_weights(report):
    assert largest(report["published"]) < 1e-4


def test_branches_go_on_across_a_commit_and_every_token_is_that_of_its_version(report):
    assert report["spans"] and all(versions == [1, 2] for versions in report["spans"].values())
    assert max(report["across"].values()) < 1e-4


def test_the_checks_would_notice_a_lost_z_and_a_lost_publish(report):
    """Held against the wrong reference, the very generations that pass above fail."""
    assert set(report["z_ignored"]) == {"p0b0", "p1b0"}
    assert all(logprob > 0.05 for logprob, _ in report["z_ignored"].values())
    assert all(logprob > 0.05 for logprob, _ in report["weights_ignored"].values())

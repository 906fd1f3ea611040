"""SIGTERM to a real run on Ray: a checkpoint, exit code 143, and the run that goes on is the one that was never asked, bit for bit."""

import signal
import time

import pytest

from ib_lpo.checkpoints.directory import complete
from ib_lpo.tracking import read_metrics
from tests.system.conftest import REFERENCE_STEPS
from tests.system.runs import finish, repeatable, start, train, write_manifest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_a_run_that_is_asked_to_end_saves_and_goes_on(shared, reference_output):
    manifest = write_manifest(shared, name="asked", steps=REFERENCE_STEPS, checkpoint={"every": 9})
    process = start(shared, manifest)
    record, ends = shared / "runs" / "asked" / "metrics.jsonl", time.monotonic() + 300
    while len(read_metrics(record)) < 4 and process.poll() is None and time.monotonic() < ends:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    code, output = finish(process)
    done = read_metrics(record)[-1]["step"]
    assert code == 143 and f"step {done} of {REFERENCE_STEPS} is saved, go on with --resume" in output
    assert "Traceback" not in output
    assert [found.step for found in complete(shared / "runs" / "asked" / "checkpoints")] == [done]
    assert f"from step {done}" in train(shared, manifest, "--resume")
    assert repeatable(shared, "asked") == repeatable(shared, "reference")
    assert "is finished" in train(shared, manifest, "--resume")

"""What the files share: a folder with a tiny policy and questions, and one undisturbed run."""

import pytest

from tests.system.runs import train, write_manifest
from tests.system.tiny_policy import save_task

REFERENCE_STEPS = 18


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("system")
    save_task(folder)
    return folder


@pytest.fixture(scope="session")
def reference_output(shared):
    """What the run in runs/reference printed: 2 engines, 2 ranks, a checkpoint every 2 steps."""
    return train(shared, write_manifest(shared, name="reference", steps=REFERENCE_STEPS))

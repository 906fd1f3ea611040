"""Ranks and a trained run, for as long as the tests of checkpoints run."""

import pytest

from tests.checkpoints.processes import Groups


@pytest.fixture(scope="session")
def ranks():
    groups = Groups()
    yield groups
    groups.close()


@pytest.fixture(scope="session")
def run(ranks, tmp_path_factory):
    from tests.checkpoints.training import TrainedRun

    return TrainedRun(ranks, tmp_path_factory.mktemp("trained"))

"""What several learner tests start."""

import pytest

from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.ray import RayFleet
from tests.learner.zero_ranks import Ranks


@pytest.fixture(scope="module")
def ranks():
    """Two real ranks, for as long as a module runs: test_ranks has a fleet of its own."""
    fleet = RayFleet(ClusterConfig(cpus=2, call_deadline_s=120))
    yield Ranks(fleet)
    fleet.shutdown()

"""One Ray for the tests of a file, which is gone after them: whoever starts Ray in this process later gets one of its own."""

import pytest

from ib_lpo.fleet.config import ClusterConfig
from ib_lpo.fleet.ray import RayFleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory):
    fleet = RayFleet(ClusterConfig(cpus=2, call_deadline_s=60), tmp_path_factory.mktemp("logs"))
    yield fleet
    fleet.shutdown()

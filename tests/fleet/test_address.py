"""Nothing that a private run starts can be reached from another machine."""

import os

import psutil
import pytest

from ib_lpo.fleet.address import LOOPBACK, listen, node_address
from ib_lpo.learner import zero
from tests.fleet.listening import outward
from tests.learner.zero_ranks import Ranks


def test_without_ray_it_is_this_machine_alone():
    with listen(LOOPBACK) as listener:
        assert listener.getsockname()[0] == LOOPBACK
        assert (LOOPBACK, listener.getsockname()[1]) not in outward()
    with listen("0.0.0.0") as listener:
        assert ("0.0.0.0", listener.getsockname()[1]) in outward(), "the probe sees what it looks for"


def opened(rank):
    """What a rank of a group knows of where it is."""
    own = [c.laddr.ip for c in psutil.Process().net_connections(kind="tcp") if c.status == psutil.CONN_LISTEN]
    return node_address(), zero.free_endpoint()[0], os.environ["GLOO_SOCKET_IFNAME"], len(own)


@pytest.mark.slow
def test_learner_ranks_meet_on_the_loopback_interface(fleet):
    found = Ranks(fleet).run(opened)
    assert {one[:3] for one in found} == {(LOOPBACK, LOOPBACK, "lo")}
    assert all(one[3] > 1 for one in found), "beside Ray's there is a socket of the group"
    assert outward(own=False) == []

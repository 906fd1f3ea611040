"""Every policy test runs on each architecture."""

import pytest

from tests.policy.tiny import ARCHITECTURES, tiny_policy


@pytest.fixture(params=sorted(ARCHITECTURES))
def policy(request):
    return tiny_policy(request.param)

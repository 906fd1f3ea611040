"""What tests of a run start with."""

import signal

import pytest


@pytest.fixture(autouse=True)
def signals_as_at_start():
    """A terminal or nohup may have told this process to ignore SIGHUP, which a run respects."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)

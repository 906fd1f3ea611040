"""What the workers of these tests are."""

import os
import sys
import time

from ib_lpo.errors import UserError
from ib_lpo.fleet.base import DataFailure

SECRET = "a-very-secret-value"  # of FLEET_TEST_TOKEN


class Echo:
    def pid(self):
        return os.getpid()

    def say(self, value, delay=0.0):
        time.sleep(delay)
        return value

    def variable(self, name):
        return os.environ.get(name)

    def moan(self, text):
        print(text, file=sys.stderr)

    def moan_and_wait(self, text):
        """By a process of its own, as a C library would."""
        os.system(f"echo {text} >&2")
        time.sleep(600)

    def fail(self, text="inner"):
        print("about to fail", file=sys.stderr)
        raise KeyError(text)

    def refuse(self, kind):
        raise {"user": UserError, "data": DataFailure}[kind](f"{kind}: not like this; do that")

    def abort(self):
        os.abort()


class Stillborn:
    def __init__(self, error):
        raise error

    def ready(self):
        return True


class Asker:
    """A worker that waits for other workers."""

    def __init__(self, fleet, others):
        self.fleet, self.others = fleet, others

    def first(self):
        pending = [other.call("say", i, 0.5 * (len(self.others) - i)) for i, other in enumerate(self.others)]
        return self.fleet.wait_any(pending).result()

    def pass_on(self, method):
        return self.others[0].call(method).result()


class Counter:
    """A service with something to be prepared."""

    def __init__(self):
        self.base = None

    def set(self, base):
        self.base = base

    def add(self, number):
        return self.base + number

    def pid(self):
        return os.getpid()

    def fail(self):
        raise RuntimeError("always")

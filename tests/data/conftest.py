"""What the tests of data share."""

import pytest

from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.verifier import Verifier


@pytest.fixture(scope="package")
def verifier():
    made = Verifier(VerifierConfig())
    yield made
    made.close()

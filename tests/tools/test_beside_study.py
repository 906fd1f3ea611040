"""One run beside the results of a study."""

import re
from dataclasses import replace

import pytest
from beside_study import beside

from ib_lpo.errors import UserError
from ib_lpo.study.record import Result


def curve(*points):
    return [{"step": i, "tokens": tokens, "seconds": 0.0, "held_out/accuracy": value} for i, (tokens, value) in enumerate(points)]


def result(variant, *points):
    blank = {name: None for name in Result.__dataclass_fields__}
    return replace(Result(**blank), variant=variant, processor="some processor", curve=curve(*points))


STUDY = [
    result("grpo", (0, 0.2), (100, 0.4)),
    result("grpo", (0, 0.3), (100, 0.6)),
    result("forks", (0, 0.3), (80, 0.5)),
]


def test_all_are_compared_at_the_tokens_that_every_curve_reaches():
    line = beside(curve((0, 0.25), (200, 0.65)), STUDY)
    assert line.startswith("held-out accuracy 0.25 -> 0.41 after 80 generated tokens; 3 runs of the study there: ")
    assert re.search(r"grpo 0\.36 to 0\.54, forks 0\.50 to 0\.50 \(some processor\)$", line)


def test_nothing_to_compare_is_an_error():
    with pytest.raises(UserError, match="no results"):
        beside(curve((0, 0.2)), [])
    with pytest.raises(UserError, match="no held-out check"):
        beside([], STUDY)

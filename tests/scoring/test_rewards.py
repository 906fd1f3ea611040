"""Rewards are found by name, loaded in grading processes, and cannot hurt more than their own item."""

import sys

import pytest

from ib_lpo.errors import UserError
from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG, Cause, Grade, unverifiable
from ib_lpo.scoring.rewards.find import RewardNotFound, load, locate
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Verdict
from tests.scoring import plugins
from tests.scoring.plugins import HERE


def config(name: str, **settings) -> VerifierConfig:
    return VerifierConfig(**({"reward": f"{HERE}:{name}", "deadline_s": 20.0} | settings))


@pytest.fixture
def verifier(request):
    made = Verifier(config(**request.param))
    made.ready()
    yield made
    made.close()


@pytest.fixture
def distribution(tmp_path, monkeypatch):
    """An installed package that offers two rewards."""
    info = tmp_path / "offering-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: offering\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ib_lpo.rewards]\nlengthy = offering:lengthy\nvague = offering\n")
    (tmp_path / "offering.py").write_text("def lengthy(response, answer):\n    return float(len(response) > int(answer))\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_locating_imports_nothing(distribution):
    assert locate("math") == "ib_lpo.scoring.rewards.math:REWARD"
    assert locate("lengthy") == "offering:lengthy"
    assert locate("tests.scoring.raising_plugin:anything.at.all") == "tests.scoring.raising_plugin:anything.at.all"
    assert "offering" not in sys.modules and "tests.scoring.raising_plugin" not in sys.modules


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("maths", r"neither a built-in reward nor an entry point.*math.*package\.module:attribute; correct the name, or install"),
        ("no_such_package.rewards:mine", r"no package 'no_such_package' to import no_such_package\.rewards:mine from; install it, or put"),
        ("a b:c d!", "nor a path"),
        ("", "nor a path"),
        ("vague", "nor a path"),
    ],
)
def test_a_name_that_is_nothing_is_the_users_error_at_once(name, says, distribution):
    with pytest.raises(RewardNotFound, match=says) as caught:
        Verifier(VerifierConfig(reward=name))
    assert isinstance(caught.value, UserError) and "verifier.reward" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        (f"{HERE}:nothing", r"tests\.scoring\.plugins has no 'nothing'; correct verifier\.reward"),
        (f"{HERE}:digits.nothing", "has no 'nothing'"),
        (f"{HERE}:NUMBER", "is int, but a reward is a callable"),
        (f"{HERE}:Digits", "is a class, but a reward is a callable"),
        ("tests.scoring.no_such_module:mine", r"No module named 'tests\.scoring\.no_such_module'; install what is missing"),
    ],
)
def test_what_only_importing_tells_is_said_as_clearly(path, says):
    with pytest.raises(RewardNotFound, match=says):
        load(path)


@pytest.mark.parametrize(
    ("path", "says"),
    [(f"{HERE}:nothing", "has no 'nothing'"), ("tests.scoring.raising_plugin:mine", r"importing it raised RuntimeError\('this module")],
)
def test_a_grading_process_that_cannot_load_it_says_so_to_the_user(path, says):
    verifier = Verifier(VerifierConfig(reward=path))
    with pytest.raises(RewardNotFound, match=says):
        verifier.ready()
    verifier.close()


def test_an_entry_point_grades(distribution):
    verifier = Verifier(VerifierConfig(reward="lengthy", deadline_s=20.0))
    assert verifier.grade([("long enough", "3"), ("no", "3")]) == [CORRECT, WRONG]
    verifier.close()


@pytest.mark.parametrize("verifier", [{"name": "partial"}], indirect=True)
def test_partial_credit_keeps_its_value_to_the_last_bit(verifier):
    grades = verifier.grade([("red green blue", "red green blue"), ("red", "red green blue"), ("grey", "red green blue")])
    assert grades == [CORRECT, Grade(Verdict.WRONG, None, 1 / 3), WRONG]


@pytest.mark.parametrize("verifier", [{"name": "mixed", "deadline_s": 3.0, "memory_mb": 64, "workers": 2}], indirect=True)
def test_whatever_a_reward_does_costs_only_its_item(verifier, capfd):
    does = ["fine", "hang", "third", "raise", "none", "exit", "fine", "nan", "two", "hog", "swallow", "silent", "raise", "fine"]
    grades = verifier.grade([(response, "7") for response in does])
    error, memory = unverifiable(Cause.REWARD_ERROR), unverifiable(Cause.MEMORY)
    expected = {
        "fine": CORRECT,
        "third": Grade(Verdict.WRONG, None, 1 / 3),
        "hang": unverifiable(Cause.OVERRUN),
        "raise": error,
        "nan": error,
        "two": error,
        "none": unverifiable(Cause.UNDECIDED),
        "exit": unverifiable(Cause.CRASH),
        "hog": memory,
        "swallow": memory,
        "silent": NO_ANSWER,
    }
    assert grades == [expected[response] for response in does]
    stats = verifier.stats()
    counted = {"reward_error": 4, "undecided": 1, "overrun": 1, "crash": 1, "memory": 2, "correct": 3, "wrong": 1, "no_answer": 1}
    assert {name: stats[f"verifier/{name}"] for name in counted} == counted
    shown = capfd.readouterr()
    assert "verifier.reward=tests.scoring.plugins:mixed" in shown.err and "stdout" not in shown.out + shown.err


@pytest.mark.parametrize("verifier", [{"name": "digits", "deadline_s": 1.0, "workers": 2}], indirect=True)
def test_gold_answers_are_put_to_the_reward(verifier):
    assert verifier.check_gold(["7", "x", "hang", "8", "raise", "7", "x"]) == [1, 2, 4, 6]


@pytest.mark.parametrize("verifier", [{"name": "ends_with"}], indirect=True)
def test_a_reward_without_accepts_takes_every_gold(verifier):
    assert verifier.check_gold(["7", "", "x" * 100_000]) == []


@pytest.mark.parametrize("verifier", [{"name": "ends_with"}], indirect=True)
def test_a_reward_sees_the_whole_texts(verifier):
    long = "".join(map(str, range(200_000)))
    assert verifier.grade([(long, long), (long, long[1:] + "x")]) == [CORRECT, WRONG]


def test_a_reward_may_return_the_answer():
    verifier = Verifier(config("last_line"))
    found = verifier.grade([("so\nblue = \u03b1 whale", "blue = \u03b1 whale"), ("7\n", "8"), ("x" * 901, "7"), ("so\n=", "7")])
    verifier.close()
    assert [grade.answer for grade in found] == ["blue = \u03b1 whale", "7", None, "="]
    assert [grade.verdict for grade in found] == [Verdict.CORRECT, Verdict.WRONG, Verdict.UNVERIFIABLE, Verdict.WRONG]


def test_what_the_plugins_do_is_what_they_say():
    assert plugins.partial("a b", "a c") == 0.5 and plugins.digits.accepts("7") and not plugins.digits.accepts("x")

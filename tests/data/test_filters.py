"""Stages one by one, with the real verifier, tokenizer and language model; every candidate is kept or counted."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.config import LanguageConfig, PrepareConfig
from ib_lpo.data.preparation.filters import FILTERS
from ib_lpo.data.preparation.filters.duplicates import ACROSS, CONTRADICTORY, WITHIN
from ib_lpo.data.preparation.filters.language import UNDECIDED, identifier, prose
from ib_lpo.data.preparation.filters.lengths import TOO_LONG_PROMPT
from ib_lpo.data.preparation.filters.verifiable import REASON
from ib_lpo.data.preparation.stage import Context
from ib_lpo.data.sources import Row
from ib_lpo.errors import UserError
from ib_lpo.manifest import validate
from tests.system.tiny_policy import save_tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    save_tokenizer(path)
    return path


@pytest.fixture
def run(verifier, model, tmp_path):
    """Stage, questions and the `prepare` section to the outcome; checks that every candidate is accounted for."""

    def run(stage: str, candidates: list[Candidate], benchmarks: dict[str, list[Row]] | None = None, reward: str = "math", **prepare):
        values = {"name": "t", "steps": 1, "model": {"path": str(model)}, "data": {"template": "{q}"}, "rollout": {"max_prompt_tokens": 30}}
        manifest = validate(values | {"prepare": prepare, "verifier": {"reward": reward}})
        grading = verifier if reward == "math" else None  # of another reward there is none to ask
        context = Context(manifest=manifest, verifier=grading, benchmarks=benchmarks or {}, folder=tmp_path)
        outcome = FILTERS[stage](candidates, context)
        if outcome is not None:
            assert len(outcome.kept) + sum(outcome.dropped.values()) == len(candidates)
            assert [c for c in candidates if c in outcome.kept] == outcome.kept
        return outcome

    return run


def candidates(*questions: str, answers: list[str] | None = None, source: str = "s") -> list[Candidate]:
    given = answers or ["1"] * len(questions)
    return [
        Candidate(id=f"{source}/{i}", source=source, question=question, answer=answer, solution="")
        for i, (question, answer) in enumerate(zip(questions, given, strict=True))
    ]


def test_stages_that_are_off_say_so(run):
    off = {"verifiable": False, "deduplicate": False, "language": None, "lengths": None, "contamination": None}
    assert [name for name in FILTERS if run(name, candidates("q"), **off) is not None] == []


def test_answers_that_cannot_be_judged_against_go(run):
    outcome = run("verifiable answer", candidates("a", "b", "c", answers=["7", "\\frac{", "x^2"]))
    assert [c.id for c in outcome.kept] == ["s/0", "s/2"] and outcome.dropped == {REASON: 1}
    assert outcome.details["examples"] == [{"id": "s/1", "answer": "\\frac{"}]


def test_duplicates_within_and_across_sources(run):
    ours = candidates("What is $x + 1$?", "what is x+1", "Other", answers=["1/2", "0.5", "3"])
    theirs = candidates("What is  x+1 ?", "New", answers=["\\frac12", "4"], source="t")
    outcome = run("duplicates", ours + theirs)
    assert [c.id for c in outcome.kept] == ["s/0", "s/2", "t/1"]
    assert outcome.dropped == {WITHIN: 1, ACROSS: 1}


def test_contradictory_answers_take_all_with_them(run):
    outcome = run("duplicates", candidates("Q?", "q", "Q", "R", answers=["1", "1", "2", "3"]))
    assert [c.id for c in outcome.kept] == ["s/3"] and outcome.dropped == {CONTRADICTORY: 3}
    assert outcome.details["contradictory"][0]["answers"] == {"s/0": "1", "s/1": "1", "s/2": "2"}


def test_answers_are_compared_as_mathematics_whatever_the_reward_is(run):
    given = candidates("Q", "q", "R", "r", answers=["1/2", "0.5", "1", "2"])
    assert [c.id for c in run("duplicates", given, reward="another:one").kept] == ["s/0"]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["a", "A ", "b", "$b$", "c"]), st.sampled_from(["1", "2"])), max_size=8))
def test_deduplication_leaves_one_of_each_and_does_it_once(run, pairs):
    given = candidates(*(question for question, _ in pairs), answers=[answer for _, answer in pairs])
    kept = run("duplicates", given).kept
    groups: dict[str, set[str]] = {}
    for question, answer in pairs:
        groups.setdefault(question.strip(" $").lower(), set()).add(answer)
    assert {c.question.strip(" $").lower() for c in kept} == {name for name, answers in groups.items() if len(answers) == 1}
    assert len(kept) == sum(len(answers) == 1 for answers in groups.values())
    assert run("duplicates", kept).kept == kept


ENGLISH = "Find the sum of all positive integers $n$ such that $\\frac{n}{2}$ is a prime number."
GERMAN = "Bestimme die Summe aller positiven ganzen Zahlen $n$, für die $\\frac{n}{2}$ eine Primzahl ist."
CHINESE = "求所有正整数 $n$ 的和"


def test_other_languages_go_and_what_cannot_be_told_stays(run):
    outcome = run("language", candidates(ENGLISH, GERMAN, CHINESE, "Compute $2^{10}$.", "$1+1=$"))
    assert [c.id for c in outcome.kept] == ["s/0", "s/3", "s/4"]
    assert outcome.dropped == {"in de": 1, "in zh": 1} and outcome.noted == {UNDECIDED: 2}
    assert [c.id for c in run("language", candidates(ENGLISH, GERMAN, CHINESE), language={"keep": ["de", "zh"]}).kept] == ["s/1", "s/2"]


def test_scripts_tell_chinese_japanese_and_korean():
    tell = identifier(LanguageConfig())
    assert [tell(text) for text in (CHINESE, "正の整数の和を求めよ", "모든 양의 정수의 합", ENGLISH + " 和")] == ["zh", "ja", "ko", "en"]


def test_prose_has_no_maths():
    assert prose("Let $x_1$, \\(y\\) and \\[z\\] be \\alpha 12; \\$5 for \\begin{align}a&=b\\end{align} us.") == "Let and be for us"


def test_an_unknown_language_code_is_one_line(run):
    with pytest.raises(UserError, match=r"prepare\.language\.known: xx: no language codes"):
        run("language", candidates(ENGLISH), language={"known": ["en", "xx"]})
    with pytest.raises(UserError, match=r"keep=\['fi'\]: must name one or more"):
        run("language", candidates(ENGLISH), language={"keep": ["fi"]})


def test_lengths_are_tokens(run):
    given = candidates("a", "aaaa", "aaaaaaaa", "a" * 31)
    outcome = run("lengths", given, lengths={"min_question_tokens": 2, "max_question_tokens": 7})
    assert [c.id for c in outcome.kept] == ["s/1"]
    assert outcome.dropped == {"question under 2 tokens": 1, "question over 7 tokens": 2}
    assert run("lengths", given, lengths={}).dropped == {TOO_LONG_PROMPT: 1}
    solved = [replace(given[0], solution="aaaa"), replace(given[1], solution="aaaaa"), given[2]]
    outcome = run("lengths", solved, lengths={"max_solution_tokens": 4})
    assert [c.id for c in outcome.kept] == ["s/0", "s/2"] and outcome.dropped == {"solution over 4 tokens": 1}


def test_lengths_without_a_tokenizer_are_one_line(run, model, tmp_path, monkeypatch):
    monkeypatch.setattr("ib_lpo.data.preparation.stage.load_tokenizer", _no_tokenizer)
    with pytest.raises(UserError, match=r"no tokenizer; or set prepare\.lengths=null") as caught:
        run("lengths", candidates("a"))
    assert "\n" not in str(caught.value)


def _no_tokenizer(model):
    raise UserError("no tokenizer")


LONG = " ".join(f"word{chr(97 + i)}" for i in range(20))
BENCHMARKS = {"one": [Row("b0", f"Please: {LONG}.", "1"), Row("b1", "2 + 2?", "4")], "two": [Row("c0", LONG, "1")]}


def test_overlap_is_dropped_or_reported(run):
    given = candidates("Nothing.", f"First {LONG}", "2+2", "2-2")
    outcome = run("contamination", given, BENCHMARKS)
    assert [c.id for c in outcome.kept] == ["s/0", "s/3"] and outcome.dropped == {"overlap with one": 2}
    reported = run("contamination", given, BENCHMARKS, contamination={"action": "report"})
    assert reported.kept == given and reported.noted == {"overlap with one": 2}
    assert reported.details["benchmarks"] == outcome.details["benchmarks"]
    report = outcome.details["benchmarks"]
    assert {name: (of["questions"], of["overlapped"], of["training_questions"]) for name, of in report.items()} == {
        "one": (2, 2, 2),
        "two": (1, 1, 1),
    }
    example = next(one for one in report["one"]["examples"] if one["benchmark"] == "b0")
    assert (example["training"], example["in_common"]) == ("s/1", " ".join(LONG.split()[:13])) and 0.8 < example["share_of_ngrams"] < 1


STOCK = "where m and n are relatively prime positive integers find the value of m plus n"


def test_a_stock_phrase_is_reported_and_takes_no_question(run):
    benchmark = {"one": [Row("b0", f"A frog jumps over many lilies on a pond every morning {STOCK}", "1")]}
    given = candidates(f"Two circles meet at a point that lies far from both {STOCK}", "Nothing")
    outcome = run("contamination", given, benchmark)
    assert outcome.kept == given and not outcome.dropped and outcome.noted == {"share a phrase with one": 1}
    report = outcome.details["benchmarks"]["one"]
    assert (report["training_questions"], report["training_questions_below_min_share"]) == (0, 1)
    assert 0 < report["examples"][0]["share_of_ngrams"] < 0.5
    assert run("contamination", given, benchmark, contamination={"min_share": 0.0}).dropped == {"overlap with one": 1}


def test_the_section_is_checked():
    with pytest.raises(ValueError, match=r"must end in \.parquet"):
        PrepareConfig(out="questions.jsonl")
    with pytest.raises(ValueError, match="no pass rate lies between"):
        PrepareConfig(difficulty={"low": 0.5, "high": 0.5})

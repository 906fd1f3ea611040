"""Summaries, records and tables, from outcomes written by hand."""

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console

from ib_lpo.data.questions import QuestionSets
from ib_lpo.data.sources import DataError
from ib_lpo.errors import UserError
from ib_lpo.evaluation.benchmarks import Benchmark, require_golds, without_benchmarks
from ib_lpo.evaluation.outcome import Outcome, Sample, digest, outcomes
from ib_lpo.evaluation.published import published
from ib_lpo.evaluation.record import Record
from ib_lpo.evaluation.results import shown, write_results
from ib_lpo.evaluation.summary import summarise
from ib_lpo.manifest import load, validate
from ib_lpo.scoring.answer_classes import MOST_COMPARISONS, classed, comparing, merged
from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.grades import CORRECT, NO_ANSWER, WRONG
from ib_lpo.tree import Question, Status, Verdict


def question(id, answer="3"):
    return Question(id=id, text=f"text {id}", answer=answer, prompt_ids=(1, 2), answer_ids=(3,))


QUESTIONS = [question("a"), question("b", "5")]
BENCHMARK = Benchmark(name="sums", questions=QUESTIONS, samples=2, ks=(1, 2))


def sample(verdict, answer=None, tokens=10, status=Status.FINISHED):
    return Sample(text="t", tokens=tokens, status=status, verdict=verdict, reward=None, answer=answer, answer_class=answer)


def outcome(asked, *samples, **diversity):
    return Outcome(question=asked.id, digest=digest(asked), samples=list(samples), diversity=diversity)


FOUND = [
    outcome(QUESTIONS[0], sample(Verdict.CORRECT, "3"), sample(Verdict.WRONG, "4", tokens=20), spread=0.5),
    outcome(QUESTIONS[1], sample(Verdict.UNVERIFIABLE, "x"), sample(Verdict.NO_ANSWER, tokens=30, status=Status.TRUNCATED)),
]


def summary():
    return summarise(BENCHMARK, FOUND, resamples=200, seed=0)


def test_every_question_counts():
    s = summary()
    means = {name: e.mean for name, e in s.estimates.items()}
    assert means == {
        "avg": 0.25,
        "pass@1": 0.25,
        "pass@2": 0.5,
        "maj@1": 0.25,
        "maj@2": 0.25,
        "tokens": 17.5,
        "truncated": 0.25,
        "diversity/spread": 0.5,
    }
    assert (s.questions, s.unverifiable, s.no_answer) == (2, 1, 1)
    assert (s.estimates["pass@2"].low, s.estimates["pass@2"].high) == (0.0, 1.0)


@pytest.mark.parametrize("found", [FOUND[:1], FOUND[::-1], [FOUND[0], outcome(QUESTIONS[1], sample(Verdict.WRONG))]])
def test_an_incomplete_benchmark_has_no_summary(found):
    with pytest.raises(ValueError, match="a benchmark is summarised whole"):
        summarise(BENCHMARK, found, resamples=10, seed=0)


def grade(items):
    """Equal numbers are equal; a response without a box has no answer."""
    asked = [(text.partition("\\boxed{")[2].rstrip("}"), gold) for text, gold in items]
    return [NO_ANSWER if not said else CORRECT if float(said) == float(gold) else WRONG for said, gold in asked]


def test_outcomes_hold_verdicts_and_one_spelling_per_answer():
    texts = [["\\boxed{4.0}", "\\boxed{3.0}", "none", "\\boxed{3}"], ["\\boxed{5}"] * 4]
    statuses = [[Status.FINISHED] * 3 + [Status.TRUNCATED]] * 2
    first, second = outcomes(QUESTIONS, texts, [[1, 2, 3, 4]] * 2, statuses, grade, grade)
    assert [s.verdict for s in first.samples] == [Verdict.WRONG, Verdict.CORRECT, Verdict.NO_ANSWER, Verdict.CORRECT]
    assert [s.answer for s in first.samples] == ["4.0", "3.0", None, "3"]
    assert [s.answer_class for s in first.samples] == ["4.0", "3.0", None, "3.0"]
    assert [s.tokens for s in first.samples] == [1, 2, 3, 4] and first.samples[3].status is Status.TRUNCATED
    assert second.solved == [True] * 4 and second.question == "b"


def graded_by(verdicts):
    return lambda items: [verdicts[text] for text, _ in items]


def summary_of(texts, verdicts):
    statuses = [[Status.FINISHED] * 2] * 2
    return summarise(BENCHMARK, outcomes(QUESTIONS, texts, [[1, 1]] * 2, statuses, graded_by(verdicts), grade), resamples=10, seed=0)


def test_without_any_answer_there_is_no_majority():
    verdicts = {"good": CORRECT, "bad": WRONG}
    s = summary_of([["good", "bad"], ["bad", "bad"]], verdicts)
    assert (s.estimates["pass@1"].mean, s.estimates["maj@1"], s.estimates["maj@2"], s.no_answer) == (0.25, None, None, 4)
    s = summary_of([["good", "bad"], ["bad", "none"]], verdicts | {"none": NO_ANSWER})  # says of one that it has none
    assert s.estimates["maj@1"].mean == 0.0


def test_an_answer_that_the_reward_returns_has_a_vote():
    verdicts = {"good": CORRECT._replace(answer="3"), "bad": WRONG._replace(answer="4"), "\\boxed{3}": WRONG._replace(answer="4")}
    s = summary_of([["good", "bad"], ["bad", "\\boxed{3}"]], verdicts)
    assert (s.estimates["maj@1"].mean, s.estimates["maj@2"].mean, s.no_answer) == (0.25, 0.25, 0)


def test_the_verifier_is_not_asked_about_different_integers():
    asked = []

    def counted(items):
        asked.extend(items)
        return grade(items)

    assert merged([["3", "4", "03", None, "3.0"], ["7"]], counted) == [["3", "4", "3", None, "3"], ["7"]]
    assert sorted(asked) == [("\\boxed{03}", "3"), ("\\boxed{3.0}", "3")]


def test_answers_are_compared_with_one_of_each_class_and_only_so_often():
    asked = []

    def alike(items):
        asked.extend(items)
        return [CORRECT if text[7] == gold[0] else WRONG for text, gold in items]

    first = [f"{letter}{i}" for i in range(3) for letter in "xyz"]
    many = [f"{chr(1000 + i)}" for i in range(200)]
    (small, large), left = classed([first, many], alike)
    assert small == ["x0", "y0", "z0"] * 3 and large == many
    assert left[0] == 0 and len([gold for _, gold in asked if gold in first]) == 8 + 5 + 2
    done = 200 - left[1]
    assert sum(199 - i for i in range(done)) <= MOST_COMPARISONS < sum(199 - i for i in range(done + 1))


def test_a_reward_of_the_users_does_not_say_which_answers_are_the_same():
    def always(items):
        return [CORRECT] * len(items)

    answers = [["4", "x+5", "5+x"]]
    with comparing(VerifierConfig(), always) as compare:
        assert merged(answers, compare) == [["4", "4", "4"]]
    with comparing(VerifierConfig(reward="json:loads"), always) as compare:
        assert merged(answers, compare) == [["4", "x+5", "x+5"]]


def without_texts(found):
    return replace(found, samples=[replace(sample, text="") for sample in found.samples])


def test_a_record_keeps_what_was_finished(tmp_path):
    record = Record(tmp_path, BENCHMARK)
    record.add(FOUND[1])
    with (tmp_path / "samples" / "sums.jsonl").open("a") as file:
        file.write('{"question": "a", "sam')
    again = Record(tmp_path, BENCHMARK)
    first, second = map(without_texts, FOUND)
    assert (again.left, again.outcomes(), again.done) == ([QUESTIONS[0]], [second], {"b"})
    again.add(FOUND[0])
    assert again.outcomes() == Record(tmp_path, BENCHMARK).outcomes() == [first, second]
    lines = (tmp_path / "samples" / "sums.jsonl").read_text().splitlines()
    assert [json.loads(line)["samples"][0]["text"] for line in lines] == ["t", "t"]
    with pytest.raises(ValueError, match="question a twice"):
        again.add(FOUND[0])


def test_a_record_of_other_questions_or_damaged_is_refused(tmp_path):
    Record(tmp_path, BENCHMARK).add(FOUND[0])
    other = Benchmark(name="sums", questions=[question("a", "4"), QUESTIONS[1]], samples=2, ks=(1,))
    with pytest.raises(UserError, match="question a is not what the benchmark sums has now"):
        Record(tmp_path, other)
    path = tmp_path / "samples" / "sums.jsonl"
    path.write_text("nonsense\n" + path.read_text())
    with pytest.raises(UserError, match=r"sums\.jsonl:1: damaged"):
        Record(tmp_path, BENCHMARK)


def manifest(model="Qwen/Qwen2.5-7B", **evaluation):
    benchmark = {"source": {"kind": "file", "path": "x.jsonl"}, "published": "MATH-500"}
    values = {"name": "t", "steps": 1, "model": {"path": model}, "latent": {"kind": "none"}}
    return validate(values | {"evaluation": {"benchmarks": {"sums": benchmark}, "samples": 2} | evaluation})


def test_n_is_among_the_ks():
    found = {n: manifest(samples=n).evaluation.ks_of("sums") for n in (1, 8, 10)}
    assert found == {1: (1,), 8: (1, 8), 10: (1, 8, 10)}
    assert manifest(samples=10, ks=[4]).evaluation.ks_of("sums") == (4,)


def printed(settings):
    console = Console(width=200, record=True, file=io.StringIO())
    for table in shown(settings, [summary()]):
        console.print(table)
    return console.export_text()


def test_the_papers_numbers_stand_in_their_own_columns(tmp_path):
    text = printed(manifest())
    assert "54.4 / 58.4 / 661" in text and "81.5 / 90.5 / 1,080" in text and "25.0 / - / 18" in text
    assert "paper: GRPO" in text and "paper: I2B-LPO" in text and "its own runs on Qwen2.5-7B" in text
    write_results(tmp_path, manifest(), [summary()])
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["benchmarks"]["sums"]["estimates"]["avg"]["mean"] == 0.25
    assert {one["pass_at_k"] for one in results["published"]["results"]} == {58.4, 90.5}
    assert "| sums | 16 | 25.0 / - / 18 | 54.4 / 58.4 / 661 | 81.5 / 90.5 / 1,080 |" in (tmp_path / "results.md").read_text()


def test_another_model_stands_beside_the_paper_only_when_asked_and_is_named():
    assert "paper" not in printed(manifest("smollm2"))
    assert "ours is ANOTHER model, smollm2" in printed(manifest("smollm2", published_model="Qwen3-14B"))
    assert "ANOTHER" not in printed(manifest("/models/Qwen3-14B"))


def test_what_is_not_complete_is_named_and_has_no_numbers(tmp_path):
    write_results(tmp_path, manifest(), [])
    assert json.loads((tmp_path / "results.json").read_text())["benchmarks"] == {"sums": {"benchmark": "sums", "complete": False}}


def test_published_results_have_a_name_each_in_the_manifest():
    assert len(published()) == 16
    for one in published():
        settings = manifest(benchmarks={"x": {"source": {}, "published": one.benchmark}}, published_model=one.model)
        assert settings.evaluation.benchmarks["x"].published == one.benchmark and one.pass_at_1 <= one.pass_at_k
    ours = load("configs/eval/math.yaml").evaluation
    asked = {(name, one.published, one.samples) for name, one in ours.benchmarks.items()}
    assert {(published, n) for _, published, n in asked if published} == {(one.benchmark, one.k) for one in published()}


def test_training_questions_of_a_benchmark_are_left_out():
    sets = QuestionSets([question("a"), question("c"), question("d")], [], 2)
    settings = validate({"name": "t", "steps": 1, "model": {"path": "m"}, "data": {"questions_per_step": 2}})
    kept = without_benchmarks(sets, [BENCHMARK], settings)
    assert ([q.id for q in kept.train], kept.overlap) == (["c", "d"], 3)
    spelt = replace(QUESTIONS[1], id="B", text="Text  $b$.")
    assert [q.id for q in without_benchmarks(sets._replace(train=[spelt, *sets.train]), [BENCHMARK], settings).train] == ["c", "d"]
    with pytest.raises(DataError, match="0 of 1 questions are left after removing those of the benchmarks"):
        without_benchmarks(sets._replace(train=[question("b")]), [BENCHMARK], settings)


def test_bad_golds_stop_or_stay(capsys):
    stopping = validate({"name": "t", "steps": 1, "model": {"path": "m"}})
    with pytest.raises(DataError, match=r"1 gold answers cannot be judged against \(sums question b: '5'\)"):
        require_golds([BENCHMARK], [1], stopping)
    require_golds([BENCHMARK], [1], stopping.model_copy(update={"data": stopping.data.model_copy(update={"bad_answers": "drop"})}))
    assert "their questions count as not solved" in capsys.readouterr().out

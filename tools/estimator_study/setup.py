"""The manifests of the study, and its questions. Everything runs in this process, without branching and without z."""

from pathlib import Path

from estimator_study.prompt import worked_template
from ib_lpo.data.config import SourceConfig
from ib_lpo.data.questions import load_questions
from ib_lpo.manifest import Manifest, validate
from ib_lpo.policy.load import load_tokenizer
from ib_lpo.tree import Question

TEMPERATURE = 0.7
WORKED = {"template": worked_template(), "chat": False}
ROLLOUT = {"max_prompt_tokens": 640, "max_response_tokens": 320, "max_running": 64, "kv_cache_gb": 3.0}


def manifest(model: Path, *, estimator: str = "pmi", samples: int = 1, **sections: dict) -> Manifest:
    """The defaults of a run but for a frozen scorer; `sections` (of the manifest) are merged last."""
    values = {
        "name": "study-estimators",
        "steps": 1,
        "model": {"path": str(model)},
        "data": {"questions_per_step": 1},
        "held_out": {"samples": samples, "temperature": TEMPERATURE},
        "rollout": ROLLOUT,
        "branching": {"branches": 0},
        "latent": {"kind": "none"},
        "ib": {"estimator": estimator, "scorer": "reference", "failures": {"points": 0}, "self_reward": "none"},
        "filter": {"keep": 0},
        "learner": {"ranks": 1},
        "cluster": {"mode": "local"},
    }
    for name, section in sections.items():
        values[name] = values[name] | section
    return validate(values)


def questions(path: Path, run: Manifest, count: int | None = None) -> list[Question]:
    """The first `count` questions of a .jsonl file with id, question and answer, tokenised as the manifest asks for."""
    source = SourceConfig(kind="file", path=path, id_column="id", size=count)
    return load_questions(source, run.data, load_tokenizer(run.model), max_prompt_tokens=run.rollout.max_prompt_tokens)

"""A tiny random policy, and worked solutions whose second line nothing before it tells: a latent that explains it must carry it. Or all
of it does, so that no latent can tell more."""

import json
import random
import string
from pathlib import Path
from typing import Literal

import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from ib_lpo.manifest import Manifest, validate
from tests.policy.tiny import tiny_policy

SYMBOLS = "wxyz"
LENGTH = 8  # of a second line


def save_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """One token per character, plus " b" and ".c" merged from two, as vocabularies merge across the ends of steps."""
    pieces = [*string.ascii_lowercase, "Ġ", "Ċ", "č", "?", ".", "+", "=", *string.digits, "Ġb", ".c"]
    core = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [("Ġ", "b"), (".", "c")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<end>")
    tokenizer.save_pretrained(directory)
    return tokenizer


def save_model(directory: Path, architecture: str = "llama") -> Path:
    """Model and tokenizer."""
    tiny_policy(architecture).save_pretrained(directory)
    save_tokenizer(directory)
    return directory


def save_solutions(path: Path, count: int = 120, symbol: Literal["drawn", "constant", "asked"] = "drawn") -> Path:
    """The second line repeats a symbol: drawn for each solution, always the same, or the one that the question names."""
    rng = random.Random(0)
    letters = string.ascii_lowercase[:12]
    rows = []
    for i in range(count):
        question, drawn = f"{''.join(rng.choices(letters, k=4))}{i}?", rng.choice(SYMBOLS)
        question = f"{drawn * 4}{question}" if symbol == "asked" else question
        line = (SYMBOLS[0] if symbol == "constant" else drawn) * LENGTH
        rows.append({"question": question, "answer": "1", "solution": f"so\n{line}"})
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def values(folder: Path, **fit) -> dict:
    """Of a manifest whose model and solutions lie in `folder`."""
    source = {"kind": "file", "path": str(folder / "solutions.jsonl"), "solution_column": "solution"}
    return {
        "name": "toy",
        "steps": 1,
        "runs_dir": str(folder / "runs"),
        "model": {"path": str(folder / "model")},
        "data": {"train": source, "template": "{q}", "questions_per_step": 1},
        "latent": {"kind": "normal", "untrained": True, "dim": 4, "psa": {"layers": "all", "k_slots": 2, "init_std": 0.3}},
        "latent_fit": {"steps": 120, "every": 60, "hidden": 32, "lr": 0.02, "free_bits": 0.1, "held_out": 32} | fit,
        "tracking": {"wandb": "disabled"},
        "cluster": {"mode": "local"},
        "rollout": {"engines": 1},
        "learner": {"ranks": 1},
    }


def manifest(folder: Path, **fit) -> Manifest:
    return validate(values(folder, **fit))


def write_manifest(folder: Path, **fit) -> Path:
    path = folder / "toy.yaml"
    path.write_text(yaml.safe_dump(values(folder, **fit)))
    return path

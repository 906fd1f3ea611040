"""A tiny Qwen3 that answers one-digit questions with a random digit after some babble: groups have mixed rewards at once."""

import json
import random
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

LETTERS = "abcdefgh0123456789 +=?.:Q"
TEXT = ["<pad>", "<eos>", "\\", "boxed", "{", "}", *LETTERS]


def save_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    vocabulary = {("Ġ" if piece == " " else piece): i for i, piece in enumerate(TEXT)}
    vocabulary |= {c: len(vocabulary) + i for i, c in enumerate(c for c in "oxd" if c not in vocabulary)}
    vocabulary |= {"bo": len(vocabulary), "box": len(vocabulary) + 1, "boxe": len(vocabulary) + 2}
    merges = [("b", "o"), ("bo", "x"), ("box", "e"), ("boxe", "d")]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")
    fast.save_pretrained(path)
    return fast


def save_policy(path: Path, seed: int = 0) -> None:
    """Write model and tokenizer; a few seconds of training make it babble, box a digit from 0 to 3 and stop."""
    tokenizer = save_tokenizer(path)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    config = Qwen3Config(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        eos_token_id=1,
        pad_token_id=0,
    )
    model = Qwen3ForCausalLM(config).float()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(120):
        rows = [tokenizer(_example(rng))["input_ids"] + [1] for _ in range(16)]
        width = max(map(len, rows))
        ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        logits = model(ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), ignore_index=0)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(path)


def _example(rng: random.Random) -> str:
    babble = "".join(rng.choice("abcdefgh ") for _ in range(rng.randint(10, 30)))
    return f"Q: {rng.randint(0, 9)}+{rng.randint(0, 9)}=?{babble}\\boxed{{{rng.randint(0, 3)}}}"


def save_task(folder: Path, *, train: int = 40, held_out: int = 12) -> None:
    """A policy, and as many questions of either kind."""
    save_policy(folder / "model")
    save_questions(folder / "train.jsonl", train, seed=1)
    save_questions(folder / "held_out.jsonl", held_out, seed=2)


def save_questions(path: Path, count: int, seed: int) -> None:
    rng = random.Random(seed)
    rows = [{"question": f"{rng.randint(0, 9)}+{rng.randint(0, 9)}", "answer": str(rng.randint(0, 3))} for _ in range(count)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))

"""A tokenizer of words with special tokens and a chat template, and a model's configuration files, for tests."""

import json
from pathlib import Path

from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<unk>", "<bos>", "<eos>", "<|turn|>", "<|end|>", "<|other|>"]
WORDS = ["user", "assistant", "think", "ENDOFTHISTURN", "?", "one", "two", "answer", "no"]
CHAT = (
    "{{ bos_token }}{% for m in messages %}<|turn|>{{ m.role }} {{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant{% if enable_thinking is defined and not enable_thinking %} no think{% endif %}"
    "{% endif %}"
)


def word_tokenizer(template: str | None = CHAT, *, bos: bool = False, eos: bool = False) -> PreTrainedTokenizerFast:
    """Words split at whitespace; `bos`, `eos`: whether it puts these around every text by itself."""
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*SPECIAL, *WORDS])}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    around = f"{'<bos> ' if bos else ''}$A{' <eos>' if eos else ''}"
    tokenizer.post_processor = processors.TemplateProcessing(single=around, special_tokens=[("<bos>", 1), ("<eos>", 2)])
    names = {"unk_token": "<unk>", "bos_token": "<bos>", "eos_token": "<eos>"}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=SPECIAL[3:], **names)
    fast.chat_template = template
    return fast


def save_configs(directory: Path, *, config: object = None, generation: object = None, vocab_size: int = 15) -> None:
    """config.json and, unless `generation` is null, generation_config.json with these end tokens."""
    values = {"model_type": "qwen2", "vocab_size": vocab_size, "eos_token_id": config, "bos_token_id": None}
    (directory / "config.json").write_text(json.dumps(values))
    if generation is not None:
        (directory / "generation_config.json").write_text(json.dumps({"eos_token_id": generation}))

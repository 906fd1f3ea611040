"""Questions as the tokens that a model answers to.

Invariant: a prompt begins with one BOS at most, and never ends with an EOS that the tokenizer put there: what follows an end is another
text. What stands in `data.template` or the chat template by the user's own choice stays.
"""

from collections.abc import Sequence
from typing import Any

from jinja2 import TemplateError

from ib_lpo.data.config import DataConfig
from ib_lpo.data.sources import DataError


def prompt_tokens(questions: list[str], data: DataConfig, tokenizer: Any) -> list[list[int]]:
    """Prompts under `data.template` and the chat template where `data.chat` asks for it. `tokenizer`: of transformers.

    Raises DataError for a malformed template, and for arguments that the chat template does not know.
    """
    try:
        prompts = [data.template.format(q=question) for question in questions]
    except (KeyError, IndexError, ValueError) as error:
        raise DataError(
            f"data.template={data.template!r}: malformed ({error!r}); write {{q}} for the question and double other braces"
        ) from None
    if data.chat:
        _require_known(data, tokenizer)
    found = _chats(prompts, data, tokenizer) if data.chat and tokenizer.chat_template else _plain(prompts, tokenizer)
    return [_with_one_start(ids, tokenizer.bos_token_id) for ids in found]


def _chats(prompts: Sequence[str], data: DataConfig, tokenizer: Any) -> list[list[int]]:
    chats = [[{"role": "user", "content": prompt}] for prompt in prompts]
    how = {"add_generation_prompt": True, "tokenize": True, "return_dict": False}
    try:
        return tokenizer.apply_chat_template(chats, **data.chat_template_kwargs, **how)
    except (TemplateError, TypeError, ValueError) as error:
        raise DataError(
            f"data.chat=true, data.chat_template_kwargs={data.chat_template_kwargs}: the model's chat template failed on a question "
            f"({' '.join(str(error).split())[:200]}); change the arguments, or set data.chat=false"
        ) from None


def _plain(prompts: Sequence[str], tokenizer: Any) -> list[list[int]]:
    """With what the tokenizer puts before a text, and without what it puts behind."""
    if not prompts:
        return []
    texts = [*prompts, "?"]  # the last says what stands before an empty one
    whole, bare = tokenizer(texts)["input_ids"], tokenizer(texts, add_special_tokens=False)["input_ids"]
    starts = [_start(around, ids) for around, ids in zip(whole, bare, strict=True)]
    *kept, _ = [around[: (start if ids else starts[-1]) + len(ids)] for around, ids, start in zip(whole, bare, starts, strict=True)]
    return kept


def _start(around: list[int], ids: list[int]) -> int:
    """Where in `around` its part `ids` begins."""
    return next((start for start in range(len(around) - len(ids) + 1) if around[start : start + len(ids)] == ids), 0)


def _with_one_start(ids: list[int], bos: int | None) -> list[int]:
    while bos is not None and ids[:2] == [bos, bos]:
        ids = ids[1:]
    return ids


def _require_known(data: DataConfig, tokenizer: Any) -> None:
    """Raise DataError for arguments that would change nothing: a misspelt one leaves thinking on."""
    template = tokenizer.chat_template
    for name in data.chat_template_kwargs:
        if not template:
            raise DataError(f"data.chat_template_kwargs.{name}: the tokenizer has no chat template; remove it, or set data.chat=false")
        if name not in str(template):
            raise DataError(f"data.chat_template_kwargs.{name}: the model's chat template does not use it; remove it or check its spelling")

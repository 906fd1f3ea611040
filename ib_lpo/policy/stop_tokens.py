"""The tokens that end a response.

Models say it in four places, and seldom in all of them: a base model with a chat template ends its turns with a token that its
configurations do not name, and then every response runs to its limit. So the union counts, unless `rollout.stop_tokens` says otherwise.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from jinja2 import TemplateError
from transformers import GenerationConfig, PreTrainedTokenizerBase

from ib_lpo.errors import UserError
from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.load import load_config

Ends = dict[int, list[str]]  # by id, ascending: who names it
_TURN = "ENDOFTHISTURN"  # an answer that no template changes


def stop_tokens(model: ModelConfig, chosen: Sequence[int | str] | None, tokenizer: PreTrainedTokenizerBase) -> Ends:
    """The tokens that end a response; `chosen`: rollout.stop_tokens, null for the union of what the model says. May be empty.

    Raises UserError for a chosen one that is no token of the model.
    """
    if chosen is None:
        return end_tokens(model, tokenizer)
    size = load_config(model).vocab_size
    return {_id_of(one, tokenizer, size): ["rollout.stop_tokens"] for one in chosen}


def end_tokens(model: ModelConfig, tokenizer: PreTrainedTokenizerBase) -> Ends:
    """The union of config.json, generation_config.json, the tokenizer and its chat template's end of a turn, as far as the model's
    vocabulary goes."""
    config = load_config(model)
    named = {
        "config.json": _ids(config.eos_token_id),
        "generation_config.json": _ids(_generation_config(model)),
        "tokenizer": _ids(tokenizer.eos_token_id),
        "chat template": _ids(turn_end(tokenizer)),
    }
    found: Ends = defaultdict(list)
    for who, ids in named.items():
        for token in ids:
            if 0 <= token < config.vocab_size:
                found[token].append(who)
    return dict(sorted(found.items()))


def turn_end(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """The special token that the chat template puts right behind an answer; None without a template, or when it puts none there."""
    if not tokenizer.chat_template:
        return None
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": _TURN}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except (TemplateError, ValueError, TypeError, KeyError):  # a template for other conversations says nothing of this one
        return None
    _, found, behind = text.rpartition(_TURN)
    ids = tokenizer(behind.strip(), add_special_tokens=False)["input_ids"] if found else []
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return ids[0] if ids and ids[0] in special else None


def markers(ends: Iterable[int], tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that no response has in its middle: ends and the tokenizer's special tokens."""
    return frozenset({*ends, *tokenizer.all_special_ids})


def describe_stop_tokens(ends: Mapping[int, Sequence[str]], tokenizer: PreTrainedTokenizerBase) -> str:
    """For the start of a run: each token with its id and who names it."""
    if not ends:
        return "no token ends a response: all run to rollout.max_response_tokens; name the model's in rollout.stop_tokens"
    each = (f"{tokenizer.convert_ids_to_tokens(token)!r} ({token}; {', '.join(who)})" for token, who in ends.items())
    return f"responses end at {', '.join(each)}"


def _id_of(one: int | str, tokenizer: PreTrainedTokenizerBase, size: int) -> int:
    ids = [one] if isinstance(one, int) else tokenizer(one, add_special_tokens=False)["input_ids"]
    if len(ids) != 1 or not 0 <= ids[0] < size or ids[0] == tokenizer.unk_token_id:
        raise UserError(
            f"rollout.stop_tokens: {one!r} is not one token of the model, whose ids are 0 to {size - 1}; give an id, or the text of a "
            "single token such as <|im_end|>"
        )
    return ids[0]


def _generation_config(model: ModelConfig) -> int | list[int] | None:
    try:
        return GenerationConfig.from_pretrained(model.path, revision=model.revision).eos_token_id
    except OSError:  # a model directory need not have one
        return None


def _ids(said: int | Sequence[int] | None) -> list[int]:
    return [] if said is None else [said] if isinstance(said, int) else list(said)

"""Lengths of questions, worked solutions and prompts, in tokens of the model that will be trained."""

from collections.abc import Sequence

from ib_lpo.data.preparation.candidates import Candidate
from ib_lpo.data.preparation.config import LengthConfig
from ib_lpo.data.preparation.stage import Context, Outcome, sift
from ib_lpo.data.prompts import prompt_tokens
from ib_lpo.errors import UserError

TOO_LONG_PROMPT = "prompt above rollout.max_prompt_tokens"


def lengths(candidates: Sequence[Candidate], context: Context) -> Outcome | None:
    """Drops what lies outside a bound of `prepare.lengths`. Raises UserError when the model's tokenizer cannot be loaded."""
    config = context.manifest.prepare.lengths
    if config is None or not (config.fit_prompt or _bounds(config)):
        return None
    try:
        tokenizer = context.tokenizer
    except UserError as error:
        raise UserError(f"{error}; or set prepare.lengths=null, which counts no tokens") from None
    reasons: dict[str, str] = {}

    def check(part: str, texts: dict[str, str], low: int | None, high: int | None) -> None:
        if not texts or (low is None and high is None):
            return
        for identity, ids in zip(texts, tokenizer(list(texts.values()), add_special_tokens=False)["input_ids"], strict=True):
            if low is not None and len(ids) < low:
                reasons.setdefault(identity, f"{part} under {low} tokens")
            if high is not None and len(ids) > high:
                reasons.setdefault(identity, f"{part} over {high} tokens")

    check("question", {c.id: c.question for c in candidates}, config.min_question_tokens, config.max_question_tokens)
    check("solution", {c.id: c.solution for c in candidates if c.solution}, config.min_solution_tokens, config.max_solution_tokens)
    if config.fit_prompt:
        for identity in too_long(candidates, context):
            reasons.setdefault(identity, TOO_LONG_PROMPT)
    kept, dropped = sift(candidates, lambda candidate: reasons.get(candidate.id))
    return Outcome(kept=kept, dropped=dropped)


def too_long(candidates: Sequence[Candidate], context: Context) -> list[str]:
    """Ids of candidates whose prompt training would refuse."""
    data, limit = context.manifest.data, context.manifest.rollout.max_prompt_tokens
    if not candidates:
        return []
    prompts = prompt_tokens([candidate.question for candidate in candidates], data, context.tokenizer)
    return [candidate.id for candidate, prompt in zip(candidates, prompts, strict=True) if len(prompt) > limit]


def _bounds(config: LengthConfig) -> bool:
    values = (config.min_question_tokens, config.max_question_tokens, config.min_solution_tokens, config.max_solution_tokens)
    return any(value is not None for value in values)

"""Engine and learner compared before the first step.

They compute one model in two implementations. Where these differ (a share of rotary dimensions, a scaling of positions that one of them
does not know), every importance weight of the run would be wrong, so the run is refused. Compared are log-probs of a few sampled responses,
z-free; with scaled positions also behind a prompt as long as the run allows, as some scalings begin beyond the original length.
"""

from dataclasses import replace

from transformers import PretrainedConfig

from ib_lpo.assembly import Assembly
from ib_lpo.branching.scheduler import PlainSampling
from ib_lpo.errors import UserError
from ib_lpo.learner.gap import most_gap
from ib_lpo.policy.load import load_config
from ib_lpo.tree import Question, RolloutTree

_PROMPTS = 4
_TOKENS = 32  # of each response


def require_agreement(version: int, parts: Assembly) -> None:
    """Raise UserError when the mean |difference of log-probs| of engine and learner is above `learner.max_logprob_gap`, or not finite."""
    manifest = parts.manifest
    tokens = min(_TOKENS, manifest.rollout.max_response_tokens)
    how = PlainSampling(purpose="agreement", samples=1, temperature=manifest.rollout.temperature, max_response_tokens=tokens)
    config = load_config(manifest.model)
    trees = parts.scheduler.sample(version, compared(parts.sets.train, config, longest=_longest_prompt(parts, tokens)), how)
    found = parts.learner.compare(trees, version)
    mean, largest, limit = found["mismatch/mean_abs"], found["mismatch/max_abs"], most_gap(manifest, parts.device)
    if mean <= limit:  # not of NaN
        return
    raise UserError(
        f"model.path={manifest.model.path!r}: engine and learner compute it differently: mean |difference of log-probs| {mean:.2g} nats, "
        f"largest {largest:.2g}, over {_tokens_of(trees)} sampled tokens; learner.max_logprob_gap={limit:g}. {_advice(config)}"
    )


def compared(questions: list[Question], config: PretrainedConfig, *, longest: int) -> list[Question]:
    """The questions whose prompts are asked: the first few, and with scaled positions one more of `longest` tokens, theirs repeated."""
    few = questions[:_PROMPTS]
    if scaling(config) is None:
        return few
    ids = [token for question in few for token in question.prompt_ids]
    repeated = (ids * (1 + longest // max(1, len(ids))))[:longest]
    return [*few, replace(few[0], id=f"{few[0].id} repeated", prompt_ids=tuple(repeated))]


def scaling(config: PretrainedConfig) -> str | None:
    """How positions are scaled; None: they are not."""
    kind = (getattr(config, "rope_parameters", None) or {}).get("rope_type", "default")
    return None if kind == "default" else kind


def _longest_prompt(parts: Assembly, tokens: int) -> int:
    rollout = parts.manifest.rollout
    return rollout.max_prompt_tokens + rollout.max_response_tokens - tokens


def _tokens_of(trees: list[RolloutTree]) -> int:
    return sum(root.token_ids.size for tree in trees for root in tree.roots)


def _advice(config: PretrainedConfig) -> str:
    rotary = getattr(config, "rope_parameters", None) or {}
    unusual = [f"{key}={value}" for key, value in rotary.items() if key != "rope_theta" and (key, value) != ("rope_type", "default")]
    about = f"Its config.json has {', '.join(unusual)}, which vLLM may compute otherwise" if unusual else "Its config.json may ask for more"
    return f"{about}; use a model that both compute alike, or learner.dtype=float32, before raising the limit"

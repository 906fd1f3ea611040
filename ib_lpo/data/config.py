"""Settings of the questions."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from ib_lpo.section import Section

_OF_TOKENISATION = frozenset(
    {"conversation", "messages", "chat_template", "add_generation_prompt", "continue_final_message", "tokenize", "padding", "truncation"}
    | {"max_length", "return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"}
)


class SourceConfig(Section):
    """One set of questions."""

    kind: Literal["reasoning_gym", "file", "hub"] = "reasoning_gym"
    """A reasoning-gym generator, a local .jsonl/.parquet/.csv file, or a Hugging Face hub dataset."""
    name: str = "chain_sum"
    """Generator name, or hub dataset id."""
    path: Path | None = None
    """The file of `kind: file`."""
    config: str | None = None
    """Hub configuration name."""
    revision: str | None = None
    """Hub revision (commit, tag or branch); null: the newest."""
    split: str = "train"
    """Hub split; `train[:500]` and the like are understood."""
    skip: int = Field(0, ge=0)
    """Rows to pass over before the first that is taken, so that one file serves two purposes."""
    size: int | None = Field(None, ge=1)
    """Number of questions to take; required for generators."""
    seed: int = 0
    """Seed of a generator."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of a generator, passed on as they are."""
    question_column: str = "question"
    """Column with the question. This and the other columns may lead into nested cells: `prompt.0.content` is `content` of the first item of
    `prompt`, unless there is a column of just that name."""
    question_pattern: str | None = None
    """Regular expression whose group 1 is the question within its cell, which is free of instructions then; null: the whole cell."""
    answer_column: str | None = "answer"
    """Column with the gold answer, or with a solution that ends in it (`\\boxed{...}` or `#### ...`); null: there are no gold answers."""
    solution_column: str | None = None
    """Column with a worked solution, for `ib-lpo latent fit`; of a generator: the key in its items' metadata, such as answer_cot."""
    id_column: str | None = None
    """Column with a unique id per question; row numbers serve when absent."""


class DataConfig(Section):
    """Questions for training and for the held-out check."""

    train: SourceConfig = SourceConfig(size=1024)
    held_out: SourceConfig | None = None
    """Held-out questions, never trained on."""
    template: str = "{q}\nPlease reason step by step, and put your final answer within \\boxed{{}}."
    """Prompt around a question; `{q}` is the question, literal braces are doubled."""
    chat: bool = True
    """Wrap the prompt with the tokenizer's chat template where it has one."""
    chat_template_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Arguments of the chat template, such as `enable_thinking: false` of Qwen3, which otherwise thinks before it answers."""
    bad_answers: Literal["error", "drop"] = "error"
    """What happens when a gold answer cannot be judged against: the run stops and names the question, or goes on without and counts it."""
    answer_lead: str = "\n"
    """Stands between a response, cut before its final answer, and the gold answer where I(r;a) is scored; not scored itself."""
    answer_hint: str = "\n(The final answer is {a}.)"
    """Follows the question where the scoring model is shown the gold answer `{a}` (estimator answer_entropy); braces are doubled."""
    questions_per_step: int = Field(32, ge=1)
    """Questions of one training step."""
    batches_per_step: int = Field(1, ge=1)
    """Dynamic sampling (DAPO): most batches of questions_per_step questions that a step may draw to fill itself with questions whose
    rewards differ; 1: off, the step trains on the one batch as it is."""
    shuffle: bool = True
    """Shuffle anew in every epoch, seeded by the manifest."""

    @field_validator("chat_template_kwargs")
    @classmethod
    def _are_of_the_template(cls, given: dict[str, Any]) -> dict[str, Any]:
        if taken := sorted(_OF_TOKENISATION & given.keys()):
            raise ValueError(f"{taken[0]} is no argument of a chat template, but of its tokenisation, which is fixed; remove it")
        return given


class HeldOutConfig(Section):
    """The held-out check during training: plain samples, no branching and no z."""

    every: int = Field(0, ge=0)
    """Steps between checks; 0: only before the first and after the last step."""
    samples: int = Field(1, ge=1)
    """Answers per held-out question."""
    samples_at_end: int | None = Field(None, ge=1)
    """Answers per held-out question in the first check and the last, at least `samples`, so that pass@16 is cheap;
    null: `samples`."""
    ks: tuple[Annotated[int, Field(ge=1)], ...] = ()
    """k of pass@k and maj@k, in checks that have so many samples."""
    diversity: bool = False
    """Whether checks with at least evaluation.diversity_samples samples measure how these differ (docs/diversity.md);
    measures of embeddings need evaluation.embedding."""
    temperature: float = Field(1.0, gt=0.0)
    """Sampling temperature of the check."""

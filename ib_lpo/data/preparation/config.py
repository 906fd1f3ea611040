"""Settings of `ib-lpo data prepare`."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from ib_lpo.data.config import SourceConfig
from ib_lpo.section import Section

SourceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
LANGUAGES = ("ar", "de", "en", "es", "fr", "hi", "id", "it", "ja", "ko", "nl", "pl", "pt", "ru", "sv", "tr", "uk", "vi", "zh")


class LanguageConfig(Section):
    """Which languages questions may be in, as ISO 639-1 codes."""

    keep: tuple[str, ...] = ("en",)
    """Languages that stay."""
    known: tuple[str, ...] = LANGUAGES
    """Languages that are told apart; of fewer, short texts are told apart better."""
    certainty: float = Field(0.8, gt=0.0, le=1.0)
    """A question goes when another language is at least this probable; one that is too short to tell stays, and is counted."""

    @model_validator(mode="after")
    def _kept_are_known(self) -> "LanguageConfig":
        if not self.keep or not set(self.keep) <= set(self.known):
            raise ValueError(f"keep={list(self.keep)}: must name one or more of known={list(self.known)}")
        return self


class LengthConfig(Section):
    """Bounds on lengths, in tokens of the model's tokenizer, both ends included; null: no bound."""

    min_question_tokens: int | None = Field(None, ge=1)
    """Shortest question, without its prompt template."""
    max_question_tokens: int | None = Field(None, ge=1)
    """Longest question, without its prompt template."""
    min_solution_tokens: int | None = Field(None, ge=1)
    """Shortest worked solution; a question without any passes."""
    max_solution_tokens: int | None = Field(None, ge=1)
    """Longest worked solution."""
    fit_prompt: bool = True
    """Drop questions whose prompt is longer than rollout.max_prompt_tokens, which training refuses."""


class ContaminationConfig(Section):
    """The comparison of training questions with those of evaluation.benchmarks and data.held_out."""

    ngram: int = Field(13, ge=2)
    """Words in a row that two questions must share; questions with fewer words are compared whole."""
    min_share: float = Field(0.5, ge=0.0, le=1.0)
    """Least share of the word runs of the question that has fewer of them which two questions must have in common to count as overlapping;
    below it they share a stock phrase, which is reported but takes no question."""
    action: Literal["report", "drop"] = "drop"
    """`drop`: training questions that overlap go; `report`: they stay, and the card names them."""
    examples: int = Field(3, ge=0)
    """Overlapping pairs that the card shows per benchmark, those that share most first."""


class DifficultyConfig(Section):
    """Pass rates of the manifest's model; its own, not those of another model, say what it can learn from."""

    samples: int = Field(0, ge=0)
    """k, answers per question; 0: the stage is off and pass rates are unknown."""
    low: float = Field(0.0, ge=-1.0, lt=1.0)
    """Questions with a pass rate at or below this go; -1: none."""
    high: float = Field(1.0, gt=0.0, le=2.0)
    """Questions with a pass rate at or above this go; 2: none."""
    temperature: float | None = Field(None, gt=0.0)
    """Sampling temperature; null: rollout.temperature."""
    max_response_tokens: int | None = Field(None, ge=2)
    """Longest answer, tokens; null: rollout.max_response_tokens."""

    @model_validator(mode="after")
    def _something_between(self) -> "DifficultyConfig":
        if self.low >= self.high:
            raise ValueError(f"low={self.low:g}, high={self.high:g}: no pass rate lies between; lower low or raise high")
        return self


class PrepareConfig(Section):
    """Which questions become training data, and where they go."""

    sources: dict[SourceName, SourceConfig] = Field(default_factory=dict)
    """By name, which is part of each question's id. Of duplicates, the one whose source stands first is kept."""
    out: Path | None = None
    """The .parquet file to write; the card and measured pass rates lie beside it. null: runs_dir/<name>-data/questions.parquet."""
    verifiable: bool = True
    """Drop questions whose gold answer verifier.reward cannot judge against."""
    deduplicate: bool = True
    """Drop questions whose normalised text came before, and all that differ in their answers."""
    language: LanguageConfig | None = LanguageConfig()
    """null: off."""
    lengths: LengthConfig | None = LengthConfig()
    """null: off; then no tokenizer is needed unless pass rates are."""
    contamination: ContaminationConfig | None = ContaminationConfig()
    """null: off."""
    difficulty: DifficultyConfig = DifficultyConfig()
    """Pass rates; the last stage, as it is the one that costs hours."""

    @field_validator("out")
    @classmethod
    def _is_parquet(cls, out: Path | None) -> Path | None:
        if out is not None and out.suffix != ".parquet":
            raise ValueError("must end in .parquet")
        return out

"""Settings of `ib-lpo eval`, and of evaluation during training."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from ib_lpo.data.config import SourceConfig
from ib_lpo.latent.config import EncoderConfig
from ib_lpo.section import Section

KS = (1, 8, 16, 64, 256)  # of pass@k and maj@k, as far as there are that many samples; and n
MOST_SAMPLES = 1024  # beyond these, numbers of subsets leave the range of float64

Samples = Annotated[int, Field(ge=1, le=MOST_SAMPLES)]
Ks = tuple[Annotated[int, Field(ge=1)], ...]
BenchmarkName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]


class BenchmarkConfig(Section):
    """One benchmark: its questions, and where it departs from how the others are sampled."""

    source: SourceConfig
    """The questions, with gold answers."""
    template: str | None = None
    """Prompt around a question, `{q}`; null: data.template."""
    chat: bool | None = None
    """Wrap the prompt with the tokenizer's chat template; null: data.chat."""
    samples: Samples | None = None
    """n, answers per question; null: evaluation.samples."""
    ks: Ks | None = None
    """k of pass@k and maj@k, none above n; null: evaluation.ks."""
    published: Literal["AIME25", "AIME24", "MATH-500", "Olympiad"] | None = None
    """The benchmark in the paper's results, which are shown beside ours; null: it is not there."""


class EvaluationConfig(Section):
    """Which benchmarks are sampled, and how."""

    benchmarks: dict[BenchmarkName, BenchmarkConfig] = Field(default_factory=dict)
    """By name; the name stands in results and metrics."""
    every: int = Field(0, ge=0)
    """Steps between evaluations during training, which are also made before the first and after the last step; 0: none at all."""
    samples: Samples = 16
    """n, answers per question."""
    ks: Ks | None = None
    """k of pass@k and maj@k, none above n; null: those of 1, 8, 16, 64, 256 that are not, and n."""
    temperature: float = Field(1.0, ge=0.0)
    """Sampling temperature; 0: greedy, which gives one sample."""
    top_p: float = Field(1.0, gt=0.0, le=1.0)
    """Nucleus sampling; 1: off."""
    top_k: int | None = Field(None, ge=1)
    """Sample among the k most likely tokens; null: off."""
    max_response_tokens: int | None = Field(None, ge=1)
    """Longest response, tokens, at most rollout.max_response_tokens; null: that."""
    latents: Literal["none", "prompt"] = "none"
    """`none`: the policy without z; `prompt`: every sample carries a z ~ p(z|prompt) of its own from its first token on (`ib-lpo eval`
    alone)."""
    checkpoint: Path | None = None
    """A checkpoint of a training run, runs/<run>/checkpoints/step-000050, whose policy and maps `ib-lpo eval` samples; null: model.path."""
    resamples: int = Field(2000, ge=1)
    """Bootstrap resamples of the questions behind each 95 % interval."""
    diversity: bool = True
    """`ib-lpo eval` measures how the samples of a question differ."""
    diversity_samples: int = Field(8, ge=2)
    """Samples of a question, the first, that are compared: the cost grows with the square, and distinct-n falls with the number."""
    embedding: EncoderConfig | None = None
    """What embeds responses for the measures of diversity that need it; null: these are left out."""
    published_model: Literal["Qwen2.5-7B", "Qwen3-14B"] | None = None
    """Model of the paper whose results stand beside ours; null: the one that model.path names, if it does."""

    def samples_of(self, benchmark: str) -> int:
        """n of a benchmark."""
        own = self.benchmarks[benchmark].samples
        return self.samples if own is None else own

    def ks_of(self, benchmark: str) -> tuple[int, ...]:
        """Its k of pass@k and maj@k, ascending."""
        own, n = self.benchmarks[benchmark].ks, self.samples_of(benchmark)
        asked = self.ks if own is None else own
        return tuple(sorted({*(k for k in KS if k < n), n} if asked is None else set(asked)))

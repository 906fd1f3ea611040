"""Everything that decides what the tiny model becomes. Its hash, kept with the model, tells whether a model is up to date."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ib_lpo.data.config import DataConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """Supervised steps on one kind of prompt, ended early once sampled accuracy on fresh questions reaches `target`."""

    name: str
    bare: bool  # the expression alone as prompt: half the tokens; else the manifest's template
    most_steps: int
    check_every: int  # steps between accuracy checks
    target: float  # accuracy at T=1 at which the phase ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Sizes, optimiser and stopping rule. The targets are low on purpose: reinforcement learning needs errors to remove."""

    data: DataConfig
    seed: int = 0
    hidden: int = 128
    layers: int = 4
    vocabulary: int = 512  # embedding rows; those beyond the tokenizer's ~350 tokens stay untrained
    max_context: int = 1024  # tokens
    lr: float = 3e-3
    warmup_steps: int = 30
    batch: int = 16  # sequences per step
    phases: tuple[Phase, ...] = (
        Phase(name="bare sums", bare=True, most_steps=1000, check_every=100, target=0.30),
        Phase(name="full prompt", bare=False, most_steps=300, check_every=25, target=0.36),
    )
    styles: dict[str, float] = field(default_factory=lambda: {"in_order": 2.0, "in_pairs": 1.0, "by_sign": 1.0, "at_once": 0.6})

    @property
    def digest(self) -> str:
        """sha256 over the settings, those parts of `data` that matter here, and the code that gives them their meaning."""
        held_out = self.data.held_out and self.data.held_out.model_dump(mode="json")
        settings = asdict(self) | {"data": [self.data.template, self.data.train.options, held_out]}
        code = [path.read_text() for path in sorted(Path(__file__).parent.glob("*.py"))]
        return hashlib.sha256(json.dumps([settings, code], sort_keys=True).encode()).hexdigest()

"""STUDY.yaml."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ib_lpo.section import Section

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Seed = Annotated[int, Field(ge=0)]
Tokens = Annotated[int, Field(ge=1)]


class TaskConfig(Section):
    """What all variants are trained on."""

    manifest: Path
    """A whole manifest, relative to STUDY.yaml."""
    model: str
    """model.path of its runs; `{model_seed}` is the model seed."""
    overrides: tuple[str, ...] = ()
    """KEY=VALUE of all runs, weaker than those of variants; `{model_seed}` and `{run_seed}` are those of the run."""
    budget_tokens: Tokens | None = None
    """budget.generated_tokens of its runs; null: the study's."""


class VariantConfig(Section):
    """A way of training, on every task."""

    extends: tuple[Path, ...] = ()
    """YAML files with keys of a manifest, relative to STUDY.yaml; stronger than the task's, later ones stronger still."""
    overrides: tuple[str, ...] = ()
    """KEY=VALUE, stronger than `extends`. `{model_seed}` and `{run_seed}` are those of the run."""
    note: str = ""
    """What it is, for the table."""


class StudyConfig(Section):
    """Tasks x variants x seeds."""

    name: Name
    """Part of the name of every run."""
    out: Path | None = None
    """Directory of results, tables and figures; null: studies/<name>."""
    runs_dir: Path | None = None
    """Parent of the run directories; null: runs/<name>."""
    tasks: dict[Name, TaskConfig] = Field(min_length=1)
    seeds: tuple[tuple[Seed, Seed], ...] = Field(min_length=1)
    """Pairs [model seed, run seed]; every variant is run with all of them, which makes its differences paired."""
    variants: dict[Name, VariantConfig] = Field(min_length=1)
    baseline: str = "grpo"
    """The variant that all are compared with."""
    budget_tokens: Tokens | None = None
    """budget.generated_tokens of every run; null: the manifests' own."""
    workers: Annotated[int, Field(ge=1)] | Literal["ray"] = 2
    """Runs side by side on this machine; `ray`: each run is a task of the Ray cluster that RAY_ADDRESS names, whose
    machines must share runs_dir."""
    run_cpus: float = Field(1.0, gt=0.0)
    """With workers=ray: logical CPUs that a run takes."""
    run_gpus: float = Field(0.0, ge=0.0)
    """With workers=ray: GPUs that a run takes."""

    @property
    def results_dir(self) -> Path:
        """`out`, or its default."""
        return Path("studies") / self.name if self.out is None else self.out

    @property
    def parent(self) -> Path:
        """`runs_dir`, or its default."""
        return Path("runs") / self.name if self.runs_dir is None else self.runs_dir

    def budget_of(self, task: str) -> int | None:
        """Tokens of a task's runs; None: what the manifests say."""
        own = self.tasks[task].budget_tokens
        return self.budget_tokens if own is None else own

    @model_validator(mode="after")
    def _fits(self) -> "StudyConfig":
        if self.baseline not in self.variants:
            raise ValueError(f"baseline={self.baseline!r}: no such variant; use one of {', '.join(self.variants)}")
        if twice := sorted({pair for pair in self.seeds if self.seeds.count(pair) > 1}):
            raise ValueError(f"seeds={[list(pair) for pair in self.seeds]}: {list(twice[0])} stands there twice; give each pair once")
        models = {model for model, _ in self.seeds}
        fixed = [name for name, task in self.tasks.items() if "{model_seed}" not in task.model]
        if len(models) > 1 and fixed:
            raise ValueError(
                f"tasks.{fixed[0]}.model={self.tasks[fixed[0]].model!r}: is the same for all {len(models)} model seeds; put "
                "{model_seed} into it, or give one model seed"
            )
        return self

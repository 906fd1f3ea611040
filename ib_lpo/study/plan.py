"""The runs of a study, each with the manifest that it is started with; pure but for reading the manifests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, ManifestError, read_layers, validate
from ib_lpo.study.config import StudyConfig
from ib_lpo.study.settings import Settings, digest_of, settings_of


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRun:
    """One run of a study."""

    task: str
    variant: str
    model_seed: int
    run_seed: int
    manifest: Manifest

    @property
    def name(self) -> str:
        """Of the run and its directory."""
        return self.manifest.name

    @property
    def settings(self) -> Settings:
        """What its result depends on."""
        return settings_of(self.manifest)

    @property
    def digest(self) -> str:
        """Of its settings."""
        return digest_of(self.settings)


def plan(study: StudyConfig, only: Sequence[str] = ()) -> list[PlannedRun]:
    """All runs, or those whose task/variant matches one of the patterns `only`: seed by seed, so that a study that is
    not complete has whole pairs. Raises UserError, which names the run, for a manifest that is not valid."""
    runs = [
        _planned(study, task, variant, *seeds)
        for seeds in study.seeds
        for task in study.tasks
        for variant in study.variants
        if not only or any(fnmatch(f"{task}/{variant}", pattern) for pattern in only)
    ]
    _require_matches(study, only)
    names = [run.name for run in runs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UserError(f"{twice[0]}: two runs of the study have this name; rename a task or a variant")
    return runs


def _planned(study: StudyConfig, task: str, variant: str, model_seed: int, run_seed: int) -> PlannedRun:
    of_task, of_variant = study.tasks[task], study.variants[variant]
    budget = study.budget_of(task)
    own = [
        f"name={study.name}-{task}-{variant}-m{model_seed}-s{run_seed}",
        f"runs_dir={study.parent}",
        f"seed={run_seed}",
        f"model.path={of_task.model}",
        *([] if budget is None else [f"budget.generated_tokens={budget}"]),
    ]
    layers: list[Path | str] = [of_task.manifest, *of_task.overrides, *of_variant.extends, *of_variant.overrides, *own]
    seeded = [layer if isinstance(layer, Path) else _seeded(layer, model_seed, run_seed) for layer in layers]
    try:
        manifest = validate(read_layers(seeded))
    except ManifestError as error:
        raise UserError(f"{task}/{variant}, seeds [{model_seed}, {run_seed}]: {error}") from None
    return PlannedRun(task=task, variant=variant, model_seed=model_seed, run_seed=run_seed, manifest=manifest)


def _seeded(text: str, model_seed: int, run_seed: int) -> str:
    return text.replace("{model_seed}", str(model_seed)).replace("{run_seed}", str(run_seed))


def _require_matches(study: StudyConfig, only: Iterable[str]) -> None:
    names = [f"{task}/{variant}" for task in study.tasks for variant in study.variants]
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in names):
            raise UserError(f"--only {pattern}: matches no task/variant of the study; it has {', '.join(names)}")

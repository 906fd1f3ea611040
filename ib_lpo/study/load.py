"""STUDY.yaml read and checked. Imports no torch."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from ib_lpo.manifest import explained, read_layers
from ib_lpo.study.config import StudyConfig


def load_study(path: Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """The study; paths relative to its file are made relative to the working directory. Raises ManifestError."""
    try:
        study = StudyConfig.model_validate(read_layers([path, *overrides]))
    except ValidationError as error:
        raise explained(error) from None
    folder = path.parent
    tasks = {name: task.model_copy(update={"manifest": folder / task.manifest}) for name, task in study.tasks.items()}
    variants = {
        name: variant.model_copy(update={"extends": tuple(folder / one for one in variant.extends)})
        for name, variant in study.variants.items()
    }
    return study.model_copy(update={"tasks": tasks, "variants": variants})

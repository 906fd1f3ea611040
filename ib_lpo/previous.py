"""What to do with a directory that an earlier run left: go on from it only as the same run, or set it aside."""

from collections.abc import Collection
from itertools import count
from pathlib import Path
from typing import Any

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest, load_recorded
from ib_lpo.progress import say


def require_same(manifest: Manifest, recorded: Path, *, may_change: Collection[str]) -> None:
    """Raise UserError when a resumed run would not be the run that wrote `recorded`, whatever `may_change` names excepted: whole sections
    (`tracking`) and single keys (`latent_fit.every`)."""
    old, new = (_without(may_change, m.model_dump(mode="json")) for m in (load_recorded(recorded), manifest))
    changed = [key for key in new if old.get(key) != new[key]]
    reasons = {"steps": f" (learner.lr_schedule={manifest.learner.lr_schedule} ends at the last step)"}
    problems = [f"{key}: was {_difference(old.get(key), new[key])}{reasons.get(key, '')}" for key in changed]
    if problems:
        raise UserError("\n".join(f"{p}; resume with the recorded value ({recorded}), or start over with --fresh" for p in problems))


def _without(dropped: Collection[str], values: dict[str, Any], parents: str = "") -> dict[str, Any]:
    """`values` without the dotted keys `dropped`."""
    return {
        key: _without(dropped, value, f"{parents}{key}.") if isinstance(value, dict) else value
        for key, value in values.items()
        if f"{parents}{key}" not in dropped
    }


def _difference(old: Any, new: Any) -> str:
    if isinstance(old, dict) and isinstance(new, dict):
        parts = [f"{key} {_difference(old.get(key), new[key])}" for key in new if old.get(key) != new[key]]
        return ", ".join(parts)
    return f"{old!r}, is now {new!r}"


def set_aside(directory: Path) -> None:
    """Rename an old run directory to `<directory>.<n>`."""
    if directory.exists():
        aside = next(path for n in count(1) if not (path := directory.with_name(f"{directory.name}.{n}")).exists())
        directory.rename(aside)
        say(f"{directory} was set aside as {aside}")

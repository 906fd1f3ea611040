"""What one check found."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"  # works, or works for some manifests only
    FAIL = "fail"  # training cannot run


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's table. A finding that is not OK says how to mend it."""

    check: str
    level: Level
    found: str
    fix: str = ""

    def __post_init__(self) -> None:
        if self.level is not Level.OK and not self.fix:
            raise ValueError(f"{self.check}: a {self.level} needs a fix")


def verdict(check: str, holds: bool, found: str, fix: str, *, otherwise: Level = Level.FAIL) -> Finding:
    """OK when `holds`, else `otherwise` with its fix."""
    return Finding(check, Level.OK, found) if holds else Finding(check, otherwise, found, fix)

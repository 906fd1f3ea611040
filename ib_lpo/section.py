"""The base of every manifest section. Imports no torch."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

_LONGEST_NAME = 255  # bytes of one part of a path, in every common file system


class Section(BaseModel):
    """A frozen group of settings; an unknown key and a number that is not finite are errors, and each field's docstring says unit and
    source. A number is no boolean: YAML reads `on` and `yes` as true. `~` begins the path of a home directory, in every field that holds a
    path: those typed so, and `path` itself, which may also be a hub id."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True, protected_namespaces=())

    @field_validator("*", mode="before")
    @classmethod
    def _as_written(cls, value: Any, info: ValidationInfo) -> Any:
        leaves = _leaves(cls, info.field_name)
        if leaves & {int, float} and not leaves & {bool, Any, object} and _has_boolean(value):
            raise ValueError("true and false (on, yes, off, no) are no numbers; write a number, or quote it if it is text")
        if isinstance(value, str | Path) and (Path in leaves or info.field_name == "path"):
            return _path(value)
        return value


@cache
def _leaves(section: type[Section], name: str) -> frozenset[Any]:
    """The types that stand in a field's annotation, within unions, lists and mappings too."""
    return frozenset(_within(section.model_fields[name].annotation))


def _within(annotation: Any) -> Iterator[Any]:
    yield annotation if getattr(annotation, "__hash__", None) else None
    for part in get_args(annotation):
        yield from _within(part)


def _has_boolean(value: Any) -> bool:
    """Also within lists and mappings."""
    if isinstance(value, dict):
        return any(map(_has_boolean, value.values()))
    return any(map(_has_boolean, value)) if isinstance(value, list | tuple) else isinstance(value, bool)


def _path(value: str | Path) -> str | Path:
    """With the home directory in the place of a leading `~`. Raises ValueError for what no file system takes."""
    if "\0" in str(value):
        raise ValueError("holds a NUL character; remove it")
    if any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in Path(value).parts):
        raise ValueError(f"a part of it is longer than the {_LONGEST_NAME} bytes that a file system takes; shorten it")
    if not str(value).startswith("~"):
        return value
    try:
        return type(value)(Path(value).expanduser())
    except RuntimeError:
        raise ValueError("there is no such home directory; write it out") from None

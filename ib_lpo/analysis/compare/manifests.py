"""What differs between the manifests of runs, by dotted key: what a reader of a comparison needs first. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

ABSENT = "(absent)"
_NOT_SHOWN = ("name", "runs_dir")  # what tells runs apart, and where they lie
_LONGEST = 60


def differing(manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, list[str]]:
    """By dotted key the values in each manifest, as text, in order; only keys whose values are not all the same.

    A list is one value. Long values are cut in the middle.
    """
    flat = [flattened(values) for values in manifests.values()]
    keys = dict.fromkeys(key for values in flat for key in values)
    found = {key: [_text(values[key]) if key in values else ABSENT for values in flat] for key in keys if key not in _NOT_SHOWN}
    different = {key: any(values.get(key, ABSENT) != flat[0].get(key, ABSENT) for values in flat) for key in found}
    return {key: values for key, values in found.items() if different[key]}


def flattened(values: Mapping[str, Any], above: Sequence[str] = ()) -> dict[str, Any]:
    """Nested mappings as one, keys joined by dots; an empty mapping is a value."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            found |= flattened(value, (*above, key))
        else:
            found[".".join((*above, key))] = value
    return found


def _text(value: Any) -> str:
    text = repr(value) if isinstance(value, str) else str(value)
    half = _LONGEST // 2 - 1
    return text if len(text) <= _LONGEST else f"{text[:half]}…{text[-half:]}"

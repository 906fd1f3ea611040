"""What makes two runs of a study the same: the settings of their manifests, without names, paths and what does not
change what is learnt.

A result outlives the code that made it, so it keeps its settings and not their digest alone: a key that the manifest
has got since then is no difference as long as it has its default, by which old manifests train as they did.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ib_lpo.analysis.compare.manifests import flattened
from ib_lpo.manifest import Manifest, validate

Settings = dict[str, Any]
"""Plain values by dotted key."""

_LEFT_OUT = ("name", "runs_dir", "prepare", "latent_fit", "analysis", "weights", "checkpoint", "tracking", "cluster")
_PLACES = ("latent.weights", "ib.reference_model")  # null where they are no path
_ABSENT = object()


def settings_of(manifest: Manifest) -> Settings:
    """Of a resolved manifest. Where its model, its questions and its latent lie is left out."""
    values = manifest.model_dump(mode="python", exclude=set(_LEFT_OUT))
    kept = {key: value for key, value in flattened(values).items() if not isinstance(value, Path) and not key.endswith(".path")}
    return json.loads(json.dumps({key: value for key, value in kept.items() if key not in _PLACES}))


def digest_of(settings: Mapping[str, Any]) -> str:
    """SHA-256, the first 16 hexadecimal digits."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def changes(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs, one text per key; empty: the same run."""
    found = []
    defaults: Settings | None = None
    for key in sorted(recorded.keys() | now.keys()):
        was, is_now = recorded.get(key, _ABSENT), now.get(key, _ABSENT)
        if was is _ABSENT:
            defaults = _defaults(now) if defaults is None else defaults
            was = defaults.get(key, _ABSENT)
        if was != is_now:
            found.append(f"{key}: was {_text(was)}, is now {_text(is_now)}")
    return found


def _defaults(now: Mapping[str, Any]) -> Settings:
    """Of a manifest that says nothing but what it must; a loss has the keys of its kind."""
    loss = {"loss": {"kind": now["learner.loss.kind"]}} if "learner.loss.kind" in now else {}
    return settings_of(validate({"name": "defaults", "steps": 1, "model": {"path": "m"}, "learner": {"mini_batches": 2} | loss}))


def _text(value: Any) -> str:
    return "absent" if value is _ABSENT else json.dumps(value)

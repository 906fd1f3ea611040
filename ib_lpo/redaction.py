"""Secrets never leave the environment: what may hold one is looked through before it is written, printed or sent.

A secret is the value of an environment variable that is named like one (WANDB_API_KEY, HF_TOKEN, ...), or text that has the shape of one.
"""

import os
import re
from collections.abc import Iterable, Mapping

_NAMED = re.compile(r"(?:^|_)(?:(?:API_?|ACCESS_|PRIVATE_)?KEY(?:_ID)?|TOKEN|SECRET|PASSWORD|PASSWD|PASS|CREDENTIALS)$", re.IGNORECASE)
_SHAPED = (
    r"\bhf_[A-Za-z0-9]{16,}",
    r"\bwandb_v\d+_\w{16,}",
    r"\bsk-[\w-]{20,}",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    r"\bgithub_pat_\w{20,}",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",
    r"(?i:(?<=bearer )[\w.~+/=-]{12,})",
    r"(?i:(?<![a-z])(?:api[_-]?key|access[_-]?key|(?:auth|access|hub|hf)[_-]token|secret|password)[\"']?\s*[=:]\s*[\"']?(?P<value>[^\s\"',;]{8,}))",
)
_SHAPES = re.compile("|".join(_SHAPED))
_SHORTEST = 8  # characters; a shorter value could stand anywhere
HIDDEN = "***"


def is_secret_name(name: str) -> bool:
    """Whether a variable or key of this name holds a secret."""
    return _NAMED.search(name) is not None


def secret_values(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Values of the variables that hold secrets, longest first."""
    found = {value for name, value in environ.items() if is_secret_name(name) and len(value) >= _SHORTEST}
    return sorted(found, key=lambda value: (-len(value), value))


def secret_spans(text: str, values: Iterable[str] | None = None) -> list[tuple[int, int]]:
    """Where secrets stand in `text`: (start, end), in order, apart from one another."""
    known = secret_values() if values is None else values
    found = [(m.start(), m.end()) for value in known for m in re.finditer(re.escape(value), text)]
    found += [m.span("value" if m["value"] else 0) for m in _SHAPES.finditer(text)]
    spans: list[tuple[int, int]] = []
    for start, end in sorted(found):
        if spans and start <= spans[-1][1]:
            spans[-1] = spans[-1][0], max(end, spans[-1][1])
        else:
            spans.append((start, end))
    return spans


def redact(text: str) -> str:
    """`text` with *** in the place of every secret."""
    for start, end in reversed(secret_spans(text)):
        text = f"{text[:start]}{HIDDEN}{text[end:]}"
    return text

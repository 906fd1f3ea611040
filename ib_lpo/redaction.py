"""Secrets never leave the environment: what may hold one is looked through before it is written, printed or sent.

A secret is the value of an environment variable that is named like one (WANDB_API_KEY, HF_TOKEN, ...), a password of ~/.netrc, the token
that `hf auth login` stored, or text that has the shape of one.
"""

import netrc
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path

_NAMED = re.compile(
    r"(?:^|_)(?:(?:API_?|ACCESS_|PRIVATE_)?KEY(?:_ID)?|(?:AUTH)?TOKEN|SECRET|PASSWD|PASS|CREDENTIALS|CONNECTION_?STRING)$"
    r"|_(?:PAT|PWD)$|(?:PASSWORD|PASSPHRASE)$",
    re.IGNORECASE,
)
# A group is the secret, where the shape needs something around it.
_SHAPED = (
    r"\bhf_[A-Za-z0-9]{16,}",
    r"\bwandb_v\d+_\w{16,}",
    r"\bsk-[\w-]{20,}",
    r"\bgh[pousr]_[A-Za-z0-9]{20,}",
    r"\bgithub_pat_\w{20,}",
    r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    r"\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}",
    r"(?<=://)[^\s/:@]*:[^\s/@]+(?=@)",
    r"(?<=://)[^\s/:@]{16,}(?=@)",
    r"(?i:(?<=bearer )[\w.~+/=-]{12,})",
    r"(?i:\bauthorization[\"']?\s*[=:]\s*[\"']?(?:basic|token)\s+([\w.~+/=-]{6,}))",
    r"(?i:[?&](?:[\w.-]*(?:token|signature|secret|password|credential|api_?key|access_?key)|sig)=([^\s&#\"']{6,}))",
    r"(?i:(?<![a-z])signature=([0-9a-f]{32,}))",
    r"(?i:(?<![\w-])--(?:[a-z]+-)*(?:password|token|secret|api-key|access-key|secret-key)[\s=,\"']+(?=\S*[^\sa-z.,;:)\"'])([^\s\"',]{6,}))",
    r"(?i:(?:(?<![a-z])(?:api[_-]?key|access[_-]?key|(?:auth|access|hub|hf)[_-]token|secret|password)|\w_(?:pat|pwd)|pgpassword"
    r"|accountkey|sharedaccesskey)[\"']?\s*[=:]\s*[\"']?([^\s\"',;]{8,}))",
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


@cache
def stored_values() -> frozenset[str]:
    """Secrets that tools keep in the home directory: passwords of ~/.netrc and the token of Hugging Face; read once per process. A file
    that is not there or cannot be read has none."""
    from huggingface_hub.constants import HF_TOKEN_PATH

    found: set[str] = set()
    with suppress(OSError, UnicodeDecodeError, netrc.NetrcParseError):
        found |= {password or "" for _, _, password in netrc.netrc().hosts.values()}
    with suppress(OSError, UnicodeDecodeError):
        found.add(Path(HF_TOKEN_PATH).read_text().strip())
    return frozenset(value for value in found if len(value) >= _SHORTEST)


def secret_spans(text: str, values: Iterable[str] | None = None) -> list[tuple[int, int]]:
    """Where secrets stand in `text`: (start, end), in order, apart from one another. `values`: known ones; None: all of this process."""
    known = {*secret_values(), *stored_values()} if values is None else values
    found = [(m.start(), m.end()) for value in known for m in re.finditer(re.escape(value), text)]
    found += [m.span(m.lastindex or 0) for m in _SHAPES.finditer(text)]
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

"""The HTML file: one page that needs nothing beside it.

All data is in chunks, gzip in base64: nothing that a model wrote stands in the file as text, and the page puts it on the screen as text
alone. A policy in the page's head forbids every script but its own and every connection.
"""

import base64
import gzip
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_PAGE = Path(__file__).parent / "page"
STYLES = ("page.css", "head.css", "list.css", "tree.css", "tokens.css")
SCRIPTS = (
    "data.js",
    "dom.js",
    "text.js",
    "filters.js",
    "search.js",
    "list.js",
    "tree.js",
    "tracks.js",
    "facts.js",
    "tokens.js",
    "viewer.js",
    "curves.js",
    "main.js",
)


def chunk(value: Any) -> str:
    """A JSON value, or text, as base64 of gzip; the same value gives the same chunk. Numbers that are not finite become null."""
    text = value if isinstance(value, str) else _json(value)
    return base64.b64encode(gzip.compress(text.encode("utf-8", errors="surrogatepass"), compresslevel=6, mtime=0)).decode()


def write_page(path: Path, head: Mapping[str, Any], chunks: Iterator[tuple[str, str]]) -> None:
    """Write the page with the values `head` of its template and (name, chunk) pairs, one at a time; complete or absent."""
    scripts = [_read(name) for name in SCRIPTS]
    nonce = hashlib.sha256("".join(scripts).encode()).hexdigest()[:32]
    environment = Environment(
        loader=FileSystemLoader(_PAGE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    stream = environment.get_template("report.html.j2").stream(
        **head, styles=[_read(name) for name in STYLES], scripts=scripts, nonce=nonce, chunks=chunks
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.partial")
    try:
        with unfinished.open("w", encoding="utf-8") as file:
            stream.dump(file)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _json(value: Any) -> str:
    write = partial(json.dumps, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return write(value)
    except ValueError:  # some number is not finite: JSON has none, the page writes null as a dash
        return write(_finite(value))


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(of_key) for key, of_key in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")

"""The HTML file: one page that needs nothing beside it.

All data is in chunks, gzip in base64: nothing that a model wrote stands in the file as text, and the page puts it on the screen as text
alone. A policy in the page's head forbids every script but its own and every connection.
"""

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Mapping
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
    """A JSON value, or text, as base64 of gzip; the same value gives the same chunk."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
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
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as file:
            stream.dump(file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _read(name: str) -> str:
    return (_PAGE / name).read_text(encoding="utf-8")

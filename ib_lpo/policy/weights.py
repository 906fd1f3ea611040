"""Whether a model's weight files hold its weights: every tensor, of the right shape, finite, and nothing else.

transformers makes up what a checkpoint lacks and passes over what it has too much, so a model whose names are prefixed, whose head is
missing, or that is an adapter would be trained from random weights. Here the files are read before anything starts: their headers
against the architecture on the meta device, then the numbers, one tensor at a time. That takes as long as reading the files (seconds for a
small model, up to a minute for 15 GB); a file is read once per process.
"""

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.serialization import get_unsafe_globals_in_checkpoint
from transformers import AutoModelForCausalLM, PretrainedConfig

from ib_lpo.errors import UserError
from ib_lpo.policy.config import ModelConfig
from ib_lpo.policy.identity import version_of, weight_files
from ib_lpo.policy.load import PolicyError, adapter_base, adapter_error, load_config
from ib_lpo.progress import say

Shapes = Mapping[str, tuple[int, ...]]
_ADAPTED = "base_model.model."  # what peft puts before the names of a model that it wraps
_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
_RECOMPUTED = ("rotary_emb.inv_freq",)  # buffers that old checkpoints hold


def check_weights(model: ModelConfig, key: str = "model.path") -> None:
    """Raise PolicyError unless the weight files hold the model that its configuration describes; `key` is the setting that named it.

    An adapter beside whole weights is said: it is not applied.
    """
    config = load_config(model)
    try:
        files = weight_files(model)
    except UserError as error:
        raise adapter_error(model) or PolicyError(str(error)) from None
    where = f"{key}={model.path!r}"
    held = {file: _held(file, where) for file in files}
    shapes = {name: shape for of_file in held.values() for name, shape in of_file.items()}
    if problem := misfit(_expected(model, config), shapes, tied=bool(config.tie_word_embeddings)):
        raise PolicyError(f"{where}: {problem}")
    _require_finite(held, where)
    if config.tie_word_embeddings:
        _require_tied(held, where)
    if (base := adapter_base(model)) is not None:
        say(f"{where}: an adapter (adapter_config.json, of {base!r}) lies beside the weights; it is not applied")


def misfit(expected: Shapes, held: Shapes, *, tied: bool) -> str | None:
    """What is wrong with tensors of shapes `held` for a model that needs `expected`, and the fix; None: nothing. Pure.

    As transformers does, names may lack the leading `model.` of all but the head, and a tied model needs no head.
    """
    named = {name if name in expected or f"model.{name}" not in expected else f"model.{name}": shape for name, shape in held.items()}
    if tied and "lm_head.weight" in named:
        named.setdefault("model.embed_tokens.weight", named["lm_head.weight"])
    needed = [name for name in expected if not (tied and name == "lm_head.weight")]
    missing = [name for name in needed if name not in named]
    unexpected = [name for name in named if name not in expected and not name.endswith(_RECOMPUTED)]
    wrong = [name for name in expected if name in named and named[name] != expected[name]]
    if any(name.startswith(_ADAPTED) for name in unexpected):
        return (
            f"its weights are named {_ADAPTED}..., as an adapter is saved, and would be passed over; merge the adapter into its base model "
            "(peft: merge_and_unload, then save_pretrained) and give that directory"
        )
    if missing == ["lm_head.weight"]:
        return (
            "lm_head.weight is not among its weights and would be random; set tie_word_embeddings=true in config.json if the head is the "
            "embedding, or fetch the whole model"
        )
    if missing:
        others = f" (there without a place in it: {_some(unexpected)})" if unexpected else ""
        return f"not among its weights, so random in training: {_some(missing)}{others}; fetch the whole model, or mend config.json"
    if unexpected:
        return f"among its weights, but not in the model of config.json: {_some(unexpected)}; give the config.json of these weights"
    if wrong:
        shapes = f"{list(named[wrong[0]])} instead of {list(expected[wrong[0]])}"
        return f"not of the shape that config.json says: {_some(wrong)} ({shapes}); give the config.json of these weights"
    return None


def _expected(model: ModelConfig, config: PretrainedConfig) -> dict[str, tuple[int, ...]]:
    with torch.device("meta"):
        policy = AutoModelForCausalLM.from_config(config, trust_remote_code=model.trust_remote_code)
    return {name: tuple(tensor.shape) for name, tensor in policy.state_dict().items()}


def _held(file: Path, where: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes in one file. Raises PolicyError for a file that is cut off, no weights at all, or holds other than float numbers."""
    try:
        held = {name: (tuple(shape), floating) for name, shape, floating in _header(file)}
    except (SafetensorError, OSError, RuntimeError, EOFError, ValueError) as error:
        cause = " ".join(str(error).split())[:200]
        raise PolicyError(f"{where}: {file.name} is cut off or damaged ({cause}); fetch it anew") from None
    integers = [name for name, (_, floating) in held.items() if not floating]
    if integers:
        raise PolicyError(
            f"{where}: not float16, bfloat16 or float32 in {file.name}: {_some(integers)}; give weights that are not quantised"
        )
    return {name: shape for name, (shape, _) in held.items()}


def _header(file: Path) -> Iterator[tuple[str, Sequence[int], bool]]:
    if file.suffix != ".safetensors":
        for name, tensor in _pickled(file).items():
            yield name, tensor.shape, tensor.dtype in _FLOATS
        return
    with safe_open(file, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 (it is no mapping)
            part = tensors.get_slice(name)
            yield name, part.get_shape(), part.get_dtype() in ("F16", "BF16", "F32", "F64")


def _pickled(file: Path) -> dict[str, Tensor]:
    """Raises ValueError for what is not torch's zip format, or holds more than tensors, and RuntimeError."""
    if not zipfile.is_zipfile(file):
        raise ValueError("no whole archive as torch.save writes it since version 1.6")
    if unsafe := get_unsafe_globals_in_checkpoint(file):
        raise ValueError(f"holds {unsafe[0]}, which is no tensor")
    return torch.load(file, map_location="cpu", weights_only=True, mmap=True)


def _tensors(file: Path, names: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """Those of `names`, one at a time."""
    if file.suffix != ".safetensors":
        tensors = _pickled(file)
        yield from ((name, tensors[name]) for name in names)
        return
    with safe_open(file, framework="pt") as tensors:
        for name in names:
            yield name, tensors.get_tensor(name)


def _require_finite(held: Mapping[Path, Shapes], where: str) -> None:
    broken = {name: file for file, names in held.items() for name in _not_finite(file.resolve(), tuple(names), *version_of(file))}
    if broken:
        holding = ", ".join(sorted({file.name for file in broken.values()}))
        raise PolicyError(
            f"{where}: NaN or infinite numbers in {_some(list(broken))} ({holding}); fetch it anew, or give an earlier checkpoint"
        )


@lru_cache(maxsize=256)
def _not_finite(file: Path, names: tuple[str, ...], size: int, changed: int) -> tuple[str, ...]:
    filled = ((name, tensor) for name, tensor in _tensors(file, names) if tensor.numel())
    return tuple(name for name, tensor in filled if not torch.stack(tensor.aminmax()).isfinite().all())


def _require_tied(held: Mapping[Path, Shapes], where: str) -> None:
    """Raise PolicyError where a tied model comes with a head of its own: transformers would train that, the engine the embedding."""
    found: dict[str, Tensor] = {}
    for file, names in held.items():
        wanted = [name for name in names if name.endswith(("lm_head.weight", "embed_tokens.weight"))]
        found |= {name.rpartition("embed_tokens")[1] or "lm_head": tensor for name, tensor in _tensors(file, wanted)}
    if len(found) == 2 and not torch.equal(found["lm_head"], found["embed_tokens"]):
        raise PolicyError(
            f"{where}: config.json says tie_word_embeddings=true, and lm_head.weight is not embed_tokens.weight; set it to false to use "
            "the head, or remove lm_head.weight from the file"
        )


def _some(names: Sequence[str]) -> str:
    """The first name and how many there are."""
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

"""Whether the internal vLLM hooks that the rollout engine builds on exist, read from vLLM's source: nothing of it is imported."""

import ast
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ib_lpo.doctor.finding import Finding, Level, verdict


@dataclass(frozen=True, slots=True)
class Hook:
    """A definition inside vLLM that ib-lpo overrides or calls."""

    file: str  # relative to the package
    name: str  # "function", "Class" or "Class.method"
    parameters: tuple[str, ...] | None = None  # first parameters it must have, self excluded
    mentions: str | None = None  # name that its body must look up


HOOKS = (
    Hook("v1/worker/gpu_model_runner.py", "GPUModelRunner._init_model_kwargs"),
    Hook("v1/worker/gpu_model_runner.py", "GPUModelRunner._model_forward"),
    Hook("v1/worker/cpu_worker.py", "CPUWorker"),
    Hook("v1/worker/gpu/model_states/__init__.py", "resolve_model_state_cls", mentions="get_model_state_cls"),
    Hook(
        "v1/sample/sampler.py",
        "Sampler.forward",
        parameters=("logits", "sampling_metadata", "predict_bonus_token", "logprobs_mode_override"),
    ),
    Hook("model_executor/model_loader/reload/layerwise.py", "initialize_layerwise_reload"),
    Hook("model_executor/model_loader/reload/layerwise.py", "finalize_layerwise_reload"),
)

FIX = "install the pinned vLLM with `make setup`; other versions have other internals"


def vllm_folder() -> Path | None:
    """Where vLLM is installed, without importing it."""
    spec = find_spec("vllm")
    return Path(spec.origin).parent if spec and spec.origin else None


def hook(package: Path, wanted: Hook) -> Finding:
    """One hook in the vLLM under `package`."""
    name = f"vLLM {wanted.name}"
    try:
        definition = _definition(_parsed(package / wanted.file), wanted.name)
    except FileNotFoundError:
        return Finding(name, Level.FAIL, f"no {wanted.file}", FIX)
    if definition is None:
        return Finding(name, Level.FAIL, f"not in {wanted.file}", FIX)
    if wanted.parameters is not None and (has := _parameters(definition))[: len(wanted.parameters)] != wanted.parameters:
        return Finding(name, Level.FAIL, f"takes ({', '.join(has)})", FIX)
    return verdict(name, wanted.mentions is None or _looks_up(definition, wanted.mentions), "present", FIX)


@cache
def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _definition(tree: ast.AST, dotted: str) -> ast.AST | None:
    for part in dotted.split("."):
        kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
        found = [node for node in getattr(tree, "body", []) if isinstance(node, kinds) and node.name == part]
        if not found:
            return None
        tree = found[-1]
    return tree


def _parameters(definition: ast.AST) -> tuple[str, ...]:
    if not isinstance(definition, ast.FunctionDef | ast.AsyncFunctionDef):
        return ()
    names = tuple(argument.arg for argument in (*definition.args.posonlyargs, *definition.args.args, *definition.args.kwonlyargs))
    return names[1:] if names[:1] == ("self",) else names


def _looks_up(definition: ast.AST, name: str) -> bool:
    return any(
        (isinstance(node, ast.Attribute) and node.attr == name) or (isinstance(node, ast.Constant) and node.value == name)
        for node in ast.walk(definition)
    )

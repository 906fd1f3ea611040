"""`ib-lpo report`: a run as one HTML file: curves, and rollout trees to look into.

    manifest, metrics -> head and curves      overview, curves
    trees -> a sample -> rows and details     sampling, records, token_text, gates
    all of it -> one file                     page

Trees are read one step at a time and leave memory as soon as they are written.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from plotly.offline import get_plotlyjs

from ib_lpo.errors import UserError
from ib_lpo.manifest import Manifest
from ib_lpo.policy.load import load_tokenizer
from ib_lpo.progress import say
from ib_lpo.report.curves import curves
from ib_lpo.report.gates import describe_gate, gate_values
from ib_lpo.report.overview import alarms, numbers, settings
from ib_lpo.report.page import chunk, write_page
from ib_lpo.report.records import details, row
from ib_lpo.report.sampling import Sample, sample_trees
from ib_lpo.report.token_text import TokenTexts
from ib_lpo.report.units import UNITS
from ib_lpo.run_directory import RunDirectory


def write_report(run: Path, out: Path | None = None, *, most_trees: int = 400) -> Path:
    """Write the report of a run directory to `out` (RUN/report.html) with at most `most_trees` trees, and return its path.

    Raises UserError for a run without metrics, damaged trees, a model whose config or tokenizer cannot be loaded, or a file that cannot be
    written.
    """
    directory = RunDirectory(run)
    path = out or run / "report.html"
    lines = directory.metrics()
    sample = sample_trees(directory, most_trees)
    texts = TokenTexts(load_tokenizer(directory.manifest.model))
    index = _index(directory.manifest, sample)
    try:
        write_page(path, _head(directory, lines, sample), _chunks(directory, lines, sample, texts, index))
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror}); give another file with --out") from None
    say(f"{path}: {sample.size} of {sample.total} trees, {path.stat().st_size / 1e6:.1f} MB; open it in a browser")
    return path


def _head(directory: RunDirectory, lines: list[dict[str, Any]], sample: Sample) -> dict[str, Any]:
    manifest = directory.manifest
    return {
        "name": manifest.name,
        "model": manifest.model.path,
        "done": lines[-1]["step"],
        "steps": manifest.steps,
        "numbers": numbers(lines),
        "alarms": alarms(lines, manifest),
        "settings": settings(manifest),
        "shown": sample.size,
        "total": sample.total,
    }


_FILTER_RULES = {
    "top": "the best {n} stay",
    "balance": "{n} stay, right and wrong ones in turn",
    "within": "the better half of the right ones and of the wrong ones stays",
    "weights": "all stay, weighted by rank",
}


def _index(manifest: Manifest, sample: Sample) -> dict[str, Any]:
    """What the page knows of every tree. Raises PolicyError when the model's config cannot be read."""
    return {
        "total": sample.total,
        "beta": manifest.ib.beta,
        "units": UNITS.get(manifest.ib.estimator),
        "temperature": manifest.rollout.temperature,
        "filter": _FILTER_RULES[manifest.filter.kind].format(n=manifest.kept_branches),
        "scope": manifest.filter.scope,
        "gate": describe_gate(manifest),
        "gates": gate_values(manifest, manifest.rollout.max_response_tokens),
    }


def _chunks(
    directory: RunDirectory, lines: list[dict[str, Any]], sample: Sample, texts: TokenTexts, index: dict[str, Any]
) -> Iterator[tuple[str, str]]:
    """(name, chunk): `curves`, `plotly`, one `tree-<n>` per tree, and `index`, whose row n is of tree-<n>."""
    manifest = directory.manifest
    yield "curves", chunk(curves(lines))
    yield "plotly", chunk(get_plotlyjs())
    rows = []
    for step, places in sample.chosen.items():
        for place, tree in zip(places, directory.trees(step, places), strict=True):
            yield f"tree-{len(rows)}", chunk(details(tree, manifest, texts))
            rows.append(row(tree, step, place))
    yield "index", chunk(index | {"rows": rows})

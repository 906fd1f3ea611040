"""Tables of the study of the latent: Markdown for a page, rich for a terminal, CSV for whoever wants to look again."""

import csv
from pathlib import Path

from rich.markup import escape
from rich.table import Table

from ib_lpo.analysis.latent.attention import AttentionEffect
from ib_lpo.analysis.latent.effects import MEASURES, Branch
from ib_lpo.analysis.latent.variants import CONTROL, MEAN
from ib_lpo.analysis.markdown import table as table_of
from ib_lpo.bootstrap import Estimate

Effects = dict[str, dict[str, Estimate]]
"""By variant, then by measure; the base of the comparison first, with its own means."""

_FIT = ("objective", "steps", "elbo", "nll", "kl", "nll_without", "nll_prior", "use_of_z", "use_of_z_error", "active_units")


def append_branches(out: Path, variant: str, forks: list[list[Branch]]) -> None:
    """Add a variant's branches to a CSV file, with a header if there is none yet."""
    new = not out.exists()
    with out.open("a", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        if new:
            table.writerow(["variant", "fork", "branch", "tokens", "answer", "verdict", "text"])
        for of in forks:
            for k, b in enumerate(of):
                table.writerow([variant, b.fork, k, len(b.token_ids), b.answer or "", str(b.verdict), b.text])


def markdown(of_control: Effects, of_mean: Effects, attention: dict[str, AttentionEffect], reports: dict[str, dict]) -> str:
    """All tables of a study."""
    tests = sum(len(of) for effects in (of_control, of_mean) for of in list(effects.values())[1:])
    fits = table_of(["injection", *_FIT], [[name, *(_number(report[key]) for key in _FIT)] for name, report in reports.items()])
    moved = [[name, _slot_mass(e), f"{e.moved.mean():.4f}", f"{e.moved.max():.4f}"] for name, e in attention.items()]
    columns = ["injection", "mass on the slots, injected layers", "attention moved, all layers", "largest head"]
    counted = f"Of the {tests} differences of the two tables about {tests / 20:.0f} would do so by chance."
    return (
        f"### Difference from the same forks without z\n\nMean [95 % interval]; bold: 0 lies outside. {counted}\n\n"
        f"{_effects(of_control)}\n### Difference from the same forks under z = mu(c)\n\n{_effects(of_mean)}\n"
        f"### Fits, held-out pairs\n\n{fits}\n### Attention\n\n{table_of(columns, moved)}"
    )


def shown(effects: Effects, base: str) -> Table:
    """Means for a terminal; the intervals are in the page."""
    against = {CONTROL: "without z", MEAN: "under z = mu(c)"}[base]
    table = Table("variant", *(key.replace("_", " ") for key in MEASURES), title_justify="left")
    table.title = f"difference from the same forks {against}; *: the 95 % interval excludes 0"
    for name, of in effects.items():
        form = "{:.3f}" if name == base else "{:+.3f}"
        table.add_row(escape(name), *(form.format(of[key].mean) + "*" * (name != base and of[key].excludes_zero) for key in MEASURES))
    return table


def _effects(effects: Effects) -> str:
    base = next(iter(effects))
    rows = [[name, *(_cell(of[key], own=name == base) for key in MEASURES)] for name, of in effects.items()]
    return table_of(["variant", *MEASURES.values()], rows)


def _cell(e: Estimate, *, own: bool) -> str:
    if own:
        return f"{e.mean:.3f}"
    text = e.shown("+.3f")
    return f"**{text}**" if e.excludes_zero else text


def _slot_mass(effect: AttentionEffect) -> str:
    injected = effect.slot_mass[effect.slot_mass.any(1)]
    return f"{injected.mean():.4f}" if injected.size else "no slots"


def _number(value: float | str) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)

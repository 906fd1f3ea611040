"""Figures of `ib-lpo analyze latent`, PNG, each with its data as CSV beside it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ib_lpo.analysis.figures import pyplot, save, write_csv
from ib_lpo.analysis.latent.attention import AttentionEffect
from ib_lpo.analysis.latent.effects import MEASURES
from ib_lpo.analysis.runs.intervals import numbers
from ib_lpo.bootstrap import Estimate

_DRAWN = ("distance", "distinct_4", "answer_entropy", "accuracy")


def draw_effects(of_control: dict[str, dict[str, Estimate]], of_mean: dict[str, dict[str, Estimate]], folder: Path) -> None:
    """latent_effects.{csv,png}: differences from the forks without z (above) and under z = mu(c) (below), with intervals."""
    rows = [
        [next(iter(effects)), name, key, *numbers(e)]
        for effects in (of_control, of_mean)
        for name, of in effects.items()
        for key, e in of.items()
    ]
    write_csv(folder / "latent_effects.csv", ["base", "variant", "measure", "difference (base: value)", "low", "high"], rows)
    plt = pyplot()
    heights = [len(of_control) - 1, len(of_mean) - 1]
    size = (13, 0.4 * sum(heights) + 2.6)
    figure, grid = plt.subplots(2, len(_DRAWN), figsize=size, height_ratios=heights, sharex="col", layout="constrained")
    for effects, panels in zip((of_control, of_mean), grid, strict=True):
        _effects(effects, panels)
    for panel, key in zip(grid[0], _DRAWN, strict=True):
        panel.set_title(f"{MEASURES[key]}\n{_base(of_control, key)}", fontsize=9)
    for panel, key in zip(grid[1], _DRAWN, strict=True):
        panel.set_title(_base(of_mean, key), fontsize=9)
    grid[0][0].set_ylabel("difference from no z")
    grid[1][0].set_ylabel("difference from z = mu(c)")
    figure.suptitle("Branches of the same forks: mean difference and 95 % bootstrap interval; red: 0 lies outside", fontsize=10)
    save(figure, folder / "latent_effects.png")


def _base(effects: dict[str, dict[str, Estimate]], key: str) -> str:
    base = next(iter(effects))
    return f"{base}: {effects[base][key].mean:.3f}"


def _effects(effects: dict[str, dict[str, Estimate]], panels: Any) -> None:
    names = list(effects)[1:]
    for panel, key in zip(panels, _DRAWN, strict=True):
        for row, name in enumerate(names):
            e = effects[name][key]
            colour = "#d1495b" if e.excludes_zero else "#5f6b76"
            panel.plot(np.array([e.low, e.high], dtype=np.float64), [row, row], color=colour, lw=2)
            panel.plot(e.mean, row, "o", color=colour, ms=5)
        panel.axvline(0, color="black", lw=0.8)
        panel.grid(axis="x", alpha=0.3)
        panel.set_yticks(range(len(names)), names if panel is panels[0] else [], fontsize=9)
        panel.set_ylim(len(names) - 0.5, -0.5)


def draw_kl(per_dim: Mapping[str, Sequence[float]], folder: Path) -> None:
    """latent_kl.{csv,png}: KL(q || p) per dimension, sorted, of each fitted latent."""
    ordered = {name: sorted(values, reverse=True) for name, values in per_dim.items()}
    rows = [[name, rank, f"{value:.6f}"] for name, values in ordered.items() for rank, value in enumerate(values, start=1)]
    write_csv(folder / "latent_kl.csv", ["latent", "rank", "kl_nats"], rows)
    plt = pyplot()
    figure, panels = plt.subplots(1, len(ordered), figsize=(1 + 3.6 * len(ordered), 3), squeeze=False, sharey=True, layout="constrained")
    for panel, (name, values) in zip(panels[0], ordered.items(), strict=True):
        panel.bar(range(1, len(values) + 1), values, color="#2f6f8f")
        panel.set_title(f"{name}: {sum(values):.2f} nats in all", fontsize=10)
        panel.set_xlabel("dimension of z, by KL")
        panel.grid(axis="y", alpha=0.3)
    panels[0][0].set_ylabel("KL(q || p), nats per pair")
    save(figure, folder / "latent_kl.png")


def draw_attention(found: Mapping[str, AttentionEffect], folder: Path) -> None:
    """latent_attention.{csv,png}: mass on the slots and distance moved, layer by head."""
    rows = [
        [name, layer, head, f"{effect.slot_mass[layer, head]:.6f}", f"{effect.moved[layer, head]:.6f}"]
        for name, effect in found.items()
        for layer, head in np.ndindex(effect.moved.shape)
    ]
    write_csv(folder / "latent_attention.csv", ["injection", "layer", "head", "slot_mass", "moved"], rows)
    plt = pyplot()
    panels_of = [(f"{n}: mass on the slots", e.slot_mass) for n, e in found.items() if e.slot_mass.any()]
    panels_of += [(f"{name}: attention moved by z", effect.moved) for name, effect in found.items()]
    top = max(float(values.max()) for _, values in panels_of) or 1.0
    figure, panels = plt.subplots(
        1, len(panels_of), figsize=(3.1 * len(panels_of) + 0.8, 5.2), squeeze=False, sharey=True, layout="constrained"
    )
    for panel, (title, values) in zip(panels[0], panels_of, strict=True):
        image = panel.imshow(values, aspect="auto", origin="lower", cmap="magma", vmin=0, vmax=top)
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("head")
    panels[0][0].set_ylabel("layer")
    figure.colorbar(image, ax=panels[0].tolist(), label="attention weight, total variation distance")
    save(figure, folder / "latent_attention.png")

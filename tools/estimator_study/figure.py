"""S against length, coloured by correctness, one panel per estimator: estimators.csv and estimators.png."""

import csv
from pathlib import Path

import numpy as np

from estimator_study.study import Findings
from ib_lpo.scoring.estimators import ESTIMATORS

NAME = "estimators"
_LOOK = {False: {"color": "#9aa0a6", "s": 12, "alpha": 0.55, "label": "wrong"}, True: {"color": "#d1495b", "s": 34, "label": "right"}}


def draw(found: Findings, folder: Path) -> None:
    """Write the data and the figure."""
    folder.mkdir(parents=True, exist_ok=True)
    _data(found, folder / f"{NAME}.csv")
    _figure(found, folder / f"{NAME}.png")


def _data(found: Findings, out: Path) -> None:
    """A row per trajectory: terms in nats, S of the terms as they are (`raw`), S_IB among siblings (`score`)."""
    sample = found.sample
    with out.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        kinds = ("relevance", "compression", "raw", "score")
        table.writerow(["trajectory", "question", "verdict", "tokens", *(f"{name}: {kind}" for name in found.of_sample for kind in kinds)])
        for i, question, verdict, tokens in zip(sample.ids, sample.question, sample.verdicts, sample.tokens, strict=True):
            row = [i, question, str(verdict), int(tokens)]
            for scoring in found.of_sample.values():
                held = scoring.scores[i]
                row += [f"{value:.4f}" for value in (held.relevance, held.compression, scoring.raw(i), held.score)]
            table.writerow(row)


def _figure(found: Findings, out: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sample = found.sample
    figure, panels = plt.subplots(2, 2, figsize=(9.6, 7.2), layout="constrained", sharex=True)
    for panel, name in zip(panels.flat, ESTIMATORS, strict=True):
        scores = np.array([found.of_sample[name].raw(i) for i in sample.ids])
        for right, look in _LOOK.items():
            panel.scatter(sample.tokens[sample.right == right], scores[sample.right == right], linewidths=0, **look)
        panel.set_title(name)
        panel.grid(alpha=0.3)
    for panel in panels[-1]:
        panel.set_xlabel("length of the response, tokens")
    for panel in panels[:, 0]:
        panel.set_ylabel("S = beta I(r;a) - I(q;r), nats")
    panels[0, 0].legend(frameon=False)
    counts = f"{len(sample.ids)} trajectories, {int(sample.right.sum())} right, {len(set(sample.question))} questions"
    figure.suptitle(f"Score against length: {counts}")
    figure.savefig(out, dpi=110)
    plt.close(figure)

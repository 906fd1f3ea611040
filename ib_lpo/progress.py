"""What a person watching the run sees: a bar with the current phase, one line per step, one table at the end.

Without a terminal (CI, a log file) there is no bar, only the lines. A metric that is absent shows as a dash, never as 0.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

PHASES = ("grow", "grade", "score", "filter", "update", "publish")
Metrics = Mapping[str, float]


class StepDisplay:
    """Progress of the training loop, a context manager; times each phase."""

    def __init__(self, steps: int, start: int = 0, *, console: Console | None = None) -> None:
        """`steps`: how many the run has in all; `start`: how many are done already, after a resume."""
        self.console = console or get_console()
        self._bar = Progress(
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TextColumn("{task.fields[phase]:<8}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("train", total=steps, completed=start, phase="")
        self._seconds: dict[str, float] = {}

    def __enter__(self) -> "StepDisplay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show `name` while the block runs and add its wall time to the step."""
        self._bar.update(self._task, phase=name)
        began = time.perf_counter()
        try:
            yield
        finally:
            self._seconds[name] = self._seconds.get(name, 0.0) + time.perf_counter() - began

    @property
    def seconds(self) -> dict[str, float]:
        """`seconds/<phase>` of the step under way, seconds."""
        return {f"seconds/{name}": value for name, value in self._seconds.items()}

    def done(self, step: int, metrics: Metrics) -> None:
        """Print the step's line, advance the bar and start the next step's clock."""
        self._bar.console.print(line(step, metrics), highlight=False, markup=False, soft_wrap=True)
        self._bar.update(self._task, advance=1)
        self.begin()

    def begin(self) -> None:
        """Start a step's clock."""
        self._bar.update(self._task, phase="")
        self._seconds = {}


def say(text: str) -> None:
    """Print one plain line, above the bar when there is one."""
    get_console().print(text, highlight=False, markup=False, soft_wrap=True)


def line(step: int, metrics: Metrics) -> str:
    """One step in one line of plain text."""
    parts = [
        f"step {step:>4}",
        f"reward {_show(metrics, 'grade/reward', '.3f')}",
        f"held-out {_show(metrics, 'held_out/accuracy', '.3f')}" if "held_out/accuracy" in metrics else "",
        f"batches {metrics['sampling/batches']:.0f}" if metrics.get("sampling/batches", 1) > 1 else "",
        f"forks {_show(metrics, 'grow/forks', '.0f')}",
        f"kept/pruned {_show(metrics, 'filter/kept', '.0f')}/{_show(metrics, 'filter/pruned', '.0f')}",
        f"H {_show(metrics, 'grow/entropy', '.3f')}",
        f"cached {_show(metrics, 'grow/cached_share', '.0%')}",
        f"|dlogp| {_show(metrics, 'mismatch/mean_abs', '.1e')}",
        f"{_total_seconds(metrics):.1f} s",
    ]
    return "  ".join(part for part in parts if part)


def summary_table(first: Metrics, last: Metrics, totals: Metrics) -> Table:
    """The run in one table: `first` and `last` are metrics of its ends, `totals` sums or means over all steps by the same names.

    Counts and seconds in `totals` are sums; entropy, cached share and mean |dlogp| are means; max |dlogp| is the largest.
    """
    table = Table("", "before", "after", "whole run", title="training run", title_justify="left")
    table.add_row("held-out reward", *_ends(first, last, "held_out/accuracy", ".3f"), "")
    table.add_row("training reward", *_ends(first, last, "grade/reward", ".3f"), _show(totals, "grade/reward", ".3f"))
    table.add_row("mean entropy, nats", *_ends(first, last, "grow/entropy", ".3f"), _show(totals, "grow/entropy", ".3f"))
    table.add_section()
    for label, metric, form in (
        ("questions drawn", "sampling/questions", ",.0f"),
        ("of them dropped: no signal", "sampling/silent", ",.0f"),
        ("of them dropped: step was full", "sampling/surplus", ",.0f"),
        ("forks", "grow/forks", ",.0f"),
        ("roots left unforked", "grow/unforked", ",.0f"),
        ("trajectories kept", "filter/kept", ",.0f"),
        ("branches filtered out", "filter/pruned", ",.0f"),
        ("cached-prefix share", "grow/cached_share", ".1%"),
        ("engine-learner |Δ log p|, mean", "mismatch/mean_abs", ".2e"),
        ("engine-learner |Δ log p|, largest", "mismatch/max_abs", ".2e"),
        ("weight syncs", "publish/syncs", ",.0f"),
        ("tokens forwarded / trajectory tokens", "learner/tree_token_ratio", ".1%"),
        ("padding", "learner/padding", ".1%"),
        ("ranks waiting for a longer one", "learner/waiting", ".1%"),
    ):
        table.add_row(label, "", "", _show(totals, metric, form))
    for metric in sorted(name for name, value in totals.items() if name.startswith("alarms/") and value):
        table.add_row(f"steps with alarm: {metric.removeprefix('alarms/')}", "", "", _show(totals, metric, ",.0f"))
    table.add_section()
    timed = [name.removeprefix("seconds/") for name in totals if name.startswith("seconds/")]
    for phase in sorted(timed, key=lambda name: PHASES.index(name) if name in PHASES else len(PHASES)):
        table.add_row(f"seconds in {phase}", "", "", _show(totals, f"seconds/{phase}", ",.1f"))
    return table


def _ends(first: Metrics, last: Metrics, metric: str, form: str) -> tuple[str, str]:
    return _show(first, metric, form), _show(last, metric, form)


def _show(metrics: Metrics, metric: str, form: str) -> str:
    return format(metrics[metric], form) if metric in metrics else "-"


def _total_seconds(metrics: Metrics) -> float:
    return sum(value for name, value in metrics.items() if name.startswith("seconds/"))

"""What a person watching the run sees: a bar with the current phase, one line per step, one table at the end.

Without a terminal (CI, a log file) there is no bar, only the lines. A metric that is absent shows as a dash, never as 0.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from rich import get_console
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from ib_lpo.redaction import redact
from ib_lpo.tree import FailureMode

PHASES = ("grow", "score", "filter", "update", "publish")
Metrics = Mapping[str, float]
_COUNT = ",.0f"
_ALWAYS = (
    ("questions drawn", "sampling/questions", _COUNT),
    ("of them dropped: no signal", "sampling/silent", _COUNT),
    ("of them dropped: step was full", "sampling/surplus", _COUNT),
    ("forks", "grow/forks", _COUNT),
    ("roots left unforked", "grow/unforked", _COUNT),
    ("trajectories kept", "filter/kept", _COUNT),
    ("branches filtered out", "filter/pruned", _COUNT),
    ("cached-prefix share", "grow/cached_share", ".1%"),
    ("engine-learner |Δ log p|, mean", "mismatch/mean_abs", ".2e"),
    ("engine-learner |Δ log p|, largest", "mismatch/max_abs", ".2e"),
    ("weight syncs", "publish/syncs", _COUNT),
    ("tokens forwarded / trajectory tokens", "learner/tree_token_ratio", ".1%"),
    ("padding", "learner/padding", ".1%"),
    ("ranks waiting for a longer one", "learner/waiting", ".1%"),
)
_WHEN_MEASURED = (
    ("unverifiable trajectories", "grade/unverifiable", _COUNT),
    ("low-IB trajectories", "failure/low", _COUNT),
    *((f"of them: {mode.replace('_', ' ')}", f"failure/{mode}", _COUNT) for mode in FailureMode),
    ("of them: no known cause", "failure/unexplained", _COUNT),
    ("scored tokens per trajectory", "ib/tokens_per_trajectory", ",.1f"),
)


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
        self._began = time.perf_counter()

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

    def idle(self, who: str, busy: Sequence[str]) -> dict[str, float]:
        """`idle/<who>`: share of the step's time so far that was spent in other phases than those in `busy`."""
        total = time.perf_counter() - self._began
        return {f"idle/{who}": max(0.0, 1.0 - sum(self._seconds.get(name, 0.0) for name in busy) / total)} if total > 0 else {}

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
        self._began = time.perf_counter()

    def rewind(self, step: int) -> None:
        """Go back to a step that was done before."""
        self._bar.update(self._task, completed=step)
        self.begin()


def say(text: str) -> None:
    """Print one plain line, without the secrets in it, above the bar when there is one."""
    get_console().print(redact(text), highlight=False, markup=False, soft_wrap=True)


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

    Counts and seconds in `totals` are sums; entropy, cached share, mean |dlogp| and tokens per trajectory are means; max |dlogp| is the
    largest. What a run need not measure (failure modes, scored tokens) has a row only when it did.
    """
    table = Table("", "before", "after", "whole run", title="training run", title_justify="left")
    table.add_row("held-out reward", *_ends(first, last, "held_out/accuracy", ".3f"), "")
    table.add_row("training reward", *_ends(first, last, "grade/reward", ".3f"), _show(totals, "grade/reward", ".3f"))
    table.add_row("mean entropy, nats", *_ends(first, last, "grow/entropy", ".3f"), _show(totals, "grow/entropy", ".3f"))
    table.add_section()
    for label, metric, form in _ALWAYS:
        table.add_row(label, "", "", _show(totals, metric, form))
    for label, metric, form in _WHEN_MEASURED:
        if metric in totals:
            table.add_row(label, "", "", _show(totals, metric, form))
    for metric in sorted(name for name, value in totals.items() if name.startswith("alarms/") and value):
        table.add_row(f"steps with alarm: {metric.removeprefix('alarms/')}", "", "", _show(totals, metric, _COUNT))
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

"""What is shown, without a terminal and with one."""

import io

from rich.console import Console

from ib_lpo.progress import PHASES, StepDisplay, line, summary_table

METRICS = {
    "grade/reward": 0.4375,
    "held_out/accuracy": 0.25,
    "grow/forks": 30,
    "grow/unforked": 2,
    "filter/kept": 92,
    "filter/pruned": 36,
    "grow/entropy": 0.1434,
    "grow/cached_share": 0.731,
    "mismatch/mean_abs": 3.2e-6,
    "mismatch/max_abs": 4.5e-5,
    "publish/syncs": 24,
    "seconds/grow": 4.0,
    "seconds/update": 1.5,
}


def rendered(table):
    console = Console(file=io.StringIO(), width=100)
    console.print(table)
    return [" ".join(text.replace("│", " ").split()) for text in console.file.getvalue().splitlines()]


def test_line_has_every_figure():
    assert line(7, METRICS) == (
        "step    7  reward 0.438  held-out 0.250  forks 30  kept/pruned 92/36  H 0.143  cached 73%  |dlogp| 3.2e-06  5.5 s"
    )


def test_an_absent_metric_is_a_dash_and_never_zero():
    assert line(0, {}) == "step    0  reward -  forks -  kept/pruned -/-  H -  cached -  |dlogp| -  0.0 s"
    assert "weight syncs -" in rendered(summary_table({}, {}, {}))


def test_summary():
    rows = rendered(summary_table(METRICS, METRICS | {"held_out/accuracy": 0.5}, METRICS))
    for row in (
        "held-out reward 0.250 0.500",
        "mean entropy, nats 0.143 0.143 0.143",
        "forks 30",
        "branches filtered out 36",
        "cached-prefix share 73.1%",
        "engine-learner |Δ log p|, largest 4.50e-05",
        "weight syncs 24",
    ):
        assert row in rows
    assert rows.index("seconds in grow 4.0") < rows.index("seconds in update 1.5")


def test_rows_of_what_a_run_need_not_measure_are_there_when_it_did():
    found = {
        "grade/unverifiable": 3.0,
        "failure/low": 1234.0,
        "failure/empty_fluff": 5.0,
        "failure/repetitive_loop": 0.0,
        "failure/logical_drift": 7.0,
        "failure/unexplained": 1200.0,
        "ib/tokens_per_trajectory": 61.25,
    }
    rows = [
        "unverifiable trajectories 3",
        "low-IB trajectories 1,234",
        "of them: empty fluff 5",
        "of them: repetitive loop 0",
        "of them: logical drift 7",
        "of them: no known cause 1,200",
        "scored tokens per trajectory 61.2",
    ]
    shown, without = rendered(summary_table({}, {}, found)), rendered(summary_table({}, {}, {}))
    assert [row for row in shown if row in rows] == rows
    assert len(shown) == len(without) + len(rows)


def test_a_step_that_drew_several_batches_says_so():
    assert "batches" not in line(7, METRICS | {"sampling/batches": 1.0})
    assert "reward 0.438  held-out 0.250  batches 3  forks 30" in line(7, METRICS | {"sampling/batches": 3.0})


def test_the_summary_counts_the_steps_of_each_alarm_that_was_on():
    rows = rendered(summary_table({}, {}, {"alarms/silence": 0.0, "alarms/mismatch": 4.0}))
    assert "steps with alarm: mismatch 4" in rows
    assert not any("silence" in row for row in rows)


def run(console):
    with StepDisplay(3, 1, console=console) as display:
        for step in (1, 2):
            for phase in PHASES:
                with display.phase(phase):
                    pass
            assert set(display.seconds) == {f"seconds/{phase}" for phase in PHASES}
            display.done(step, METRICS)
            assert display.seconds == {}
    return console.file.getvalue()


def test_without_a_terminal_there_are_only_whole_lines():
    output = run(Console(file=io.StringIO(), width=20))
    assert output.splitlines() == [line(1, METRICS), line(2, METRICS)]


def test_with_a_terminal_there_is_a_bar():
    output = run(Console(file=io.StringIO(), width=200, force_terminal=True))
    assert line(2, METRICS) in output and "3/3" in output


def test_a_phase_that_raises_is_timed_and_the_bar_stops():
    display = StepDisplay(1, console=Console(file=io.StringIO(), force_terminal=True))
    try:
        with display, display.phase("grow"):
            raise RuntimeError("x")
    except RuntimeError:
        pass
    assert "seconds/grow" in display.seconds and display._bar.finished is False and not display._bar.live.is_started

"""Which checkpoints of a run stay, which one is the best, and what is counted."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ib_lpo.checkpoints.best import best_of, rank_of
from ib_lpo.checkpoints.config import CheckpointConfig
from ib_lpo.checkpoints.directory import Checkpoint, complete, newest_complete
from ib_lpo.checkpoints.shelf import Checkpoints
from ib_lpo.manifest import ManifestError, validate
from ib_lpo.metrics.registry import describe

BY_ACCURACY = {"best": "held_out/accuracy"}


def shelf(root, **config):
    return Checkpoints(root, CheckpointConfig(**config), name="run")


def steps(root):
    return [checkpoint.step for checkpoint in complete(root)]


@pytest.mark.parametrize(("mode", "best", "stay"), [("max", 2, [2, 5]), ("min", 3, [3, 5])])
def test_the_best_one_stays_with_the_newest(tmp_path, mode, best, stay):
    kept = shelf(tmp_path, keep=1, best="held_out/accuracy", best_mode=mode)
    for step, value in enumerate((0.3, 0.9, 0.1, 0.9, 0.5), start=1):
        kept.write(step, lambda path: None, {"step": step}, {"held_out/accuracy": value})
    assert steps(tmp_path) == stay
    assert (tmp_path / "best").readlink().name == f"step-{best:06d}"
    assert json.loads((tmp_path / "best" / "state.json").read_text())["ranked"]["metric"] == "held_out/accuracy"
    assert kept.metrics() == {"checkpoint/unranked": 0.0}


def test_a_resumed_run_knows_the_best_one(tmp_path):
    shelf(tmp_path, keep=1, **BY_ACCURACY).write(1, lambda path: None, {}, {"held_out/accuracy": 0.9})
    again = shelf(tmp_path, keep=1, **BY_ACCURACY)
    for step in (2, 3):
        again.write(step, lambda path: None, {}, {"held_out/accuracy": 0.2})
    assert steps(tmp_path) == [1, 3] and (tmp_path / "best").readlink().name == "step-000001"


@pytest.mark.parametrize("metrics", [{}, {"held_out/accuracy": math.nan}, {"held_out/accuracy": None}])
def test_a_value_that_is_absent_is_counted_and_told_once(tmp_path, capsys, metrics):
    kept = shelf(tmp_path, keep=1, **BY_ACCURACY)
    for step in (1, 2):
        kept.write(step, lambda path: None, {}, metrics)
    assert kept.metrics() == {"checkpoint/unranked": 2.0}
    assert "".join(capsys.readouterr().out.split()).count("checkpoint.best=held_out/accuracy:step1hasnofinitevalueofit") == 1
    assert steps(tmp_path) == [2] and not (tmp_path / "best").is_symlink()


def test_going_on_from_an_earlier_one_sets_the_best_one_aside_with_the_others(tmp_path):
    kept = shelf(tmp_path, keep=9, **BY_ACCURACY)
    for step, value in enumerate((0.3, 0.2, 0.9), start=1):
        kept.write(step, lambda path: None, {}, {"held_out/accuracy": value})
    shelf(tmp_path, keep=9, **BY_ACCURACY).go_on_from(complete(tmp_path)[1])
    assert newest_complete(tmp_path).step == 2
    assert (tmp_path / "best").readlink().name == "step-000001"


values = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(values, min_size=1, max_size=8), st.sampled_from(["max", "min"]))
def test_the_best_is_the_first_of_the_finite_extremes(found, mode):
    config = CheckpointConfig(best="loss/policy", best_mode=mode)
    states = [rank_of({"loss/policy": value}, config) for value in found]
    made = [Checkpoint(step, state) for step, state in enumerate(states)]
    finite = [value for value in found if math.isfinite(value)]
    best = best_of(made, config)
    if not finite:
        assert best is None
        return
    want = (max if mode == "max" else min)(finite)
    assert best.path == next(step for step, value in enumerate(found) if value == want)
    assert best_of(made, CheckpointConfig(best="another/metric")) is best_of(made, CheckpointConfig()) is None


def test_nothing_configured_counts_nothing(tmp_path):
    assert shelf(tmp_path).metrics() == {}


def test_every_count_has_a_name(tmp_path):
    counts = shelf(tmp_path, best="x/y", upload="true").metrics()
    assert len(counts) == 4 and all(describe(name) for name in counts)


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ({"upload": "copy {where}"}, "checkpoint.upload='copy {where}': {where} stands for nothing; {path}, {name} and {step} do"),
        ({"upload": "copy 'x"}, 'checkpoint.upload="copy \'x": No closing quotation'),
        ({"upload": " "}, "checkpoint.upload=' ': is empty; give a command"),
        ({"upload": "copy {"}, "checkpoint.upload='copy {': "),
        ({"best_mode": "most"}, "checkpoint.best_mode='most': "),
    ],
)
def test_settings_that_cannot_work_are_one_line(config, complaint):
    with pytest.raises(ManifestError) as refused:
        validate({"name": "r", "steps": 1, "model": {"path": "m"}, "checkpoint": config})
    assert str(refused.value).startswith(complaint) and "\n" not in str(refused.value)

"""Entropy groups: which positions are chosen, what is compared at which size, and the command on a tiny policy."""

import csv
import re
from collections import Counter
from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from ib_lpo.analysis.config import EntropyGroupsConfig
from ib_lpo.analysis.entropy_groups.analyze import require_groups
from ib_lpo.analysis.entropy_groups.decoding import strategies
from ib_lpo.analysis.entropy_groups.figure import HEADS, table_of
from ib_lpo.analysis.entropy_groups.measures import MEASURES, estimates, measured
from ib_lpo.analysis.entropy_groups.positions import choose
from ib_lpo.analysis.latent.effects import Branch
from ib_lpo.cli import app
from ib_lpo.errors import UserError
from ib_lpo.manifest import validate
from ib_lpo.tree import Verdict
from tests.system.runs import LOCAL, train, write_manifest
from tests.system.tiny_policy import save_task

CONFIG = EntropyGroupsConfig()
ENTROPIES = st.lists(st.floats(0, 3, width=32), min_size=1, max_size=80).map(lambda values: np.array(values, np.float32))


@settings(deadline=None)
@given(ENTROPIES, st.integers(1, 3), st.integers(0, 2**31))
def test_positions_are_eligible_distinct_and_of_their_group(entropies, count, seed):
    config = CONFIG.model_copy(update={"positions": count})
    end = len(entropies) - 1
    chosen = choose(entropies, end=end, config=config, rng=np.random.default_rng(seed))
    eligible = max(0, end - 1)
    if not chosen:
        assert min(int(high * eligible) - int(low * eligible) for low, high in config.groups.values()) < count
        return
    everything = [position for of in chosen.values() for position in of]
    assert len(set(everything)) == len(everything) == 3 * count and all(1 <= position < end for position in everything)
    for low, high in combinations(chosen.values(), 2):
        assert max(entropies[low]) <= min(entropies[high])
    order = sorted(range(1, end), key=lambda position: (entropies[position], position))
    assert set(chosen["low"]) <= set(order[: int(0.2 * eligible)])
    assert set(chosen["high"]) <= set(order[int(0.95 * eligible) :])


def test_the_other_groups_give_the_nearest_position():
    entropies = np.tile([0.0, 0.5, 0.6, 2.0], 10).astype(np.float32)  # positions 3, 7, 11, ... are the uncertain ones
    config = EntropyGroupsConfig(groups={"low": (0.0, 0.2), "high": (0.8, 1.0)})
    for seed in range(20):
        chosen = choose(entropies, end=40, config=config, rng=np.random.default_rng(seed))
        (high,), (low,) = chosen["high"], chosen["low"]
        assert high % 4 == 3 and low % 4 == 0
        assert low == min(range(4, 32, 4), key=lambda position: abs(position - high))  # the first 7 of 39 by rank


def test_seeds_choose_evenly():
    entropies = np.concatenate([[0], np.arange(100)]).astype(np.float32)
    found = Counter(choose(entropies, end=101, config=CONFIG, rng=np.random.default_rng(seed))["high"][0] for seed in range(500))
    assert set(found) == {96, 97, 98, 99, 100} and min(found.values()) > 60


def test_two_continuations_part_where_their_tokens_first_differ():
    sets = {("low", "a"): [[branches([1, 2, 3], [1, 2, 4, 5])]], ("high", "a"): [[branches([1, 2], [1, 2, 9])]]}
    found = measured(sets, encoder)
    assert found["low", "a"]["shared"] == [2] == found["high", "a"]["shared"] and found["low", "a"]["first_differs"] == [0]


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"low": (0.0, 0.5), "high": (0.4, 1.0)}, "begins below 0.5, where the group low ends"),
        ({"high": (0.1, 1.0), "low": (0.0, 0.2)}, "groups.high=.*begins below 0.2, where the group low ends"),
        ({"low": (0.2, 0.2), "high": (0.9, 1.0)}, "groups.low=.*holds no position"),
    ],
)
def test_groups_that_overlap_or_are_empty_are_refused(groups, message):
    with pytest.raises(UserError, match=message):
        require_groups(EntropyGroupsConfig(groups=groups))


def test_groups_are_ascending_however_they_are_written():
    assert list(EntropyGroupsConfig(groups={"high": (0.9, 1.0), "low": (0.0, 0.2)}).groups) == ["low", "high"]


def test_z_is_a_strategy_where_there_is_a_trained_prior():
    def names(kind, **chosen):
        latent = {"kind": kind, "untrained": True, "dim": 8} | ({"weights": "fitted"} if kind == "cvae" else {})
        values = {"name": "t", "steps": 1, "model": {"path": "unused"}, "latent": latent, "analysis": {"entropy_groups": chosen}}
        return [strategy.name for strategy in strategies(validate(values))]

    assert names("normal") == names("none") == names("cvae", z=False) == list(CONFIG.strategies)
    assert names("cvae") == [*CONFIG.strategies, "z, T 0.9"]
    assert names("cvae", strategies={"only": {"top_k": 3}}) == ["only", "z, T 0.9"]


def branches(*texts, answers=("1", "2"), right=(True, False)):
    return [
        Branch(
            fork="f",
            token_ids=np.array(ids, np.int32),
            text=" ".join(map(str, ids)),
            answer=a,
            verdict=Verdict.CORRECT if r else Verdict.WRONG,
        )
        for ids, a, r in zip(texts, answers, right, strict=True)
    ]


def encoder(sequences):
    """A feature per token id 0..9."""
    return torch.stack([torch.bincount(torch.as_tensor(ids).long(), minlength=10).float() for ids in sequences])


SETS = {  # two roots; two positions in the first, one in the second
    ("low", "a"): [[branches([0] * 8, [0] * 8, answers=("1", "1")), branches([1] * 8, [1] * 8)], [branches([2], [2])]],
    ("high", "a"): [[branches([0] * 16, [1] * 16), branches([0, 1] * 8, [2, 3] * 8)], [branches([0, 1, 2, 3] * 2, [3] * 8)]],
}


def test_measures_are_means_over_positions_and_distinct_4_at_the_roots_smallest_size():
    found = measured(SETS, encoder)
    np.testing.assert_allclose(found["low", "a"]["first_differs"], [0.0, 0.0])
    np.testing.assert_allclose(found["high", "a"]["first_differs"], [1.0, 1.0])
    np.testing.assert_allclose(found["low", "a"]["shared"], [8, 1])  # two alike are alike to their ends
    np.testing.assert_allclose(found["high", "a"]["shared"], [0, 0])
    np.testing.assert_allclose(found["low", "a"]["distance"], [0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found["high", "a"]["distance"][0], 1.0, atol=1e-6)
    np.testing.assert_allclose(found["low", "a"]["answer_entropy"], [np.log(2) / 2, np.log(2)])
    np.testing.assert_allclose(found["low", "a"]["distinct_4"], [1 / 10, np.nan])  # the second root's shortest set has no 4-gram
    sixteen_alike, alternating = [13, 13], [7, 6, 7, 6]  # how often the 4-grams of the long sets occur, 26 in all; ten are drawn
    seen = [sum(1 - comb(26 - count, 10) / comb(26, 10) for count in of) for of in (sixteen_alike, alternating)]
    assert found["high", "a"]["distinct_4"][0] == pytest.approx(sum(seen) / 2 / 10)
    np.testing.assert_allclose(found["high", "a"]["tokens"], [16, 8])
    assert set(found["low", "a"]) == set(MEASURES)


def test_estimates_are_over_roots_and_differences_paired_by_root():
    rng = np.random.default_rng(0)
    root = rng.normal(size=50) * 10
    values = {
        ("low", "a"): {name: root + rng.normal(size=50) * 0.01 for name in MEASURES},
        ("high", "a"): {name: root + 1 for name in MEASURES},
    }
    values["low", "a"]["vendi"][:7] = np.nan
    rows = {(row.group, row.measure): row for row in estimates(values, resamples=500, seed=0)}
    assert {group for group, _ in rows} == {"low", "high", "high - low"}
    of = rows["high - low", "tokens"].estimate
    assert 0.99 < of.low < of.mean < of.high < 1.01 and of.excludes_zero
    assert rows["low", "tokens"].estimate.high - rows["low", "tokens"].estimate.low > 2  # roots themselves differ by far more
    assert rows["low", "vendi"].roots == 43 == rows["high - low", "vendi"].roots and rows["high", "vendi"].roots == 50


def test_a_measure_that_no_root_has_has_no_row():
    values = {(g, "a"): {name: np.array([1.0, np.nan]) for name in MEASURES} for g in ("low", "high")}
    values["low", "a"]["vendi"] = np.full(2, np.nan)
    rows = estimates(values, resamples=100, seed=0)
    assert {row.group for row in rows if row.measure == "vendi"} == {"high"}
    table = table_of(rows, ["low", "high"])
    assert table.row_count == 2 * 2 + 1 and len(table.columns) == 2 + len(HEADS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("groups")
    save_task(folder, train=6, held_out=2)
    return folder


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["analysis.entropy_groups.z=true"], "analysis.entropy_groups.z=true: z is drawn from a trained prior, but latent.kind=normal"),
        (
            ["analysis.entropy_groups.tokens=60"],
            "analysis.entropy_groups.tokens=60: leaves roots nothing of rollout.max_response_tokens=60",
        ),
        (["analysis.entropy_groups.embedding.kind=sentence"], "analysis.entropy_groups.embedding.path=null: .* needs a sentence encoder"),
        (
            ["analysis.entropy_groups.embedding={kind: sentence, path: nowhere}"],
            "analysis.entropy_groups.embedding.path='nowhere': no usable sentence encoder",
        ),
        (["analysis.entropy_groups.roots=9"], "analysis.entropy_groups.roots=9: data.train has 6 questions"),
        (["analysis.entropy_groups.groups={low: [0, 0.5], high: [0.2, 1]}"], "groups.high=.*part them"),
        (["analysis.entropy_groups.groups={low: [0, 1.5], high: [0.2, 1]}"], "analysis.entropy_groups.groups.low"),
    ],
)
def test_what_does_not_fit_is_one_line_before_anything_is_generated(folder, monkeypatch, overrides, message):
    monkeypatch.chdir(folder)
    manifest = write_manifest(folder, name="refused", steps=1, analysis={"entropy_groups": {"roots": 4, "tokens": 16}})
    result = CliRunner().invoke(app, ["analyze", "entropy-groups", str(manifest), *LOCAL, *overrides])
    assert result.exit_code == 2 and re.search(message, result.output) and result.output.count("\n") == 1
    assert not (folder / "runs/refused-analysis").exists()


@pytest.mark.slow
def test_the_command_writes_figure_tables_and_every_continuation(folder):
    study = {
        "roots": 4,
        "continuations": 3,
        "tokens": 16,
        "resamples": 200,
        "groups": {"low": [0, 0.3], "high": [0.7, 1.0]},
        "strategies": {"cold": {"temperature": 0.05}, "hot": {"temperature": 1.5}, "two": {"top_k": 2}},
    }
    manifest = write_manifest(folder, name="tiny", steps=1, analysis={"entropy_groups": study})
    output = train(folder, manifest, *LOCAL, command=("analyze", "entropy-groups"))
    results = folder / "runs/tiny-analysis"
    assert "4 roots" in output and "72 of 72 continuations" in output and (results / "entropy_groups.png").stat().st_size > 20_000
    samples = list(csv.DictReader((results / "entropy_groups_samples.csv").open()))
    assert len(samples) == 4 * 2 * 3 * 3 and len({row["question"] for row in samples}) == 4
    for question in {row["question"] for row in samples}:
        own = {row["group"]: float(row["entropy"]) for row in samples if row["question"] == question}
        assert own["low"] < own["high"]
    rows = {(r["group"], r["strategy"], r["measure"]): r for r in csv.DictReader((results / "entropy_groups.csv").open())}
    spread = [r for r in rows.values() if r["low"]]  # values that are all alike have no interval
    assert len(spread) > len(rows) / 2
    assert all(float(r["low"]) <= float(r["mean"]) <= float(r["high"]) for r in spread)
    differs = {key[:2]: float(r["mean"]) for key, r in rows.items() if key[2] == "first_differs"}
    assert differs["low", "cold"] < differs["high", "hot"] and differs["high", "cold"] < differs["high", "hot"]
    want = [row for row in samples if (row["group"], row["strategy"]) == ("high", "hot")]
    assert float(rows["high", "hot", "tokens"]["mean"]) == pytest.approx(np.mean([int(row["tokens"]) for row in want]), abs=1e-4)


def test_the_default_groups_and_strategies_fit_the_manifest():
    require_groups(CONFIG)
    assert yaml.safe_load(yaml.safe_dump(CONFIG.model_dump(mode="json")))["strategies"]["top-p 0.9"]["top_p"] == 0.9

from ib_lpo.summary import ends, totals

LINES = [
    {"step": 0, "held_out/accuracy": 0.2, "publish/syncs": 1.0},
    {
        "step": 1,
        "grade/reward": 0.25,
        "grow/forks": 3,
        "failure/low": 5.0,
        "failure/logical_drift": 2.0,
        "ib/tokens_per_trajectory": 40.0,
        "mismatch/max_abs": 3e-6,
        "seconds/grow": 1.0,
        "alarms/mismatch": 1.0,
        "publish/syncs": 1.0,
    },
    {
        "step": 2,
        "grade/reward": 0.75,
        "grow/forks": 4,
        "failure/low": 6.0,
        "ib/tokens_per_trajectory": 50.0,
        "mismatch/max_abs": 1e-6,
        "seconds/grow": 2.0,
        "alarms/mismatch": 1.0,
        "publish/syncs": 1.0,
    },
    {"step": 3, "held_out/accuracy": 0.6, "grade/reward": None},
]


def test_ends_are_the_first_and_last_values_of_each_metric():
    first, last = ends(LINES)
    assert (first["held_out/accuracy"], last["held_out/accuracy"]) == (0.2, 0.6)
    assert last["grade/reward"] == 0.75
    assert (first["grow/forks"], last["grow/forks"]) == (3, 4)


def test_totals_add_counts_average_means_and_keep_the_worst():
    found = totals(LINES)
    assert found["grow/forks"] == 7
    assert found["publish/syncs"] == 3
    assert found["alarms/mismatch"] == 2
    assert (found["failure/low"], found["failure/logical_drift"]) == (11, 2)
    assert found["ib/tokens_per_trajectory"] == 45
    assert found["grade/reward"] == 0.5
    assert found["mismatch/max_abs"] == 3e-6
    assert found["seconds/grow"] == 3.0
    assert "grow/cached_share" not in found

"""The warm-up stops inside its bands, on made-up curves of accuracy against steps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_model.band import Band, BandError, reach


class Curve:
    """A trainee whose figures are functions of the steps it has taken, weighted by their rate."""

    def __init__(self, **curves):
        self.curves, self.at, self.fine = curves, 0.0, []

    def train(self, steps, rate):
        self.at += steps * rate

    def check(self, *, fine):
        self.fine.append(fine)
        return {name: curve(self.at) for name, curve in self.curves.items()}

    def state(self):
        return self.at

    def restore(self, state):
        self.at = state


BAND = {"accuracy": Band(0.30, 0.38)}


@given(st.floats(2.0, 2000.0), st.sampled_from([1, 10, 24, 100]))
def test_a_slope_is_met_however_steep(slope, every):
    """A curve that crosses the band in less than one interval: 0.1 at first, 0.9 `slope` steps later."""
    trainee = Curve(accuracy=lambda at: min(0.9, 0.1 + 0.8 * at / slope))
    found = reach(trainee, BAND, most_steps=5000, check_every=every)
    assert 0.30 <= found["accuracy"] <= 0.38 and found == trainee.check(fine=True)
    assert trainee.fine[-2], "a bounded band is settled by the fine check alone"


def test_a_jump_is_met_from_the_last_state_below():
    trainee = Curve(accuracy=lambda at: 0.0 if at < 130 else min(0.9, (at - 130) / 20))
    assert reach(trainee, BAND, most_steps=1000, check_every=50)["accuracy"] in BAND["accuracy"]
    assert 136 <= trainee.at <= 138


def test_a_step_without_a_band_in_it_is_an_error_that_says_so():
    with pytest.raises(BandError, match=r"accuracy 0\.900 \(wanted: 0\.3 to 0\.38\).*--seed"):
        reach(Curve(accuracy=lambda at: 0.1 if at < 70.3 else 0.9), BAND, most_steps=1000, check_every=50)


def test_too_few_steps_are_an_error():
    with pytest.raises(BandError, match=r"in 100 steps and 0 steps back: accuracy 0\.100"):
        reach(Curve(accuracy=lambda at: 0.1), BAND, most_steps=100, check_every=50)


def test_every_band_has_to_be_met():
    trainee = Curve(accuracy=lambda at: 0.35, sound=lambda at: at / 100)
    found = reach(trainee, BAND | {"sound": Band(0.85, 0.99)}, most_steps=500, check_every=10)
    assert 0.85 <= found["sound"] <= 0.99
    with pytest.raises(BandError, match="sound"):
        reach(Curve(accuracy=lambda at: 0.35, sound=lambda at: 0.1), BAND | {"sound": Band(0.85)}, most_steps=500, check_every=10)


def test_a_figure_above_its_band_waits_for_those_below_theirs():
    """It may come down while they rise; going back would not help."""
    trainee = Curve(share=lambda at: max(0.1, 0.5 - at / 200), sound=lambda at: at / 100)
    found = reach(trainee, {"share": Band(0.05, 0.2), "sound": Band(0.7, 0.99)}, most_steps=500, check_every=10)
    assert found["share"] <= 0.2 and found["sound"] >= 0.7


def test_a_band_without_an_upper_end_takes_small_checks_and_never_goes_back():
    trainee = Curve(accuracy=lambda at: at / 100)
    assert reach(trainee, {"accuracy": Band(0.5)}, most_steps=200, check_every=40)["accuracy"] == 0.8
    assert trainee.fine == [False, False]


@pytest.mark.parametrize(("value", "inside"), [(0.2999, False), (0.30, True), (0.38, True), (0.3801, False)])
def test_both_ends_of_a_band_belong_to_it(value, inside):
    assert (value in Band(0.30, 0.38)) == inside

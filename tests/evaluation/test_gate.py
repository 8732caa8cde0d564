import dataclasses
import math
import re

import pytest

from convoy.pipeline.evaluation.gate import decide


@pytest.mark.parametrize(
    ("value", "threshold", "previous", "min_gain", "blessed"),
    [
        (0.5, None, None, 0.0, True),
        (0.5, 0.5, None, 0.0, True),
        (0.499, 0.5, None, 0.0, False),
        (0.5, 0.4, 0.5, 0.0, True),  # as good is enough
        (0.4999, 0.4, 0.5, 0.0, False),
        (0.5, 0.4, 0.5, 0.001, False),
        (0.3, None, 0.2, 0.1, True),  # 0.2 + 0.1 > 0.3 in binary
        (0.9, 0.95, 0.5, 0.0, False),  # better than the old one, but not good
        (0.45, 0.4, 0.5, -0.1, True),  # a little worse is allowed
    ],
)
def test_decisions(value, threshold, previous, min_gain, blessed):
    old = None if previous is None else {"AP50": previous}
    verdict = decide({"AP50": value}, "AP50", threshold, old, min_gain)
    assert verdict.blessed is blessed
    assert str(verdict).startswith("Blessed: " if blessed else "Refused: ")


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "n/a"])
def test_unusable_metric_is_refused(value):
    verdict = decide({"AP50": value}, "AP50", 0.0, {"AP50": 0.1})
    assert not verdict.blessed
    assert "not a finite number" in str(verdict)


def test_unknown_metric_is_refused_and_names_the_known():
    verdict = decide({"AP": 0.1, "AP50": 0.2, "per_class": {}}, "AP60", None)
    assert not verdict.blessed
    assert verdict.reasons == [
        "The evaluation has no metric 'AP60' (evaluate.metric); it has: AP, AP50."
    ]


@pytest.mark.parametrize("old", [{}, {"AP50": None}, {"AP50": math.nan}])
def test_unusable_old_metric_is_no_mark(old):
    verdict = decide({"AP50": 0.2}, "AP50", 0.1, old, min_gain=0.1)
    assert verdict.blessed
    assert "sets no mark" in str(verdict)


def test_reasons_name_the_numbers_and_refusals_come_first():
    verdict = decide({"AP50": 0.45}, "AP50", 0.4, {"AP50": 0.5}, 0.01)
    assert verdict.reasons == [
        "AP50 0.4500 against 0.5000 of the pushed model (-0.0500) is not enough; "
        "a gain of at least 0.0100 is asked for (evaluate.min_gain: -0.0500 would let it pass).",
        "AP50 0.4500 reaches the threshold 0.4000.",
    ]
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.blessed = True


def test_the_gain_over_the_pushed_model():
    def gain(old):
        return decide({"AP50": 0.75}, "AP50", None, old).gain

    assert gain({"AP50": 0.5}) == 0.25
    assert gain({"AP50": 1.0}) == -0.25
    assert gain(None) is gain({"AP50": None}) is None
    assert "No other model is pushed" in str(decide({"AP50": 0.75}, "AP50"))


@pytest.mark.parametrize(("value", "threshold"), [(0.45678, 0.5), (0.1, 0.99), (0.0, 0.3)])
def test_a_refusal_names_a_value_that_passes(value, threshold):
    told = re.search(
        r"evaluate.threshold: ([0-9.]+) would", str(decide({"m": value}, "m", threshold))
    )
    assert decide({"m": value}, "m", float(told[1])).blessed
    old = {"m": value + 0.12345}
    told = re.search(
        r"evaluate.min_gain: (-?[0-9.]+) would", str(decide({"m": value}, "m", None, old))
    )
    assert float(told[1]) == pytest.approx(-0.1235)
    assert decide({"m": value}, "m", None, old, float(told[1])).blessed

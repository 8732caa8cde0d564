"""Counted numbers: NumPy's summary, however they are dealt and merged."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.data.statistics.numbers import FRACTION, Numbers

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        (RNG.integers(0, 2000, 1000), 1.0),
        (RNG.integers(1, 10_000_000, 1000), 1.0),
        (RNG.lognormal(-4, 2, 1000), FRACTION),
        (RNG.normal(0, 1, 999), FRACTION),
        (np.array([7]), 1.0),
        (np.zeros(5), FRACTION),
    ],
    ids=["exact", "large", "areas", "signed", "one", "zeros"],
)
def test_numbers_are_numpys_however_they_are_dealt(values, unit):
    whole = Numbers(unit)
    whole.add(values)
    merged = Numbers(unit)
    for part in np.array_split(RNG.permutation(values), 7):
        other = Numbers(unit)
        other.add(part)
        merged.merge(other)
    assert merged.summary() == whole.summary()  # to the last bit
    found = whole.summary()
    assert found["count"] == len(values)
    for name in ("min", "max", "mean", "std"):
        assert found[name] == pytest.approx(getattr(values, name)(), rel=1e-6, abs=1e-8), name
    parts = np.quantile(values, np.linspace(0, 1, 11))
    np.testing.assert_allclose(found["quantiles"], parts, rtol=1 / 1024, atol=1e-8)
    assert sum(found["histogram"]["counts"]) == len(values)


def test_integers_below_2048_have_numpys_histogram_and_quantiles():
    values = RNG.integers(0, 2048, 5000)
    numbers = Numbers()
    numbers.add(values)
    found = numbers.summary()
    np.testing.assert_allclose(
        found["quantiles"], np.quantile(values, np.linspace(0, 1, 11)), rtol=1e-14
    )
    counts, edges = np.histogram(values, 20)
    assert found["histogram"]["counts"] == counts.tolist()
    np.testing.assert_allclose(found["histogram"]["edges"], edges)


def test_numbers_that_are_not_finite_are_counted_apart():
    numbers = Numbers()
    assert numbers.summary() == {"count": 0, "bad": 0}
    numbers.add([1, np.nan, np.inf, 3])
    assert (numbers.count, numbers.bad, numbers.sum) == (2, 2, 4.0)


def test_memory_does_not_grow_with_the_count():
    numbers = Numbers(FRACTION)
    for _ in range(20):
        numbers.add(RNG.uniform(0, 1e6, 20_000))
    assert len(numbers.bins) < 20_000

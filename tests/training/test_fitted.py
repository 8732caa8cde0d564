"""SVMs with hard negatives, and ridge regression: by hand, by closed form, by scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from convoy.pipeline.training import fitted


@pytest.mark.parametrize(("rows", "length"), [(40, 6), (5, 30)])
def test_ridge_is_the_closed_form_and_scikit_learn_s(rows, length):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(rows, length)), rng.normal(size=(rows, 4))
    found = fitted.ridge(x, y, 3.0)
    inverse = np.linalg.inv(x.T @ x + 3.0 * np.eye(length))
    np.testing.assert_allclose(found, inverse @ x.T @ y, atol=1e-9)
    expected = Ridge(alpha=3.0, fit_intercept=False).fit(x, y).coef_.T
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_decorrelated_codes_come_back():
    """With many examples of a linear law the penalty hardly counts: the law is found."""
    rng = np.random.default_rng(1)
    x, law = rng.normal(size=(5000, 8)) * 20, rng.normal(size=(8, 4)) * 0.05
    kernel, bias = fitted.whitened_ridge(x, x @ law + [1, 2, 3, 4])
    np.testing.assert_allclose(kernel, law, atol=2e-4)
    # The penalty is on the bias of centred codes as well, and draws it to their mean.
    np.testing.assert_allclose(x.mean(0) @ kernel + bias, x.mean(0) @ law + [1, 2, 3, 4], atol=0.05)


def picture(features, overlap) -> fitted.Regions:
    """Regions of one object of class 0."""
    features = np.float32(features)
    overlap = np.float32(overlap)[:, None]
    nothing = np.zeros((len(features), 4), np.float32)
    return fitted.Regions(
        features, features, nothing, overlap, np.zeros((1, 4)), np.zeros(1, np.int64)
    )


def test_hard_negatives_move_the_border_and_easy_ones_are_not_kept():
    """Positives at 4; the first picture's negatives at -4, the second's hard ones at 2.

    With the first ones alone the border lies near 0, and 2 counts as the object; once they are
    mined it lies between 2 and 4. A region that overlaps the object by half is no negative.
    """
    miner = fitted.Miner([np.full((20, 1), 4.0, np.float32)], c=10.0)
    miner.add(picture(np.full((30, 1), -4.0), np.zeros(30)))
    kernel, bias = miner.weights[0]
    assert 2 * kernel[0] + bias > 0
    miner.add(picture([[2.0]] * 30 + [[-4.0]] * 30 + [[2.1]] * 5, [0] * 60 + [0.5] * 5))
    weights, biases = miner.finish()
    assert miner.seen == 90
    assert 2 * weights[0, 0] + biases[0] < 0 < 4 * weights[0, 0] + biases[0]
    assert miner.kept() == 30  # those at 2; the easy ones are forgotten


def test_a_class_without_objects_is_never_found():
    positives = [np.ones((5, 2), np.float32), np.zeros((0, 2), np.float32)]
    miner = fitted.Miner(positives, c=1.0)
    miner.add(picture(-np.ones((9, 2)), np.zeros(9)))
    weights, biases = miner.finish()
    assert not weights[:, 1].any()
    assert biases[1] == fitted.NEVER


def test_an_svm_that_stops_early_is_named():
    """Examples of both sides mixed, at a cost that no pass gets to the end of."""
    rng = np.random.default_rng(0)
    positives = [rng.normal(size=(60, 3)).astype(np.float32) * 20]
    for c, unfinished in ((1e3, {0}), (1e-6, set())):
        miner = fitted.Miner(positives, c=c)
        miner.add(picture(rng.normal(size=(60, 3)) * 20, np.zeros(60)))
        miner.finish()
        assert miner.unfinished == unfinished

"""Gradients by hand, backwards through the layers, with the course's own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.models import arithmetic as a
from convoy.models.classification.lm_resnet import MultiStep

POOLED = [[1, 9, 8, 4], [4, 8, 6, 7], [4, 0, 5, 9], [7, 3, 5, 4]]
NINE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
TWO = [[1, 2], [3, 4]]


def test_gradients_of_a_convolution_by_hand():
    """The input's: dZ over all shifts of [[f22, f21], [f12, f11]]; the filter's: image by dZ."""
    np.testing.assert_array_equal(a.rot180(TWO), [[4, 3], [2, 1]])
    of_image, of_kernel = a.correlation_gradients(NINE, TWO, TWO)
    np.testing.assert_array_equal(of_image, a.correlate(np.pad(TWO, 1), [[4, 3], [2, 1]]))
    np.testing.assert_array_equal(of_image, [[1, 4, 4], [6, 20, 16], [9, 24, 16]])
    np.testing.assert_array_equal(of_kernel, [[37, 47], [67, 77]])


def test_the_error_of_a_layer_is_passed_back():
    """delta = delta_next * ROT180(w) g'(z) where the next layer computes w * g(z); g is ReLU."""
    draw = np.random.default_rng(3)
    z, w, delta_next = draw.normal(size=(5, 5)), draw.normal(size=(2, 2)), draw.random((4, 4))
    delta = a.convolve(np.pad(delta_next, 1), a.rot180(w)) * (z > 0)

    def cost(z):
        return (a.convolve(np.maximum(z, 0), w) * delta_next).sum()

    for place in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[place] = 1e-6
        slope = (cost(z + step) - cost(z - step)) / 2e-6
        assert delta[place] == pytest.approx(slope, abs=1e-6)


def test_gradients_of_a_convolution_against_differences():
    draw = np.random.default_rng(1)
    image, kernel, upstream = draw.random((5, 6)), draw.random((3, 2)), draw.random((3, 5))
    of_image, of_kernel = a.correlation_gradients(image, kernel, upstream)

    def loss(image, kernel):
        return (a.correlate(image, kernel) * upstream).sum()

    for array, gradient, which in ((image, of_image, 0), (kernel, of_kernel, 1)):
        for place in np.ndindex(array.shape):
            step = np.zeros_like(array)
            step[place] = 1e-6
            moved = loss(image, kernel + step) if which else loss(image + step, kernel)
            difference = (moved - loss(image, kernel)) / 1e-6
            assert gradient[place] == pytest.approx(difference, rel=1e-4)


def test_max_pooling_remembers_where():
    np.testing.assert_array_equal(a.pool(POOLED), [[9, 8], [7, 9]])
    mask = a.max_pool_mask(POOLED)
    assert {tuple(p) for p in np.argwhere(mask)} == {(0, 1), (0, 2), (3, 0), (2, 3)}
    gradient = a.max_pool_gradient(POOLED, TWO)
    expected = [[0, 1, 2, 0], [0, 0, 0, 0], [0, 0, 0, 4], [3, 0, 0, 0]]
    np.testing.assert_array_equal(gradient, expected)
    np.testing.assert_array_equal(a.unpool([[9, 8], [7, 9]], mask), mask * np.array(POOLED))
    assert a.max_pool_mask(np.zeros((2, 2))).sum() == 1  # of equals the first


def test_softmax_and_cross_entropy():
    p = a.softmax([1, 2, 3])
    np.testing.assert_allclose(p, [0.09003057, 0.24472847, 0.66524096], atol=1e-8)
    assert a.cross_entropy(p, 2) == pytest.approx(0.40760596)
    assert a.cross_entropy([0.1, 0.05, 0.8, 0.05], 2) == pytest.approx(0.22314, abs=1e-5)
    np.testing.assert_allclose(a.softmax([1000.0, 1000.0]), [0.5, 0.5])
    np.testing.assert_allclose(a.softmax_cross_entropy_gradient([1, 2, 3], 2), p - [0, 0, 1])
    # The chain rule: -1 / p_c into out_c, then the Jacobian.
    upstream = np.array([0, 0, -1 / p[2]])
    np.testing.assert_allclose(a.softmax_jacobian([1, 2, 3]) @ upstream, p - [0, 0, 1])


def test_jacobian_of_softmax_by_hand():
    """t = (1, 2, 3), S = e + e^2 + e^3: -e^3 e / S^2, -e^3 e^2 / S^2, e^3 (S - e^3) / S^2."""
    found = a.softmax_jacobian([1, 2, 3])
    np.testing.assert_allclose(found[2], [-0.05989202, -0.16280340, 0.22269543], atol=1e-8)
    np.testing.assert_allclose(found[0], [0.08192507, -0.02203304, -0.05989202], atol=1e-8)
    np.testing.assert_array_equal(found, found.T)


def test_gradients_of_a_full_layer():
    """t = x w + b, chained to softmax and cross entropy: dL/dw = x (p - onehot)."""
    x, w, b, c = np.array([2.0, -1.0]), np.array([[0.5, 1.0, 1.5], [0.0, 0.5, 0.0]]), 0.5, 2
    t = x @ w + b
    np.testing.assert_allclose(t, [1.5, 2.0, 3.5])
    upstream = a.softmax_cross_entropy_gradient(t, c)
    of_x, of_w, of_b = a.linear_gradients(x, w, upstream)
    np.testing.assert_allclose(of_w, [2 * upstream, -upstream])
    np.testing.assert_allclose(of_b, a.softmax(t) - [0, 0, 1])

    def loss(x, w, b):
        return a.cross_entropy(a.softmax(x @ w + b), c)

    step = 1e-6
    for k in (0, 1):
        moved = x + step * np.eye(2)[k]
        assert of_x[k] == pytest.approx((loss(moved, w, b) - loss(x, w, b)) / step, abs=1e-5)
    moved = w + step * np.outer([1, 0], [0, 1, 0])
    assert of_w[0, 1] == pytest.approx((loss(x, moved, b) - loss(x, w, b)) / step, abs=1e-5)


def test_residual_blocks_add_up():
    """x_T = x_t + sum of F; dC/dx_t = dC/dx_T (1 + d sum F / dx_t). F = w x, w = 0.5, -0.2, 0.3."""
    x, total = 2.0, 0.0
    for w in (0.5, -0.2, 0.3):
        total += w * x
        x = a.euler_step(x, w * x)
    assert x == pytest.approx(2.0 * 1.5 * 0.8 * 1.3)
    assert x == pytest.approx(2.0 + total)
    assert 1 + total / 2.0 == pytest.approx(1.56)  # the derivative of a linear chain


def test_steps_of_an_equation():
    """dX/dt = -X: ten steps of 0.1 by Euler are 0.9^10; e^-1 is 0.36788, 0.34868 is what they find.

    A multi-step block is Euler's at k = 0, and (1 - k) X + k previous + F else.
    """
    x = 1.0
    for _ in range(10):
        x = a.euler_step(x, -x, 0.1)
    assert x == pytest.approx(0.3486784401)
    assert a.multistep(3.0, 5.0, 0.5, 0.0) == a.euler_step(3.0, 0.5) == 3.5
    assert a.multistep(3.0, 5.0, 0.5, 0.25) == 0.75 * 3 + 0.25 * 5 + 0.5
    draw = np.random.default_rng(4)
    branch, now, previous = draw.random((3, 2, 4)).astype(np.float32)
    layer = MultiStep()
    layer.build([(2, 4)] * 3)
    layer.k.assign(-0.07)
    expected = a.multistep(now, previous, branch, -0.07)
    np.testing.assert_allclose(layer([branch, now, previous]), expected, rtol=1e-6)

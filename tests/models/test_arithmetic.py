"""The worked examples of the course, with its own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from models import arithmetic as a

COURSE_PICTURE = [
    [130, 136, 53, 44, 231, 67, 108],
    [130, 89, 77, 58, 250, 154, 130],
    [208, 239, 120, 111, 112, 181, 22],
    [203, 223, 59, 79, 28, 57, 67],
    [164, 140, 215, 235, 66, 30, 204],
    [97, 159, 50, 110, 104, 76, 7],
    [207, 150, 58, 47, 152, 81, 237],
]
CROSS_MEAN = [
    [79.2, 81.6, 62.0, 77.2, 118.4, 112.0, 61.0],
    [111.4, 134.2, 79.4, 108.0, 161.0, 156.4, 82.8],
    [156.0, 175.8, 121.2, 96.0, 136.4, 105.2, 80.0],
    [159.6, 172.8, 139.2, 102.4, 68.4, 72.6, 70.0],
    [120.8, 180.2, 139.8, 141.0, 92.6, 86.6, 61.6],
    [125.4, 119.2, 118.4, 109.2, 101.6, 59.6, 104.8],
    [90.8, 114.8, 61.0, 73.4, 76.8, 109.2, 65.0],
]
FOUR = [[5, 8, 5, 9], [4, 5, 0, -9], [5, 88, 0, 1], [1, 2, 5, 7]]
SIX = [
    [3, 0, 1, 5, 1, 3],
    [5, 7, 3, 4, 4, 6],
    [7, 7, 1, 8, 3, 5],
    [6, 1, 7, 0, 0, 5],
    [0, 4, 5, 5, 7, 2],
    [3, 2, 0, 2, 0, 2],
]
POOLED = [[1, 9, 8, 4], [4, 8, 6, 7], [4, 0, 5, 9], [7, 3, 5, 4]]


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((7, 3, 1), 5),
        ((7, 3, 2), 3),
        ((7, 3, 1, 1), 7),
        ((32, 5), 28),
        ((28, 5), 24),
        ((32, 5, 1, 2), 32),
        ((83, 9), 75),
        ((75, 10, 5), 14),
        ((14, 9), 6),
        ((6, 6, 4), 1),
        ((227, 11, 4), 55),
        ((6, 2, 2), 3),
    ],
)
def test_output_sizes(size, expected):
    assert a.output_size(*size) == expected
    assert a.output_size(*size, strict=True) == expected


def test_what_does_not_fit():
    with pytest.raises(a.DoesNotFit, match=r"= 2\.33 doesn't fit"):
        a.output_size(7, 3, 3, strict=True)
    assert a.output_size(7, 3, 3) == 2
    with pytest.raises(a.DoesNotFit, match="larger than"):
        a.output_size(2, 3)
    with pytest.raises(a.DoesNotFit, match="no centre"):
        a.same_padding(4)
    assert [a.same_padding(f) for f in (3, 5, 7)] == [1, 2, 3]


def test_a_transposed_size_inverts_a_size_for_every_remainder():
    """n = i + remainder: with stride s, s inputs share an output."""
    for stride in (1, 2, 3):
        outputs = set()
        for extra in range(stride):
            n = a.transposed_output_size(5, 3, stride, 1, extra)
            outputs.add(a.output_size(n, 3, stride, 1))
        assert outputs == {5}
    with pytest.raises(ValueError, match="expected 0 to 1"):
        a.transposed_output_size(5, 3, 2, 0, 2)


def test_parameter_counts():
    pixels = 32 * 32
    assert a.dense_parameters(3 * pixels, pixels) == 3_146_752  # 3 D^2 + D
    assert a.conv_parameters(10, 5, 3) == 760
    assert a.dense_parameters(90_000, 1028, bias=False) == 92_520_000
    assert a.dense_parameters(90_000, 1028) == 92_521_028
    assert a.conv_parameters(64, 9, 1, bias=False) == 5184
    assert a.conv_parameters(256, 9, 1, bias=False) == 20_736
    assert a.dense_parameters(256, 101, bias=False) == 25_856
    assert a.conv_parameters(256, 5, 96, groups=2) == 256 * (25 * 48 + 1)  # AlexNet's conv2
    with pytest.raises(ValueError, match="do not divide"):
        a.conv_parameters(256, 5, 95, groups=2)


def test_receptive_fields():
    """Dilations 1, 2, 4 see 3, 7, 15; three 3x3 see what a 7x7 sees; VGG-16's pool5 sees 212."""
    dilated = [(2 * d + 1, 1, d) for d in (1, 2, 4, 8)]
    assert [a.receptive_field(dilated[:n]).size for n in (1, 2, 3, 4)] == [3, 7, 15, 31]
    assert a.receptive_field([(3, 1, 1)] * 3).size == a.receptive_field([(7, 1, 3)]).size
    blocks = [[(3, 1, 1)] * n + [(2, 2, 0)] for n in (2, 2, 3, 3, 3)]
    field = a.receptive_field(layer for block in blocks for layer in block)
    assert (field.size, field.stride) == (212, 32)
    assert a.receptive_field([(2, 2, 0)]).start == 1.0
    assert a.receptive_field([(3, 1, 1)]).start == 0.5


def test_a_mean_over_a_cross():
    found = a.convolve(COURSE_PICTURE, a.KERNELS["cross_mean"], padding=1)
    np.testing.assert_allclose(found, CROSS_MEAN, atol=1e-9)


def test_correlation_and_convolution():
    full = a.correlate(FOUR, [[1, 0], [0, 1]])
    np.testing.assert_array_equal(full, [[10, 8, -4], [92, 5, 1], [7, 93, 7]])
    np.testing.assert_array_equal(a.correlate(FOUR, np.eye(2), 2), [[10, -4], [7, 7]])
    edge = np.repeat([[10], [10], [10], [0], [0], [0]], 6, axis=1)
    found = a.correlate(edge, a.KERNELS["horizontal_edge"])
    np.testing.assert_array_equal(found, np.repeat([[0], [40], [40], [0]], 4, axis=1))
    np.testing.assert_array_equal(a.convolve(edge, a.KERNELS["horizontal_edge"]), -found)


def test_kernels_keep_or_remove_the_mean():
    sums = {name: kernel.sum() for name, kernel in a.KERNELS.items()}
    assert sums == pytest.approx(
        {
            "identity": 1,
            "mean": 1,
            "cross_mean": 1,
            "sharpen": 1,
            "edge": 0,
            "horizontal_edge": 0,
            "vertical_edge": 0,
        }
    )


def test_convolution_as_a_matrix():
    matrix = a.convolution_matrix([[1, 2], [3, 4]], (3, 3))
    expected = [
        [1, 2, 0, 3, 4, 0, 0, 0, 0],
        [0, 1, 2, 0, 3, 4, 0, 0, 0],
        [0, 0, 0, 1, 2, 0, 3, 4, 0],
        [0, 0, 0, 0, 1, 2, 0, 3, 4],
    ]
    np.testing.assert_array_equal(matrix, expected)
    z = [[1, 2], [3, 4]]
    found = a.transposed_convolution(z, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found, [[1, 4, 4], [6, 20, 16], [9, 24, 16]])
    image, kernel = np.random.default_rng(0).random((2, 7, 7))
    kernel = kernel[:3, :3]
    for stride in (1, 2):
        by_matrix = a.convolution_matrix(kernel, (7, 7), stride) @ image.ravel()
        np.testing.assert_allclose(by_matrix, a.correlate(image, kernel, stride).ravel())


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


def test_pooling():
    np.testing.assert_array_equal(a.pool(SIX), [[7, 5, 6], [7, 8, 5], [4, 5, 7]])
    average = [[3.75, 3.25, 3.5], [5.25, 4, 3.25], [2.25, 3, 2.75]]
    np.testing.assert_array_equal(a.pool(SIX, kind="average"), average)
    l2 = [[9.1104, 7.1414, 7.8740], [11.6190, 10.6771, 7.6811], [5.3852, 7.3485, 7.5498]]
    np.testing.assert_allclose(a.pool(SIX, kind="l2"), l2, atol=5e-5)
    assert a.pool(SIX, 3, 1).shape == (4, 4)
    weights = a.distance_weights(3)
    assert weights.sum() == pytest.approx(1)
    assert weights[0, 1] / weights[1, 1] == pytest.approx(1 / 2)  # a pixel away
    assert weights[0, 0] / weights[1, 1] == pytest.approx(1 / (1 + 2**0.5))


def test_max_pooling_remembers_where():
    np.testing.assert_array_equal(a.pool(POOLED), [[9, 8], [7, 9]])
    mask = a.max_pool_mask(POOLED)
    assert {tuple(p) for p in np.argwhere(mask)} == {(0, 1), (0, 2), (3, 0), (2, 3)}
    gradient = a.max_pool_gradient(POOLED, [[1, 2], [3, 4]])
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

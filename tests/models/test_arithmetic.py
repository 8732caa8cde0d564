"""The worked examples of the course, with its own numbers."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.models import arithmetic as a

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
NINE = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
TWO = [[1, 2], [3, 4]]


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
        ((3, 2, 1), 2),
        ((4, 2, 2), 2),
        ((4, 2), 3),
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


def test_sizes_that_share_an_output():
    """n + 2p - f a multiple of s: n + 0 to n + s - 1 give the same, n + s one more."""
    assert [a.output_size(7 + more, 3, 4) for more in (0, 1, 2, 3, 4)] == [2, 2, 2, 2, 3]
    assert [a.output_size(7 + more, 3, 1) for more in (0, 1)] == [5, 6]


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
    assert a.conv_parameters(1, 5, 3) == 76
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
    # [[1..9]] by [[I, II], [III, IV]]: A = I + 2 II + 4 III + 5 IV, ...
    np.testing.assert_array_equal(a.correlate(NINE, TWO), [[37, 47], [67, 77]])


def test_sharpening():
    """5 times a value minus its four neighbours: 5 * 89 - 136 - 130 - 77 - 239."""
    kernel = a.KERNELS["sharpen"]
    np.testing.assert_array_equal(kernel, [[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
    found = a.convolve(COURSE_PICTURE, kernel, padding=1)
    assert found.shape == (7, 7)
    assert found[1, 1] == -137
    flat = a.convolve(np.full((3, 3), 8), kernel)
    np.testing.assert_array_equal(flat, [[8]])


def test_convolution_commutes():
    """Over all shifts, (f * g) = (g * f); of one row it is NumPy's own."""
    image, kernel = np.array(FOUR, float), np.array([[1, 2], [3, 4]], float)
    one = a.convolve(image, kernel, padding=1)
    other = a.convolve(np.pad(kernel, 3), image)
    np.testing.assert_array_equal(one, other)
    assert not np.array_equal(a.correlate(image, kernel, padding=1), one)
    row = a.convolve(np.pad([[1, 2, 3]], ((0, 0), (1, 1))), [[4, 5]])
    np.testing.assert_array_equal(row, [np.convolve([1, 2, 3], [4, 5])])


def test_filters_see_all_channels():
    """32x32x3 by six 5x5x3 filters: 28x28x6. One 1x1 filter is a weighted sum of the channels."""
    draw = np.random.default_rng(2)
    image, filters = draw.random((32, 32, 3)), draw.random((5, 5, 3, 6))
    found = a.correlate_channels(image, filters, biases=np.arange(6))
    assert found.shape == (28, 28, 6)
    by_hand = (image[20:25, 3:8] * filters[..., 4]).sum() + 4
    assert found[20, 3, 4] == pytest.approx(by_hand)
    assert filters.size + 6 == a.conv_parameters(6, 5, 3)
    assert a.correlate_channels(image, draw.random((5, 5, 3, 10)), 0.0, 1, 2).shape == (32, 32, 10)
    mixed = a.correlate_channels(image, np.reshape([0.2, 0.3, 0.5], (1, 1, 3, 1)))
    np.testing.assert_allclose(mixed[..., 0], image @ [0.2, 0.3, 0.5])
    with pytest.raises(ValueError, match="3 channels, but filters for 4"):
        a.correlate_channels(image, np.zeros((5, 5, 4, 1)))


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
    np.testing.assert_array_equal(matrix @ np.ravel(NINE), [37, 47, 67, 77])
    found = a.transposed_convolution(TWO, TWO)
    np.testing.assert_array_equal(found, [[1, 4, 4], [6, 20, 16], [9, 24, 16]])
    transposed = [
        [1, 0, 0, 0],
        [2, 1, 0, 0],
        [0, 2, 0, 0],
        [3, 0, 1, 0],
        [4, 3, 2, 1],
        [0, 4, 0, 2],
        [0, 0, 3, 0],
        [0, 0, 4, 3],
        [0, 0, 0, 4],
    ]
    np.testing.assert_array_equal(matrix.T, transposed)
    np.testing.assert_array_equal(np.array(transposed) @ [1, 2, 3, 4], found.ravel())
    image, kernel = np.random.default_rng(0).random((2, 7, 7))
    kernel = kernel[:3, :3]
    for stride in (1, 2):
        by_matrix = a.convolution_matrix(kernel, (7, 7), stride) @ image.ravel()
        np.testing.assert_allclose(by_matrix, a.correlate(image, kernel, stride).ravel())


def test_pooling():
    np.testing.assert_array_equal(a.pool(SIX), [[7, 5, 6], [7, 8, 5], [4, 5, 7]])
    average = [[3.75, 3.25, 3.5], [5.25, 4, 3.25], [2.25, 3, 2.75]]
    np.testing.assert_array_equal(a.pool(SIX, kind="average"), average)
    l2 = [[9.1104, 7.1414, 7.8740], [11.6190, 10.6771, 7.6811], [5.3852, 7.3485, 7.5498]]
    np.testing.assert_allclose(a.pool(SIX, kind="l2"), l2, atol=5e-5)
    assert a.pool(SIX, 3, 1).shape == (4, 4)
    with pytest.raises(ValueError, match="expected kind of max, average, l2, distance, got 'min'"):
        a.pool(SIX, kind="min")


def test_pooling_by_distance():
    """The course gives no weights: 1 / (1 + d). Of a 3x3 window 1, four 1/2, four 0.41421.

    The first window: (7 + 15 / 2 + 12 * 0.41421) / 4.65685 = 4.18105. Of 2x2 all are as far.
    """
    weights = a.distance_weights(3)
    assert weights.sum() == pytest.approx(1)
    assert weights[0, 1] / weights[1, 1] == pytest.approx(1 / 2)  # a pixel away
    assert weights[0, 0] / weights[1, 1] == pytest.approx(1 / (1 + 2**0.5))
    found = a.pool(SIX, 3, kind="distance")
    np.testing.assert_allclose(found, [[4.18105, 4.23000], [3.14105, 3.05526]], atol=5e-6)
    np.testing.assert_allclose(a.pool(SIX, kind="distance"), a.pool(SIX, kind="average"))

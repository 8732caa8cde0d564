"""RandAugment and AutoAugment: operations against PIL and by hand, and the sample's key alone."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from data.augment import search
from models.resize import warp

PLUS, MINUS = tf.constant(1.0), tf.constant(-1.0)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """uint8 [33, 47, 3]: soft stripes between 20 and 220, another in each channel."""
    y, x, c = np.meshgrid(np.arange(33), np.arange(47), np.arange(3), indexing="ij")
    return (120 + 60 * np.sin(x / (4 + c)) + 40 * np.cos(y / (6 - c))).astype(np.uint8)


def keyed(number: int) -> tf.Tensor:
    return tf.constant([number, 3], tf.int64)


def color(name: str, magnitude: float, image, sign=PLUS) -> np.ndarray:
    images = tf.cast(image, tf.float32)[None]
    return search.colors(magnitude, images.shape[-1])[name](images, sign)[0].numpy()


def move(name: str, magnitude: float, image, sign=PLUS) -> np.ndarray:
    return search.moves(magnitude)[name](tf.cast(image, tf.float32)[None], sign)[0].numpy()


def test_colors_by_hand():
    """Magnitude 10 changes by 0.9, solarizes all and keeps 4 bits; 5 does half of it."""
    image = np.float32([[[100, 100, 100], [200, 200, 200]]])
    for name, magnitude, sign, expected in [
        ("brightness", 10, PLUS, [190, 255]),
        ("brightness", 10, MINUS, [10, 20]),
        ("brightness", 5, MINUS, [55, 110]),
        ("contrast", 10, MINUS, [145, 155]),
        ("contrast", 5, PLUS, [77.5, 222.5]),
        ("solarize", 5, PLUS, [100, 55]),
        ("solarize", 10, MINUS, [155, 55]),
        ("posterize", 10, PLUS, [96, 192]),
        ("posterize", 5, PLUS, [100, 200]),
        ("autocontrast", 3, PLUS, [0, 255]),
        ("color", 10, PLUS, [100, 200]),
    ]:
        found = color(name, magnitude, image, sign)[0, :, 0]
        np.testing.assert_allclose(found, expected, atol=0.02, err_msg=name)


@pytest.mark.parametrize(
    ("name", "pil"),
    [
        ("color", lambda image: ImageEnhance.Color(image).enhance(0.1)),
        ("sharpness", lambda image: ImageEnhance.Sharpness(image).enhance(0.1)),
        ("brightness", lambda image: ImageEnhance.Brightness(image).enhance(0.1)),
        ("equalize", ImageOps.equalize),
        ("autocontrast", ImageOps.autocontrast),
        ("posterize", lambda image: ImageOps.posterize(image, 4)),
    ],
)
def test_colors_equal_pil(picture, name, pil):
    noisy = picture // 2 + np.random.default_rng(0).integers(0, 128, picture.shape, np.uint8)
    expected = np.asarray(pil(Image.fromarray(noisy)), np.float32)
    found = color(name, 10, noisy, MINUS)
    np.testing.assert_allclose(found, expected, atol=1.5)  # PIL rounds on the way
    assert np.abs(found - noisy).max() > 8


def test_color_and_sharpness_go_both_ways(picture):
    """A positive sign moves away from gray and from smooth as far as a negative one moves to it."""
    for name in ("color", "sharpness"):
        more, less = color(name, 2, picture, PLUS), color(name, 2, picture, MINUS)
        np.testing.assert_allclose(more + less, 2.0 * picture, atol=0.01)
    assert color("color", 2, picture, PLUS).std(axis=-1).mean() > picture.std(axis=-1).mean()


def test_nothing_happens_at_magnitude_0(picture):
    colors, moves = search.colors(0, 3), search.moves(0)
    for name in sorted({*colors, *moves} - {"autocontrast", "equalize"}):
        found = {**colors, **moves}[name](tf.cast(picture, tf.float32)[None], PLUS)[0]
        np.testing.assert_allclose(found, picture, atol=1e-3, err_msg=name)


def test_moves_by_hand():
    """331 columns shift by 150 at magnitude 10; row y of a shear by 0.3 y; gray comes in."""
    image = np.random.default_rng(0).integers(0, 255, (11, 331, 3)).astype(np.float32)
    found = move("translate_x", 10, image)
    np.testing.assert_allclose(found[:, 150:], image[:, :-150], atol=1e-2)
    np.testing.assert_allclose(found[:, :149], 127.5)
    np.testing.assert_allclose(
        move("translate_x", 10, image, MINUS)[:, :-150], image[:, 150:], atol=1e-2
    )
    turned = np.swapaxes(image, 0, 1)
    found = move("translate_y", 10, turned)
    np.testing.assert_allclose(found[150:], turned[:-150], atol=1e-2)
    for axes in ((0, 1), (1, 0)):
        given = np.transpose(image, (*axes, 2))
        found = np.transpose(
            move("shear_x" if axes == (0, 1) else "shear_y", 10, given), (*axes, 2)
        )
        np.testing.assert_allclose(found[0], image[0], atol=1e-2)
        np.testing.assert_allclose(found[10, :-3], image[10, 3:], atol=1e-2)


def test_rotation_is_thirty_degrees_about_the_centre(picture):
    cos, sin = np.cos(np.pi / 6), np.sin(np.pi / 6)
    turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    to, back = np.eye(3), np.eye(3)
    to[:2, 2], back[:2, 2] = (-23.5, -16.5), (23.5, 16.5)
    drawn = [
        warp(
            tf.constant(picture, tf.float32),
            tf.constant(back @ m @ to, tf.float32),
            (33, 47),
            127.5,
        )
        for m in (turn, turn.T)
    ]
    found = [move("rotate", 10, picture, sign) for sign in (PLUS, MINUS)]
    errors = [np.abs(found[0] - d).max() for d in drawn]
    opposite = drawn[1 - int(np.argmin(errors))]
    assert min(errors) < 0.5
    np.testing.assert_allclose(found[1], opposite, atol=0.5)


def policies():
    yield lambda image, key: search.randaugment(image, key, 3, 9)
    yield lambda image, key: search.autoaugment(image, key, "reduced_cifar10")


@pytest.mark.parametrize("policy", policies(), ids=["randaugment", "autoaugment"])
def test_a_sample_is_a_function_of_its_key(picture, policy):
    """Eager as in a parallel map, a second time as the first, whatever the process's seeds."""
    image = tf.cast(picture, tf.float32)
    keys = tf.data.Dataset.range(24).map(lambda i: tf.stack([i, i + 1]))
    drawn = keys.map(lambda key: policy(image, key), num_parallel_calls=4)
    keras.utils.set_random_seed(1)
    one = list(drawn.as_numpy_iterator())
    keras.utils.set_random_seed(2)
    np.testing.assert_array_equal(list(drawn.as_numpy_iterator()), one)
    np.testing.assert_allclose(policy(image, tf.constant([3, 4], tf.int64)), one[3], atol=1e-3)
    assert len({found.tobytes() for found in one}) > 12
    assert {found.shape for found in one} == {picture.shape}
    assert one[0].dtype == np.float32
    np.testing.assert_array_equal(one, np.clip(one, 0, 255))


def halves_stay(image: np.ndarray) -> bool:
    """A picture of two flat halves, away from the seam, which sharpness touches."""
    return max(np.ptp(image[:, :6]), np.ptp(image[:, 10:])) < 0.01


def test_without_geometry_no_pixel_moves():
    image = tf.concat([tf.fill([16, 8, 3], 60.0), tf.fill([16, 8, 3], 180.0)], axis=1)
    keys = tf.data.Dataset.range(60).map(lambda i: tf.stack([i, i]))
    calm = keys.map(lambda k: search.randaugment(image, k, 2, 10, geometric=False))
    wild = keys.map(lambda k: search.randaugment(image, k, 2, 10))
    assert all(halves_stay(found) for found in calm.as_numpy_iterator())
    assert not all(halves_stay(found) for found in wild.as_numpy_iterator())


def test_gray_pictures_stay_gray(picture):
    image = tf.cast(picture[..., :1], tf.float32)
    keys = tf.data.Dataset.range(30).map(lambda i: tf.stack([i, i]))
    for function in (
        lambda k: search.randaugment(image, k, 2, 9),
        lambda k: search.autoaugment(image, k, "reduced_imagenet"),
    ):
        found = list(keys.map(function).as_numpy_iterator())
        assert {one.shape for one in found} == {(33, 47, 1)}
        assert len({one.tobytes() for one in found}) > 10


def test_the_precision_of_the_network_does_not_matter(picture):
    before = color("contrast", 7, picture)
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        np.testing.assert_array_equal(color("contrast", 7, picture), before)
    finally:
        keras.config.set_dtype_policy("float32")


def test_autoaugment_operations_by_hand():
    """Level 5 of 10: solarize from 128, half of 4 bits, 1.0 of the colour, 150 / 331 / 2 shifts."""
    image = tf.constant([[[10, 100, 200], [20, 30, 40]]], tf.uint8)
    assert search.operation("Solarize", image, 5, PLUS)[0, 0].numpy().tolist() == [10, 100, 55]
    assert search.operation("Posterize", image, 5, PLUS)[0, 0].numpy().tolist() == [0, 64, 192]
    assert search.operation("Invert", image, 5, PLUS)[0, 1].numpy().tolist() == [235, 225, 215]
    np.testing.assert_array_equal(search.operation("Color", image, 5, PLUS), image)
    wide = tf.cast(tf.random.stateless_uniform([4, 331, 3], [1, 2], 0, 255, tf.int32), tf.uint8)
    left, right = (search.operation("TranslateX", wide, 5, sign) for sign in (PLUS, MINUS))
    np.testing.assert_array_equal(left[:, :-75], wide[:, 75:])
    np.testing.assert_array_equal(right[:, 75:], wide[:, :-75])


def test_a_sub_policy_takes_its_probabilities_and_signs():
    """Two operations with two numbers each: the first below its probability, the second not."""
    image = tf.constant([[[10, 100, 200]]], tf.uint8)
    policy = [("Invert", 0.5, 1), ("Solarize", 0.5, 0)]
    for draws, expected in [
        ([0.4, 0, 0.6, 0], [245, 155, 55]),
        ([0.6, 0, 0.4, 0], [245, 155, 55]),
        ([0.4, 0, 0.4, 0], [10, 100, 200]),
        ([0.5, 0, 0.9, 0], [10, 100, 200]),
    ]:
        found = search._sub_policy(image, policy, tf.constant(draws))
        assert found[0, 0].numpy().tolist() == expected


@pytest.mark.parametrize("name", search.AUTOAUGMENT)
def test_every_operation_of_every_policy_runs(picture, name):
    from official.vision.ops import augment

    found = {(op, level) for sub in augment.AutoAugment(name).policies for op, _, level in sub}
    assert found
    for operation, level in found:
        drawn = search.operation(operation, tf.constant(picture), level, MINUS)
        assert (drawn.shape, drawn.dtype) == (picture.shape, tf.uint8)


def test_what_is_not_known_is_an_error(picture):
    with pytest.raises(ValueError, match=r"magnitude in 0\.\.10, got 11"):
        search.randaugment(tf.cast(picture, tf.float32), keyed(0), 2, 11)
    with pytest.raises(ValueError, match=r"one of v0, reduced_imagenet.*got 'v9'"):
        search.autoaugment(tf.cast(picture, tf.float32), keyed(0), "v9")

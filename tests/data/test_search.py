"""RandAugment and AutoAugment: operations against PIL and by hand, chosen by given numbers."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageEnhance, ImageOps

from convoy.data.augment import search
from convoy.data.augment.policy import Augment
from convoy.models.resize import warp

PLUS, MINUS = tf.constant(1.0), tf.constant(-1.0)


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    """uint8 [33, 47, 3]: soft stripes between 20 and 220, another in each channel."""
    y, x, c = np.meshgrid(np.arange(33), np.arange(47), np.arange(3), indexing="ij")
    return (120 + 60 * np.sin(x / (4 + c)) + 40 * np.cos(y / (6 - c))).astype(np.uint8)


def drawn(image, function, count: int) -> list[np.ndarray]:
    """The pictures that function(image, numbers) makes in a parallel map of 24 rows of numbers."""
    image = tf.cast(image, tf.float32)
    rows = tf.data.Dataset.from_tensor_slices(tf.random.stateless_uniform([24, count], [1, 2]))
    found = rows.map(lambda numbers: function(image, numbers), num_parallel_calls=4)
    return list(found.as_numpy_iterator())


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


@pytest.mark.parametrize(
    "policy",
    [Augment(randaugment=(3, 9)), Augment(autoaugment="reduced_cifar10")],
    ids=["randaugment", "autoaugment"],
)
def test_a_sample_is_a_function_of_its_numbers(picture, policy):
    """Eager as in a parallel map, a second time as the first, whatever the process's seeds."""
    count = search.draws_of(policy)
    keras.utils.set_random_seed(1)
    one = drawn(picture, lambda i, n: search.searched(i, policy, ("labels",), n), count)
    numbers = tf.random.stateless_uniform([24, count], [1, 2])
    keras.utils.set_random_seed(2)
    for row in range(2):
        image = tf.cast(picture, tf.float32)
        found = search.searched(image, policy, ("labels",), numbers[row])
        np.testing.assert_allclose(found, one[row], atol=1e-3)
    assert len({found.tobytes() for found in one}) > 12
    assert {found.shape for found in one} == {picture.shape}
    assert one[0].dtype == np.float32
    np.testing.assert_array_equal(one, np.clip(one, 0, 255))


def test_both_searches_take_their_own_numbers(picture):
    """The first 5 of AutoAugment, the last 2 x 2 of RandAugment; without either, the picture."""
    both = Augment(randaugment=(2, 9), autoaugment="simple")
    image, numbers = tf.cast(picture, tf.float32), tf.random.stateless_uniform([9], [8, 2])
    assert search.draws_of(both) == 9
    found = search.searched(image, both, ("labels",), numbers)
    first = search.autoaugment(image, "simple", numbers[:5])
    np.testing.assert_array_equal(found, search.randaugment(first, 2, 9, numbers[5:]))
    assert np.abs(found - first).max() > 1
    assert np.abs(first - image).max() > 1
    assert search.active(both)
    assert not search.active(Augment())
    assert search.draws_of(Augment()) == 0
    assert search.searched(image, Augment(), ("boxes",), numbers[:0]) is image


def halves_stay(image: np.ndarray) -> bool:
    """A picture of two flat halves, away from the seam, which sharpness touches."""
    return max(np.ptp(image[:, :6]), np.ptp(image[:, 10:])) < 0.01


def test_pixels_move_for_classification_alone():
    image = tf.concat([tf.fill([16, 8, 3], 60.0), tf.fill([16, 8, 3], 180.0)], axis=1)
    policy = Augment(randaugment=(2, 10))
    stay = {
        task: [
            halves_stay(found)
            for found in drawn(image, lambda i, n, t=task: search.searched(i, policy, t, n), 4)
        ]
        for task in (("labels",), ("boxes",))
    }
    assert all(stay[("boxes",)])
    assert 2 < sum(stay[("labels",)]) < 22
    with pytest.raises(ValueError, match="is for labels alone, the task learns boxes"):
        search.searched(image, Augment(autoaugment="v0"), ("boxes",), tf.zeros([5]))


def test_gray_pictures_stay_gray(picture):
    policy = Augment(randaugment=(2, 9), autoaugment="simple")
    gray = picture[..., :1]
    found = drawn(gray, lambda i, n: search.searched(i, policy, ("labels",), n), 9)
    assert {one.shape for one in found} == {(33, 47, 1)}
    assert len({one.tobytes() for one in found}) > 12


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
    """Numbers: which sub-policy; for each operation, whether (below its probability) and sign."""
    image = tf.tile(tf.constant([[[10, 100, 200]]], tf.uint8), [1, 331, 1])
    policies = [
        [("Invert", 0.5, 1), ("Solarize", 0.5, 0)],
        [("Equalize", 0.0, 1), ("Posterize", 1.0, 5)],
        [("Invert", 0.7, 9), ("Invert", 1.0, 0)],
    ]
    for draws, expected in [
        ([0.0, 0.4, 0, 0.6, 0], [245, 155, 55]),
        ([0.3, 0.6, 0, 0.4, 0], [245, 155, 55]),
        ([0.3, 0.4, 0, 0.4, 0], [10, 100, 200]),
        ([0.3, 0.5, 0, 0.9, 0], [10, 100, 200]),
        ([0.5, 0.0, 0, 0.9, 0], [0, 64, 192]),
        ([0.9, 0.6, 0, 0.9, 0], [10, 100, 200]),
        ([0.9, 0.8, 0, 0.9, 0], [245, 155, 55]),
    ]:
        found = search._policy(image, policies, tf.constant(draws))
        assert found[0, 0].numpy().tolist() == expected
    ramp = tf.cast(tf.tile(tf.range(331)[None, :, None] % 256, [1, 1, 3]), tf.uint8)
    shift = [[("TranslateX", 1.0, 10), ("Solarize", 0.0, 0)]]
    for sign, start in ((0.4, 0), (0.6, 150)):
        found = search._policy(ramp, shift, tf.constant([0.0, 0, sign, 0.5, 0]))
        assert found[0, 150 - start, 0] == ramp[0, 0 if sign < 0.5 else 150, 0]


@pytest.mark.parametrize("name", ["v0", "reduced_imagenet", "reduced_cifar10", "svhn", "simple"])
def test_every_operation_of_every_policy_runs(picture, name):
    from official.vision.ops import augment

    policies = augment.AutoAugment(Augment(autoaugment=name).autoaugment).policies
    assert {1 + 2 * len(sub_policy) for sub_policy in policies} == {search.POLICY}
    found = {(op, level) for sub_policy in policies for op, _, level in sub_policy}
    for operation, level in found:
        drawn = search.operation(operation, tf.constant(picture), level, MINUS)
        assert (drawn.shape, drawn.dtype) == (picture.shape, tf.uint8)

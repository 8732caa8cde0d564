"""What a network of pixels learns and answers, by hand numbers and loops."""

from __future__ import annotations

import io
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from convoy import models
from convoy.models import losses, resize
from convoy.models.keras_internals import without_values
from convoy.models.rows import Preprocess
from convoy.models.segmentation import borders, task
from tests.models.test_upsampling import resized

THIRDS = np.log(np.float32([0.5, 0.25, 0.25]))  # logits of these probabilities


def of(labels, logits=None, **options):
    """The parts of the loss of one picture [H, W]; logits of all pixels alike where none given."""
    labels = np.uint8([labels])
    if logits is None:
        logits = np.broadcast_to(THIRDS, (*labels.shape, 3))
    return task.loss({"labels": labels}, tf.constant(logits, tf.float32), **options)


def test_the_loss_by_hand():
    """-ln 0.5 - 2 ln 0.25 over three labelled pixels; the fourth does not count."""
    total, count = of([[0, 1], [2, 255]])["cls"]
    np.testing.assert_allclose(total, math.log(2) + 2 * math.log(4), rtol=1e-6)
    assert float(count) == 3


def test_class_weights_are_factors_of_the_sum_alone():
    total, count = of([[0, 1], [2, 255]], class_weights=(1.0, 10.0, 0.0))["cls"]
    np.testing.assert_allclose(total, math.log(2) + 10 * math.log(4), rtol=1e-6)
    assert float(count) == 3


def test_pixels_may_have_weights_of_their_own():
    targets = {"labels": np.uint8([[[0, 1]]]), "weights": np.float32([[[3, 1]]])}
    outputs = tf.constant(np.broadcast_to(THIRDS, (1, 1, 2, 3)))
    total, count = task.loss(targets, outputs)["cls"]
    np.testing.assert_allclose(total, 3 * math.log(2) + math.log(4), rtol=1e-6)
    assert float(count) == 2


def test_dice_by_hand():
    """Three labelled pixels: class 0 shares 0.5 of 1.5 and 1, class 1 0.5 of 0.75 and 2."""
    total, count = of([[0, 1], [1, 255]], dice=2.0)["dice"]
    first = (2 * 0.5 + 1) / (1.5 + 1 + 1)
    second = (2 * 0.5 + 1) / (0.75 + 2 + 1)
    np.testing.assert_allclose(total, 2 * (1 - (first + second) / 2), rtol=1e-6)
    assert float(count) == 1


def test_nothing_labelled_costs_nothing():
    logits = tf.Variable(np.float32(np.random.default_rng(0).standard_normal((1, 2, 2, 3))))
    with tf.GradientTape() as tape:
        parts = of([[255, 255], [255, 255]], logits, dice=1.0, class_weights=(1.0, 2.0, 3.0))
        total = losses.total(parts)
    assert float(total) == 0
    assert [float(count) for _, count in parts.values()] == [0, 0]
    assert not np.asarray(tape.gradient(total, logits)).any()


def test_the_loss_of_pixels_is_the_cross_entropy():
    draw = np.random.default_rng(0)
    logits = draw.standard_normal((2, 5, 7, 4)).astype(np.float32) * 30
    labels = draw.integers(0, 4, (2, 5, 7))
    np.testing.assert_allclose(
        losses.pixel_entropy(labels, logits), losses.cross_entropy(labels, logits), rtol=1e-5
    )


def answered(logits, picture, preprocess, **options):
    """The answer for one picture of (height, width) that was fitted into the network's input."""
    matrix = resize.fit(tf.zeros([*picture, 3]), preprocess, preprocess.size)[1]
    answer = task.answer(
        {"logits": tf.constant(logits[None])},
        matrix[None],
        tf.constant([picture]),
        None,
        margin=preprocess.margin,
        **options,
    )
    return {name: value[0].numpy() for name, value in answer.items()}


def read(data: bytes) -> np.ndarray:
    picture = Image.open(io.BytesIO(data))
    assert picture.mode == "L"
    return np.asarray(picture)


def logits_of(height: int, width: int, classes: int = 4) -> np.ndarray:
    return (
        np.random.default_rng(height).standard_normal((height, width, classes)).astype(np.float32)
    )


@pytest.mark.parametrize("picture", [(37, 53), (8, 12), (5, 7), (1, 1)])
def test_a_stretched_picture_against_loops(picture):
    logits = logits_of(8, 12)
    found = answered(logits, picture, Preprocess(size=(8, 12)))
    labels = read(found["label_map_bytes"])
    assert labels.shape == picture
    np.testing.assert_array_equal(labels, resized(logits, picture).argmax(-1))
    shares = np.bincount(labels.ravel(), minlength=4) / labels.size
    np.testing.assert_allclose(found["class_fractions"], shares, rtol=1e-6)


def test_a_letterboxed_picture_is_cut_out():
    """40 x 20 in 16 x 16: half of it, 16 x 8, from column 4 on; the gray beside it is not seen."""
    logits = logits_of(16, 16)
    found = answered(logits, (40, 20), Preprocess(size=(16, 16), resize="letterbox"))
    labels = read(found["label_map_bytes"])
    assert labels.shape == (40, 20)
    # Bilinear over the whole input, then the window of the picture: 40 columns of which 10 to 29.
    whole = resized(logits, (40, 40)).argmax(-1)
    np.testing.assert_array_equal(labels, whole[:, 10:30])


def test_what_a_crop_cut_off_takes_the_border_s_classes():
    """20 x 40 cut to its middle 20 x 20: the ten columns on each side repeat the outermost ones."""
    logits = logits_of(10, 10)
    found = answered(logits, (20, 40), Preprocess(size=(10, 10), resize="crop"))
    labels = read(found["label_map_bytes"])
    whole = resized(logits, (20, 20)).argmax(-1)
    np.testing.assert_array_equal(labels[:, 10:30], whole)
    assert (labels[:, :10] == whole[:, :1]).all()


def test_a_margin_is_not_part_of_the_picture():
    """Logits are of 8 x 12 inside a border of 5; the answer is as without the border."""
    logits = logits_of(8, 12)
    bare = answered(logits, (31, 47), Preprocess(size=(8, 12)))
    inside = answered(logits, (31, 47), Preprocess(size=(18, 22), margin=5))
    assert bare["label_map_bytes"] == inside["label_map_bytes"]


def test_strips_make_no_difference(monkeypatch):
    logits = logits_of(8, 12)
    whole = answered(logits, (37, 53), Preprocess(size=(8, 12)))
    for most in (1, 53 * 4 * 5, 53 * 4 * 36):
        monkeypatch.setattr(task, "STRIP", most)
        found = answered(logits, (37, 53), Preprocess(size=(8, 12)))
        assert found["label_map_bytes"] == whole["label_map_bytes"]
        np.testing.assert_array_equal(found["class_fractions"], whole["class_fractions"])


def test_pictures_of_one_size_are_answered_as_an_array():
    logits = logits_of(8, 12)
    coded = answered(logits, (20, 30), Preprocess(size=(8, 12)))
    plain = answered(logits, (20, 30), Preprocess(size=(8, 12)), encoded=False)
    assert plain.keys() == {"label_map", "class_fractions"}
    assert plain["label_map"].dtype == np.uint8
    np.testing.assert_array_equal(plain["label_map"], read(coded["label_map_bytes"]))


def test_the_difference_is_a_part_of_the_pixels():
    one = {"label_map": np.uint8([[[0, 1], [2, 2]], [[0, 0], [0, 0]]])}
    other = {"label_map": np.uint8([[[0, 1], [2, 0]], [[0, 0], [0, 0]]])}
    assert task.difference(one, one) == 0
    assert task.difference(one, other) == 0.25
    coded = {"label_map_bytes": [tf.io.encode_png(m[..., None]).numpy() for m in one["label_map"]]}
    assert task.difference(coded, one) == 0
    smaller = {"label_map": one["label_map"][:, :1]}
    assert task.difference(one, smaller) == math.inf


def test_a_margin_is_mirrored():
    """Without repeating the border; again and again where it is wider than the picture."""
    row = tf.reshape(tf.range(4.0), (1, 4, 1))
    found = resize.mirrored(row, 7)
    assert found.shape == (15, 18, 1)
    around = [1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2]
    np.testing.assert_array_equal(found[0, :, 0], around)
    padded = np.pad(np.arange(12).reshape(3, 4), 2, mode="reflect")
    np.testing.assert_array_equal(
        resize.mirrored(tf.reshape(tf.range(12), (3, 4, 1)), 2)[..., 0], padded
    )


@pytest.mark.parametrize("kind", ["stretch", "letterbox", "crop"])
def test_a_picture_is_fitted_inside_its_margin(kind):
    image = tf.random.stateless_uniform((33, 47, 3), (0, 1), 0, 255)
    bare, matrix = resize.fit(image, Preprocess(size=(20, 24), resize=kind), (20, 24))
    wide = Preprocess(size=(32, 36), resize=kind, margin=6)
    found, moved = resize.fit(image, wide, wide.size)
    np.testing.assert_array_equal(found[6:-6, 6:-6], bare)
    np.testing.assert_allclose(moved - matrix, [[0, 0, 6], [0, 0, 6], [0, 0, 0]], atol=1e-6)
    assert wide.inside == Preprocess(size=(20, 24), resize=kind)


def weights_by_loops(labels: np.ndarray, objects: list[np.ndarray], w0, sigma) -> np.ndarray:
    found = np.ones(labels.shape)
    for y, x in np.argwhere(labels == 0):
        away = sorted(
            min(math.dist((y, x), point) for point in np.argwhere(area)) for area in objects
        )
        found[y, x] += w0 * math.exp(-((away[0] + away[1]) ** 2) / (2 * sigma**2))
    return found


def test_gaps_between_objects_weigh_more():
    """Two objects of one class and one of another, two pixels apart, against loops over pixels."""
    labels = np.zeros((9, 13), np.uint8)
    labels[1:4, 1:4] = 1
    labels[1:5, 6:9] = 1
    labels[6:9, 2:12] = 2
    labels[0, 12] = 255
    objects = [labels * 0 for _ in range(3)]
    objects[0][1:4, 1:4], objects[1][1:5, 6:9], objects[2][6:9, 2:12] = 1, 1, 1
    expected = weights_by_loops(labels, objects, 10.0, 5.0)
    found = borders.of_labels(labels, 10.0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert found[2, 4] > 5  # in the gap
    assert (found[labels > 0] == 1).all()
    encoded = task.encode({"segmentation": tf.constant(labels)}, border_weight=10.0)
    np.testing.assert_allclose(encoded["weights"], expected, rtol=1e-5)


def test_one_object_has_no_gap():
    labels = np.zeros((5, 5), np.uint8)
    labels[2, 2] = 1
    assert (borders.of_labels(labels, 10.0) == 1).all()
    assert (borders.of_labels(labels * 0 + 255, 10.0) == 1).all()


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="a label map holds at most 255 classes, got 256"):
        models.build_task("unet_same", num_classes=256, input_size=(32, 32), width=0.1)
    small = {"num_classes": 3, "input_size": (32, 32), "width": 0.1}
    with pytest.raises(ValueError, match="expected one number for each of the 3 classes, got 2"):
        models.build_task("unet_same", class_weights=(1.0, 2.0), **small)
    with pytest.raises(ValueError, match="unet: expected sides of 188, 204, 220"):
        models.build("unet", input_size=(188, 189))
    with pytest.raises(ValueError, match="at least 188x188 px, got 172x188: the border of 92"):
        models.build("unet", input_size=(172, 188))
    with pytest.raises(ValueError, match="border_weight is for segmentation, not classification"):
        models.build_task("lenet5", border_weight=10.0)


def test_a_stage_of_fcn_starts_from_the_one_before():
    """Layers of one meaning have one name, and one shape, in 32s, 16s and 8s."""
    shapes = []
    for name in ("fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16", "fcn8s_atonce_vgg16"):
        with without_values():
            model = models.build(name, input_size=(64, 64), num_classes=3)
        shapes.append({weight.path: tuple(weight.shape) for weight in model.trainable_variables})
    for coarse, fine in itertools.pairwise(shapes):
        assert coarse.items() <= fine.items()
    assert shapes[2] == shapes[3]

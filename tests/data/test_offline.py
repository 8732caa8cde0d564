"""Augmented copies: everything of a sample moves together."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy.data.augment import color, offline
from convoy.data.augment.offline import augment_copy
from convoy.data.augment.policy import Augment
from convoy.data.sample import Sample
from convoy.models import resize

FLIP = Augment(flip_horizontal=1.0)
HEIGHT, WIDTH = 24, 32
BOX = (8, 4, 16, 20)  # ymin, xmin, ymax, xmax: whole pixels


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def rectangle(box, value=255, fill=0) -> np.ndarray:
    values = np.full((HEIGHT, WIDTH), fill, np.uint8)
    values[box[0] : box[2], box[1] : box[3]] = value
    return values


def sample(image=None, boxes=(BOX,), **changed) -> Sample:
    """Smooth colours, so that JPEG keeps them; an object and its mask for each box."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    smooth = np.stack([4 * x + 60, 5 * y + 60, 0 * x + 128], -1).astype(np.uint8)
    count = len(boxes)
    given = Sample(
        source_id="set/a",
        split="train",
        image=png(smooth) if image is None else image,
        height=HEIGHT,
        width=WIDTH,
        labels=np.array([2]),
        boxes=np.array(boxes, np.float32).reshape(-1, 4),
        classes=np.arange(count, dtype=np.int64),
        difficult=np.arange(count) % 2 == 1,
        truncated=np.arange(count) % 2 == 0,
        crowd=np.zeros(count, bool),
        masks=tuple(png(rectangle(box)) for box in boxes),
        segmentation=png(rectangle(BOX, value=3)),
    )
    return dataclasses.replace(given, **changed)


def extent(mask: bytes) -> list[int]:
    rows, columns = np.nonzero(pixels(mask))
    return [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]


def test_flip_moves_everything_together():
    points = np.array([[[10, 5, 2], [12, 31, 1], [3, 3, 0]]], np.float32)
    copy = augment_copy(sample(keypoints=points), FLIP, seed=0, copy=1)
    assert copy.source_id == "set/a#aug1"
    assert (copy.height, copy.width, copy.split, copy.labels.tolist()) == (24, 32, "train", [2])
    original = pixels(sample().image).astype(int)
    assert np.abs(pixels(copy.image) - original[:, ::-1]).max() <= 6  # JPEG of quality 95
    np.testing.assert_allclose(copy.boxes, [[8, 12, 16, 28]], atol=1e-4)
    np.testing.assert_array_equal(pixels(copy.masks[0]), rectangle((8, 12, 16, 28)))
    np.testing.assert_array_equal(pixels(copy.segmentation), rectangle((8, 12, 16, 28), value=3))
    np.testing.assert_allclose(copy.keypoints, [[[10, 27, 2], [12, 1, 1], [0, 0, 0]]], atol=1e-4)
    assert (copy.difficult.tolist(), copy.truncated.tolist()) == ([False], [True])


@pytest.mark.parametrize("copy", range(4))
def test_the_mask_of_a_rectangle_is_its_box(copy):
    policy = Augment(flip_vertical=0.5, shift=0.05, zoom=(0.8, 1.2), stretch=0.1)
    moved = augment_copy(sample(), policy, seed=5, copy=copy)
    np.testing.assert_allclose(extent(moved.masks[0]), moved.boxes[0], atol=0.51)
    values = pixels(moved.segmentation)
    assert set(np.unique(values)) <= {0, 3, 255}
    np.testing.assert_array_equal(values == 3, pixels(moved.masks[0]) == 255)
    assert set(np.unique(pixels(moved.masks[0]))) == {0, 255}


def test_segmentation_is_ignored_outside_the_picture():
    """Half the size about the centre: a frame of void around 12 x 16 pixels."""
    half = augment_copy(sample(), Augment(zoom=(0.5, 0.5)), seed=0, copy=1)
    values = pixels(half.segmentation)
    inside = np.zeros_like(values, bool)
    inside[6:18, 8:24] = True
    np.testing.assert_array_equal(values == 255, ~inside)
    np.testing.assert_allclose(half.boxes, [[10, 10, 14, 18]], atol=1e-4)
    np.testing.assert_array_equal(pixels(half.masks[0]), rectangle((10, 10, 14, 18)))
    corner = pixels(half.image)[:3, :3].astype(int)
    assert np.abs(corner - 127.5).max() <= 3


def test_dropped_objects_drop_all_that_is_theirs():
    """Twice the size about the centre (16, 12): what lies in the corner leaves the picture."""
    boxes = [(0, 0, 4, 4), BOX, (10, 14, 14, 18)]
    points = np.arange(18, dtype=np.float32).reshape(3, 2, 3) % 3
    twice = augment_copy(
        sample(boxes=boxes, keypoints=points), Augment(zoom=(2.0, 2.0)), seed=0, copy=2
    )
    # The middle one keeps 16 * 24 of its 16 * 32 pixels.
    np.testing.assert_allclose(twice.boxes, [[4, 0, 20, 24], [8, 12, 16, 20]], atol=1e-3)
    assert twice.classes.tolist() == [1, 2]
    assert twice.difficult.tolist() == [True, False]
    assert twice.truncated.tolist() == [False, True]
    assert len(twice.masks) == len(twice.crowd) == len(twice.keypoints) == 2
    assert [extent(mask) for mask in twice.masks] == [[4, 0, 20, 24], [8, 12, 16, 20]]


def test_without_objects():
    empty = sample(boxes=(), segmentation=b"")
    copy = augment_copy(empty, FLIP, seed=0, copy=1)
    assert copy.boxes.shape == (0, 4)
    assert copy.masks == ()
    assert copy.segmentation == b""


@pytest.mark.parametrize("gray", [False, True])
def test_jpegs_are_read_and_stay_gray(gray):
    original = PIL.Image.open(io.BytesIO(sample().image)).convert("L" if gray else "RGB")
    buffer = io.BytesIO()
    original.save(buffer, "JPEG", quality=95)
    policy = Augment(flip_horizontal=1.0, brightness=0.5, saturation=0.5)
    copy = augment_copy(sample(image=buffer.getvalue()), policy, seed=3, copy=1)
    result = PIL.Image.open(io.BytesIO(copy.image))
    assert (result.format, result.mode, result.size) == ("JPEG", original.mode, (32, 24))


def test_copies_are_deterministic_and_differ():
    policy = Augment(rotate_deg=20, shift=0.1, zoom=(0.8, 1.2), brightness=0.2, hue=0.1)
    first, again = (augment_copy(sample(), policy, seed=1, copy=1) for _ in range(2))
    assert first.image == again.image
    assert first.masks == again.masks
    np.testing.assert_array_equal(first.boxes, again.boxes)
    for seed, copy in ((2, 1), (1, 2)):
        assert augment_copy(sample(), policy, seed=seed, copy=copy).image != first.image


def test_the_sample_is_left_as_it_was():
    given = sample()
    boxes = given.boxes.copy()
    augment_copy(given, Augment(flip_horizontal=1.0, rotate_deg=45), seed=0, copy=1)
    np.testing.assert_array_equal(given.boxes, boxes)
    assert given.source_id == "set/a"


def test_left_and_right_change_places():
    points = np.array([[[10, 5, 2], [12, 31, 1], [9, 9, 2]]], np.float32)
    copy = augment_copy(sample(keypoints=points), FLIP, seed=0, copy=1, keypoint_pairs=[(0, 1)])
    np.testing.assert_allclose(copy.keypoints, [[[12, 1, 1], [10, 27, 2], [9, 23, 2]]], atol=1e-4)


def full() -> Sample:
    """Two objects with everything; the first leaves a picture that is doubled."""
    return sample(
        boxes=[(0, 0, 4, 4), BOX],
        areas=np.array([9, 100], np.float32),
        views=("Left", "Frontal"),
        actions=np.array([[1, 0], [0, 1]]),
        part_boxes=np.array([[0, 0, 2, 2], [9, 10, 13, 14], [8, 4, 9, 5]], np.float32),
        part_names=("head", "hand", "foot"),
        part_owners=np.array([0, 1, 1]),
        masks=(),
    )


def test_all_that_belongs_to_an_object_is_kept_or_dropped():
    """Twice the size about (16, 12): the foot of the second object lies outside, too."""
    copy = augment_copy(full(), Augment(zoom=(2.0, 2.0)), seed=0, copy=1)
    np.testing.assert_allclose(copy.boxes, [[4, 0, 20, 24]], atol=1e-3)
    assert copy.areas.tolist() == pytest.approx([400], rel=1e-4)
    assert copy.views == ("Frontal",)
    assert copy.actions.tolist() == [[0, 1]]
    assert copy.part_names == ("hand",)
    assert copy.part_owners.tolist() == [0]
    np.testing.assert_allclose(copy.part_boxes, [[6, 4, 14, 12]], atol=1e-3)


def test_areas_are_those_of_the_masks():
    """Half the size: 8 x 16 pixels become 4 x 8."""
    copy = augment_copy(sample(areas=np.array([77.0])), Augment(zoom=(0.5, 0.5)), seed=0, copy=1)
    assert copy.areas.tolist() == [32]


def test_the_other_picture_of_a_pair_moves_at_its_own_size():
    """A target twice as large, mirrored as the picture; the brightness is the picture's alone."""
    y, x = np.mgrid[: 2 * HEIGHT, : 2 * WIDTH]
    target = np.stack([2 * x + 60, 2 * y + 60, 0 * x + 128], -1).astype(np.uint8)
    policy = Augment(flip_horizontal=1.0, brightness=0.2)
    copy = augment_copy(sample(target=png(target)), policy, seed=0, copy=1)
    np.testing.assert_allclose(pixels(copy.target), target[:, ::-1], atol=1)
    turned = augment_copy(sample(target=png(target)), Augment(zoom=(2.0, 2.0)), seed=0, copy=1)
    middle = target[HEIGHT // 2 : -HEIGHT // 2, WIDTH // 2 : -WIDTH // 2]
    np.testing.assert_allclose(pixels(turned.target)[::2, ::2], middle, atol=3)


def test_a_sentence_has_nothing_to_change():
    given = Sample("a", "train", b"", 0, 0, labels=np.array([1]), text="good")
    copy = augment_copy(given, Augment(rotate_deg=9), seed=0, copy=2)
    assert (copy.source_id, copy.text, copy.labels.tolist()) == ("a#aug2", "good", [1])


def test_transparency_is_left_out():
    rgba = np.dstack([pixels(sample().image), np.full((HEIGHT, WIDTH), 9, np.uint8)])
    copy = augment_copy(sample(image=png(rgba)), Augment(hue=0.1, elastic=0.01), seed=0, copy=1)
    assert pixels(copy.image).shape == (HEIGHT, WIDTH, 3)


def test_opencv_draws_and_recolours_what_tensorflow_does():
    """Smooth colours, turned and zoomed: OpenCV's weights are whole 32nds of a pixel."""
    image = np.ascontiguousarray(pixels(sample().image))
    turn = np.array([[1.1, -0.3, 2.25], [0.25, 0.9, -1.5], [0, 0, 1]], np.float32)
    expected = resize.warp(
        tf.constant(image, tf.float32), tf.constant(turn), image.shape[:2], 127.5
    )
    drawn = offline.warp(image, turn, image.shape[:2])
    assert np.abs(drawn - expected.numpy()).max() <= 4
    policy = Augment(brightness=0.2, contrast=0.5, saturation=0.5, hue=0.2, pca_color=0.1)
    for seed in range(5):
        numbers = tf.random.stateless_uniform([color.DRAWS], [seed, 1])
        change = color.random_map(policy, numbers)
        for picture in (image, image[..., :1]):
            expected = color.recolor(tf.constant(picture, tf.float32), change)
            found = offline.recolored(np.ascontiguousarray(picture), change)
            assert np.abs(found - expected.numpy()).max() <= 1

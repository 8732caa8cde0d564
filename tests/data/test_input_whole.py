"""Pictures that keep their size: a step sees a part of them, of the target the same part."""

from __future__ import annotations

import io

import numpy as np
import PIL.Image

from convoy.data.augment.policy import Augment
from convoy.data.input.input import evaluation_batches, training_batches
from convoy.models.spec import Preprocess
from tests.data.test_input import stream, take, written

WHOLE = Preprocess(size=(7, 9), resize="whole")


def batches(folder, number: int, **changed):
    given = {"fields": ("target",), "preprocess": WHOLE, "batch_size": 16}
    return take(training_batches(stream(folder, **{**given, **changed})), number)


def pair(tmp_path):
    """A record of 20 x 40 pixels, each of another value, and its target three times as large."""
    small = np.random.default_rng(0).integers(0, 256, (20, 40, 3)).astype(np.uint8)
    large = np.kron(small, np.ones((3, 3, 1), np.uint8))
    pngs = []
    for values in (small, large):
        buffer = io.BytesIO()
        PIL.Image.fromarray(values).save(buffer, "PNG")
        pngs.append(buffer.getvalue())
    return written(tmp_path, image=pngs[0], target=pngs[1]), small


def places(image: np.ndarray, small: np.ndarray) -> list[tuple[int, int]]:
    """Where a part of the small picture is."""
    tall, wide = image.shape[:2]
    return [
        (y, x)
        for y in range(small.shape[0] - tall + 1)
        for x in range(small.shape[1] - wide + 1)
        if np.abs(small[y : y + tall, x : x + wide] - image).max() < 1e-2
    ]


def test_parts_are_whole_pixels_and_lie_anywhere(tmp_path):
    folder, small = pair(tmp_path)
    seen = []
    for batch in batches(folder, 4, target_scale=3):
        for image, target in zip(batch["image"], batch["targets"]["target"], strict=True):
            ((y, x),) = places(image, small)
            seen.append((y, x))
            expected = np.kron(small[y : y + 7, x : x + 9], np.ones((3, 3, 1)))
            assert target.shape == (21, 27, 3)
            # Inside blocks of one value; between two of them places are known to 1e-4 alone.
            np.testing.assert_allclose(target[1::3, 1::3], expected[1::3, 1::3], atol=0.1)
    rows, columns = map(set, zip(*seen, strict=True))
    assert len(rows) > 10  # of 14
    assert len(columns) > 20  # of 32
    assert rows <= {*range(14)}
    assert columns <= {*range(32)}


def test_mirrored_parts_are_of_the_mirrored_picture(tmp_path):
    folder, small = pair(tmp_path)
    (batch,) = batches(folder, 1, augment=Augment(flip_horizontal=1.0), target_scale=3)
    for image, target in zip(batch["image"], batch["targets"]["target"], strict=True):
        ((y, x),) = places(image, small[:, ::-1])
        part = small[y : y + 7, ::-1][:, x : x + 9]
        np.testing.assert_allclose(target[1::3, 1::3], part, atol=0.1)


def test_a_side_that_is_shorter_is_filled_up(tmp_path):
    folder, small = pair(tmp_path)
    (batch,) = batches(folder, 1, preprocess=Preprocess(size=(25, 9), resize="whole"))
    for image in batch["image"]:
        np.testing.assert_array_equal(image[20:], np.full((5, 9, 3), 127.5))
        assert len(places(image[:20], small)) == 1


def test_evaluation_sees_pictures_as_they_are(tmp_path):
    folder, small = pair(tmp_path)
    (batch,) = take(evaluation_batches(stream(folder, preprocess=WHOLE, batch_size=1)), 1)
    np.testing.assert_array_equal(batch["image"], np.float32(small[None]))
    np.testing.assert_array_equal(batch["matrix"], np.eye(3)[None])

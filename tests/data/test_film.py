"""Frames beside a picture: which they are, how they are read, laid onto it, drawn and stored."""

from __future__ import annotations

import io

import cv2
import numpy as np
import PIL.Image
import pytest

from convoy.data import example, frames, tfrecord
from convoy.data.augment.offline import augment_copy
from convoy.data.augment.policy import Augment
from convoy.data.input.input import evaluation_batches, training_batches
from convoy.data.sources import Options, pairs
from convoy.models.restoration import color
from convoy.models.spec import Preprocess
from tests.data.test_input import stream, take, written


def png(pixels) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.uint8(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


def opened(data: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB"))


def flat(value: int, size=(12, 16)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


def film(folder, count: int, **sizes):
    """blur/ and sharp/ of `count` frames, frame k of value 10 k + 5."""
    for half in ("blur", "sharp"):
        (folder / half).mkdir(parents=True)
        for k in range(1, count + 1):
            size = sizes.get(f"f{k}", (12, 16)) if half == "blur" else (12, 16)
            (folder / half / f"frame{k}.png").write_bytes(png(flat(10 * k + 5, size)))


def test_numbers_in_names_are_compared_as_numbers():
    names = [f"f{k}.png" for k in (10, 9, 2, 1)]
    assert sorted(names, key=frames.order) == [f"f{k}.png" for k in (1, 2, 9, 10)]


@pytest.mark.parametrize(
    ("index", "count", "places"),
    [(5, 9, [3, 4, 6, 7]), (0, 9, [0, 0, 1, 2]), (8, 9, [6, 7, 8, 8]), (0, 1, [0] * 4)],
)
def test_the_two_before_and_behind(index, count, places):
    assert frames.neighbours(index, count) == places


def samples(root, **options):
    told = []
    listing = pairs.scan(root, Options(frames=5, holdout=0.5, **options))
    found = {
        reference.source_id: pairs.read(
            reference, listing.labels, warn=lambda reason, detail: told.append((reason, detail))
        )
        for reference in listing.references
    }
    return listing, found, told


def test_a_film_by_the_order_of_its_names(tmp_path):
    film(tmp_path / "a", 11)
    _, found, told = samples(tmp_path / "a")
    assert told == []
    assert len(found) == 11
    values = {
        name: [opened(f)[0, 0, 0] if f else None for f in sample.frames]
        for name, sample in found.items()
    }
    assert values["blur/frame10.png"] == [85, 95, 115, 115]  # behind the last is the last
    assert values["blur/frame1.png"] == [None, None, 25, 35]
    assert values["blur/frame6.png"] == [45, 55, 75, 85]
    again = example.decode(example.encode(found["blur/frame1.png"], ["picture"]))
    assert again.frames == found["blur/frame1.png"].frames
    assert Options().frames == 1
    plain = pairs.scan(tmp_path / "a", Options())
    assert pairs.read(plain.references[0], plain.labels).frames == ()


def test_films_are_not_cut_by_a_split(tmp_path):
    for name in "abcdef":
        film(tmp_path / name, 3)
    listing, found, _ = samples(tmp_path)
    assert len(found) == 18
    splits = {reference.source_id[0]: reference.split for reference in listing.references}
    assert {(r.source_id[0], r.split) for r in listing.references} == {*splits.items()}
    assert {*splits.values()} == {"train", "val"}


def test_a_frame_of_another_size_or_broken_is_told(tmp_path):
    film(tmp_path, 4, f3=(12, 20))
    (tmp_path / "blur/frame1.png").write_bytes(b"\x89PNG no picture")
    (tmp_path / "sharp/frame3.png").unlink()
    listing, found = pairs.scan(tmp_path, Options(frames=5)), {}
    told = []
    for reference in listing.references:
        if reference.source_id != "blur/frame1.png":  # it is rejected for itself
            sample = pairs.read(reference, listing.labels, warn=lambda *row: told.append(row))
            found[reference.source_id] = sample
    assert [bool(frame) for frame in found["blur/frame2.png"].frames] == [False, False, False, True]
    assert {reason for reason, _ in told} == {"bad_frame", "frame_size"}
    assert any("1 of 4 frames beside it have another size" in detail for _, detail in told)


def scene(seed: int = 0) -> np.ndarray:
    """160 x 200 pixels with many corners."""
    draw = np.random.default_rng(seed)
    pixels = np.full((160, 200, 3), 90, np.uint8)
    for _ in range(120):
        y, x = draw.integers(0, [150, 190])
        height, width = draw.integers(4, 16, 2)
        pixels[y : y + height, x : x + width] = draw.integers(0, 256, 3)
    return pixels


def test_a_homography_lays_a_frame_onto_its_picture():
    """A frame seen from elsewhere by a known matrix: back to less than a tenth of its error."""
    target = scene()
    matrix = np.array([[1.02, 0.03, 6.0], [-0.02, 0.99, -4.0], [1e-5, 2e-5, 1.0]])
    frame = cv2.warpPerspective(target, matrix, (200, 160))
    moved = frames.aligned(frame, target)
    inside = (slice(12, -12), slice(12, -12))
    before = np.abs(np.int16(frame) - target)[inside].mean()
    after = np.abs(np.int16(moved) - target)[inside].mean()
    assert before > 10
    assert after < 0.25 * before  # what is left is the blur of drawing it twice
    np.testing.assert_array_equal(frames.aligned(frame, target), moved)  # RANSAC or not


def test_what_has_nothing_in_common_stays_as_it_is():
    picture, other, plain = png(scene()), png(scene(7)), png(flat(3, (160, 200)))
    laid, failed = frames.laid([other, plain, picture, picture], picture, "homography")
    assert failed == 2
    assert laid == (other, plain, b"", b"")


def record(tmp_path):
    """A picture, three frames and "" on 20 x 40 pixels, by value."""
    small = [np.random.default_rng(k).integers(0, 256, (20, 40, 3)) for k in range(4)]
    given = (png(small[1]), b"", png(small[2]), png(small[3]))
    folder = written(tmp_path, image=png(small[0]), frames=given, target=png(small[0]))
    wanted = np.concatenate([small[1], small[0], small[2], small[3]], axis=-1)
    return folder, np.float32(small[0]), np.float32(wanted)


WHOLE = Preprocess(size=(20, 40), resize="whole")


def test_batches_have_them_in_their_order(tmp_path):
    folder, image, wanted = record(tmp_path)
    given = {"fields": ("target", "frames"), "preprocess": WHOLE, "batch_size": 1}
    (batch,) = take(evaluation_batches(stream(folder, **given)), 1)
    np.testing.assert_array_equal(batch["frames"][0], wanted)
    (batch,) = take(training_batches(stream(folder, **given)), 1)
    np.testing.assert_array_equal(batch["image"][0], image)
    np.testing.assert_array_equal(batch["frames"][0], wanted)


def test_frames_are_mirrored_and_recoloured_with_their_picture(tmp_path):
    folder, image, wanted = record(tmp_path)
    policy = Augment(flip_horizontal=1.0, brightness=0.3)
    given = {"fields": ("target", "frames"), "preprocess": WHOLE, "batch_size": 1}
    (batch,) = take(training_batches(stream(folder, augment=policy, **given)), 1)
    change = batch["image"][0] - image[:, ::-1]
    inside = (image[:, ::-1] > 90) & (image[:, ::-1] < 165)
    (added,) = {round(float(value), 2) for value in change[inside]}
    assert added != 0
    assert np.ptp(change[inside]) < 1e-2
    expected = np.clip(wanted[:, ::-1] + added, 0, 255)
    np.testing.assert_allclose(batch["frames"][0], expected, atol=0.05)


def test_copies_have_theirs_changed_too(tmp_path):
    folder, _, _ = record(tmp_path)
    (serialized,) = tfrecord.read(next(folder.glob("*.tfrecord")))
    sample = example.decode(serialized)
    copy = augment_copy(sample, Augment(flip_horizontal=1.0), 1, 0)
    assert [bool(frame) for frame in copy.frames] == [True, False, True, True]
    given, got = (color.luma(np.float32(opened(x.frames[2]))) for x in (sample, copy))
    assert np.abs(got - given[:, ::-1]).mean() < 10  # a JPEG of noise
    assert np.abs(got - given).mean() > 30

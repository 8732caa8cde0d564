"""What a task gets of a record: masks, class maps, keypoints, pairs, captions and text, moved."""

from __future__ import annotations

import collections
import json

import numpy as np
import pytest
import tensorflow as tf

from convoy.data import example, tfrecord
from convoy.data.augment.offline import augment_copy
from convoy.data.augment.policy import POLICIES, Augment
from convoy.data.input.input import evaluation_batches, keypoints_of, training_batches
from convoy.data.sample import Sample
from convoy.models.spec import Preprocess
from tests.data.test_input import BOXES, assert_equal, stream, take, written

TASK_POLICY = Augment(flip_horizontal=1.0)


def annotated(folder, policy=TASK_POLICY, fields=("boxes",), **changed):
    """The targets of a picture of 20 x 40 pixels drawn on 40 x 80, mirrored."""
    size = {"preprocess": Preprocess(size=(40, 80)), "augment": policy, "batch_size": 1}
    given = {**size, "fields": fields, "encode": lambda got: got, "max_boxes": 3}
    (batch,) = take(training_batches(stream(folder, **{**given, **changed})), 1)
    return {name: value[0] for name, value in batch["targets"].items()}, batch


def picture(values) -> bytes:
    return tf.io.encode_png(np.asarray(values, np.uint8)[..., None]).numpy()


def block(top, left, bottom, right, value=255, fill=0) -> np.ndarray:
    values = np.full((20, 40), fill, np.uint8)
    values[top:bottom, left:right] = value
    return values


@pytest.mark.parametrize("policy", [TASK_POLICY, Augment(flip_horizontal=1.0, shear_deg=1e-4)])
def test_masks_follow_their_objects(tmp_path, policy):
    """Of three objects the second is a crowd; the third comes second, with its own mask."""
    boxes = [[0, 0, 10, 10], [5, 20, 10, 40], [10, 10, 20, 20]]
    masks = [picture(block(*box)) for box in boxes]
    folder = written(
        tmp_path, boxes=boxes, masks=tuple(masks), crowd=np.array([False, True, False])
    )
    found, _ = annotated(folder, policy, fields=("boxes", "masks"))
    assert found["valid"].tolist() == [True, True, False]
    assert found["classes"].tolist() == [0, 2, 0]
    assert found["masks"].dtype == np.uint8
    np.testing.assert_allclose(found["boxes"][:2], [[0, 60, 20, 80], [20, 40, 40, 60]], atol=0.01)
    for mask, (top, left, bottom, right) in zip(
        found["masks"], [(0, 60, 20, 80), (20, 40, 40, 60), (0, 0, 0, 0)], strict=True
    ):
        expected = np.zeros((40, 80), np.uint8)
        expected[top:bottom, left:right] = 1
        assert (mask != expected).mean() <= (0 if policy == TASK_POLICY else 0.03)


def test_objects_without_masks_have_empty_ones(tmp_path):
    found, _ = annotated(written(tmp_path, boxes=BOXES), fields=("boxes", "masks"))
    assert found["valid"].tolist() == [True] * 3
    assert found["masks"].shape == (3, 40, 80)
    assert not found["masks"].any()


def test_segmentation_is_ignored_outside(tmp_path):
    """Half as large about the centre: the picture covers rows 10..30 and columns 20..60."""
    folder = written(tmp_path, segmentation=picture(block(0, 0, 20, 20, value=7)))
    policy = Augment(flip_horizontal=1.0, zoom=(0.5, 0.5))
    found, batch = annotated(folder, policy, fields=("segmentation",))
    expected = np.full((40, 80), 255)
    expected[10:30, 20:60] = 0
    expected[10:30, 40:60] = 7
    np.testing.assert_array_equal(found["segmentation"], expected)
    assert ((batch["image"][0] == 90).all(-1) == (expected != 255)).all()


def test_no_segmentation_is_all_ignored(tmp_path):
    found, _ = annotated(written(tmp_path), fields=("segmentation",))
    assert (found["segmentation"] == 255).all()


def test_keypoints_are_mirrored_with_their_pairs(tmp_path):
    points = np.array([[[2, 3, 2], [4, 30, 1]], [[1, 1, 0], [19, 39, 2]]], np.float32)
    folder = written(tmp_path, boxes=BOXES[:2], keypoints=points)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest.update(keypoints=["left eye", "right eye"], keypoint_pairs=[[0, 1]])
    (folder / "manifest.json").write_text(json.dumps(manifest))
    known = keypoints_of(folder)
    assert known == {"keypoints": 2, "keypoint_pairs": ((0, 1),)}
    found, _ = annotated(folder, fields=("boxes", "keypoints"), **known)
    expected = [[[8, 20, 1], [4, 74, 2]], [[38, 2, 2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]
    np.testing.assert_allclose(found["keypoints"], expected, atol=1e-3)


@pytest.mark.parametrize("outlined", [False, True])
def test_what_is_unlabelled_is_where_it_is_drawn(tmp_path, outlined):
    """A crowd, a difficult object and one without a keypoint; the labelled one is not in it.

    Twice as large and mirrored: columns 40 - x, doubled. By outlines, here the upper half of each
    box, or by boxes. The last lies within the labelled one's box and is kept out of the loss.
    """
    boxes = [[0, 0, 10, 10], [10, 0, 20, 10], [0, 20, 10, 30], [10, 20, 20, 40], [12, 2, 16, 4]]
    points = np.zeros((5, 1, 3), np.float32)
    points[:, 0] = [[5, 5, 2], [15, 5, 2], [5, 25, 2], [0, 0, 0], [0, 0, 0]]
    flags = {"crowd": np.arange(5) == 0, "difficult": np.arange(5) == 2}
    halves = [[y, x, (y + b) // 2, r] for y, x, b, r in boxes]
    masks = tuple(picture(block(*box)) for box in halves) if outlined else ()
    folder = written(tmp_path, boxes=boxes, keypoints=points, masks=masks, **flags)
    fields = ("boxes", "keypoints", "unlabelled")
    found, _ = annotated(folder, fields=fields, keypoints=1, max_boxes=6)
    expected = np.zeros((40, 80), np.uint8)
    for index in (0, 2, 3, 4):
        top, left, bottom, right = (2 * np.array(halves if outlined else boxes)[index]).tolist()
        expected[top:bottom, 80 - right : 80 - left] = 1
    assert found["unlabelled"].dtype == np.uint8
    np.testing.assert_array_equal(found["unlabelled"], expected)
    assert found["valid"].tolist() == [True] * 3 + [False] * 3
    assert found["keypoints"][0].tolist() == [[30, 70, 2]]


def test_an_object_that_is_cut_off_is_unlabelled(tmp_path):
    """Zoomed to twice about the centre, a quarter of the first box is left, of row 5."""
    points = np.full((2, 1, 3), 2, np.float32)
    points[1, 0] = [10, 20, 2]
    boxes = [[2, 18, 6, 20], [8, 18, 12, 22]]
    folder = written(tmp_path, boxes=boxes, keypoints=points)
    policy = Augment(zoom=(2.0, 2.0), min_visible=0.5)
    given = {"fields": ("boxes", "keypoints", "unlabelled"), "keypoints": 1, "policy": policy}
    found, _ = annotated(folder, **given)
    assert found["valid"].tolist() == [True, False, False]
    expected = np.zeros((40, 80), np.uint8)
    expected[:4, 32:40] = 1  # (6 - 5) * 4 rows, columns (18 - 10) * 4 to (20 - 10) * 4
    np.testing.assert_array_equal(found["unlabelled"], expected)


def test_nothing_is_unlabelled_where_all_is_known(tmp_path):
    points = np.full((1, 1, 3), 2, np.float32)
    folder = written(tmp_path, boxes=BOXES[:1], keypoints=points)
    found, _ = annotated(folder, fields=("boxes", "keypoints", "unlabelled"), keypoints=1)
    assert found["unlabelled"].shape == (40, 80)
    assert not found["unlabelled"].any()


def test_a_set_without_keypoints_has_none(digits_records):
    assert keypoints_of(digits_records) == {"keypoints": 0, "keypoint_pairs": ()}


def test_restoration_draws_the_larger_picture_alike(tmp_path):
    """A target of 40 x 80 for an input of 40 x 80 doubled: 80 x 160, mirrored, of its colours."""
    ramp = np.tile(np.arange(80, dtype=np.uint8) * 3, (40, 1))
    folder = written(tmp_path, target=picture(ramp))
    policy = Augment(flip_horizontal=1.0, brightness=0.3, noise=0.1)
    found, batch = annotated(folder, policy, fields=("target",), target_scale=2)
    assert batch["image"].shape == (1, 40, 80, 3)
    expected = tf.image.resize(ramp[:, ::-1, None], [80, 160]).numpy()
    ours = found["target"]
    assert ours.shape == (80, 160, 3)
    np.testing.assert_allclose(ours[2:-2, 2:-2], np.tile(expected[2:-2, 2:-2], 3), atol=0.1)
    assert np.abs(batch["image"][0] - 90).max() > 5


def test_captions_and_one_of_them(tmp_path):
    folder = written(tmp_path, captions=("one", "zwei", "три"))
    (_, batch) = annotated(folder, fields=("captions",), batch_size=64)
    targets = batch["targets"]
    given = [caption.encode() for caption in ("one", "zwei", "три")]
    assert targets["captions"].tolist() == [[*given, b"", b""]] * 64
    counted = collections.Counter(targets["caption"].tolist())
    assert set(counted) == set(given)
    assert min(counted.values()) >= 8  # of 64 about 21 each; 3.5 sigma below is 8


def test_every_caption_is_drawn_and_none_that_is_empty(tmp_path):
    """Of nine, some before them empty, each is drawn of 256 times; one is missed in 1e-11."""
    folder = written(tmp_path, captions=("", "", *"abcdefghi"))
    (_, batch) = annotated(folder, fields=("captions",), batch_size=256)
    assert {caption.decode() for caption in batch["targets"]["caption"]} == {*"abcdefghi"}


def test_the_epoch_and_a_seed_of_its_own_go_with_captions(tmp_path):
    """Of one record, a batch of four is four epochs."""
    folder = written(tmp_path, captions=("one",))
    (_, batch) = annotated(folder, fields=("captions",), batch_size=4)
    assert batch["targets"]["epoch"].tolist() == [0, 1, 2, 3]
    seeds = batch["targets"]["seed"]
    assert (seeds.shape, seeds.dtype, len(set(map(tuple, seeds.tolist())))) == ((4, 2), "int32", 4)
    (_, again) = annotated(folder, fields=("captions",), batch_size=4)
    np.testing.assert_array_equal(seeds, again["targets"]["seed"])


def test_no_captions_are_empty(tmp_path):
    found, _ = annotated(written(tmp_path), fields=("captions",))
    assert (found["caption"], found["captions"].tolist()) == (b"", [b""] * 5)


def test_text_has_no_picture(tmp_path):
    sample = Sample("only", "train", b"", 0, 0, labels=np.array([1]), text="ganz gut")
    with open(tmp_path / "train-00000-of-00001.tfrecord", "wb") as file:
        tfrecord.write(file, example.encode(sample, ["bad", "good"]))
    (tmp_path / "manifest.json").write_text(json.dumps({"splits": {"train": {"records": 1}}}))
    found, batch = annotated(tmp_path, fields=("sentence", "labels"))
    assert "image" not in batch
    assert found["sentence"] == b"ganz gut"
    assert found["labels"].tolist() == [1, -1, -1]
    (batch,) = evaluation_batches(
        stream(tmp_path, fields=("sentence", "labels"))
    ).as_numpy_iterator()
    assert batch["sentence"].tolist() == [b"ganz gut"]
    assert example.decode(batch["serialized"][0]).text == "ganz gut"


def test_fields_of_any_task_come_in_one_dict(tmp_path):
    folder = written(
        tmp_path,
        boxes=BOXES[:1],
        labels=np.array([4, 2]),
        masks=(picture(block(*BOXES[0])),),
        segmentation=picture(block(0, 0, 9, 9)),
    )
    fields = ("labels", "boxes", "masks", "segmentation")
    found, _ = annotated(folder, fields=fields)
    assert set(found) == {"labels", "boxes", "classes", "valid", "masks", "segmentation"}
    assert found["labels"].tolist() == [4, 2, -1]


def _by_default(*rows, kept) -> list:
    """The rows, those that are not kept under -m slow: each traces a whole input."""
    return [row if row in kept else pytest.param(row, marks=pytest.mark.slow) for row in rows]


FITTED = [
    (name, resize) for name in sorted(POLICIES) for resize in ("stretch", "crop", "letterbox")
]
KEPT = [(name, "stretch") for name in POLICIES if name != "unet"]
KEPT += [("ssd", "crop"), ("unet", "letterbox")]


@pytest.mark.parametrize("fitted", _by_default(*FITTED, kept=KEPT), ids="-".join)
def test_boxes_follow_the_pixels_under_every_policy(tmp_path, fitted):
    """A white object on black; its box holds its pixels, and no more than a pixel around."""
    name, resize = fitted
    rows, columns = (16, 34), (20, 50)
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[slice(*rows), slice(*columns)] = 255
    sample = Sample(
        "only", "train", tf.io.encode_png(pixels).numpy(), 48, 64,
        boxes=np.array([[rows[0], columns[0], rows[1], columns[1]]], np.float32),
        classes=np.array([0]), difficult=np.zeros(1, bool), truncated=np.zeros(1, bool),
        crowd=np.zeros(1, bool),
    )  # fmt: skip
    with open(tmp_path / "train-00000-of-00001.tfrecord", "wb") as file:
        tfrecord.write(file, example.encode(sample, ["a"]))
    (tmp_path / "manifest.json").write_text(json.dumps({"splits": {"train": {"records": 1}}}))
    still = dict.fromkeys(("brightness", "contrast", "saturation", "hue", "pca_color"), 0.0)
    policy = POLICIES[name].model_copy(update={**still, "exposure": 1.0, "min_visible": 0.0})
    given = {"preprocess": Preprocess(size=(64, 64), resize=resize), "augment": policy}
    (batch,) = take(training_batches(stream(tmp_path, **given, batch_size=16)), 1)
    seen = 0
    for image, boxes, valid in zip(
        batch["image"], batch["targets"]["boxes"], batch["targets"]["valid"], strict=True
    ):
        ys, xs = np.nonzero(image[..., 0] > 191.5)
        if not valid[0] or not len(ys):
            continue
        seen += 1
        extent = np.array([ys.min(), xs.min(), ys.max() + 1, xs.max() + 1])
        inwards = (extent - boxes[0]) * [1, 1, -1, -1]
        # A thin strip, or a corner of a turned box, may be too faint to count.
        assert inwards.min() >= -1.0
        if not (policy.rotate_deg or policy.elastic):
            assert inwards.max() <= 1.5
    assert seen >= 6


@pytest.mark.parametrize("name", _by_default("inception", "ssd", "unet", kept=["ssd"]))
def test_resuming_and_sharing_under_named_policies(digits_records, name):
    given = stream(digits_records, augment=POLICIES[name], batch_size=8)
    whole = take(training_batches(given), 3)
    (resumed,) = take(training_batches(given, start_step=2), 1)
    assert_equal(whole[2], resumed)
    contexts = [tf.distribute.InputContext(2, index, 2) for index in range(2)]
    parts = [take(training_batches(given, context=context), 1)[0] for context in contexts]
    joined = tf.nest.map_structure(lambda *rows: np.concatenate(rows), *parts)
    assert_equal(joined, whole[0])


@pytest.mark.parametrize(
    "name", _by_default("slides", "ssd", "yolo", "inception", "unet", kept=["slides", "ssd"])
)
def test_training_and_copies_follow_the_same_plan(tmp_path, name):
    """A copy of 40 x 60 pixels and an input of that size: the same box and nearly its pixels."""
    image = tf.image.resize(np.random.default_rng(0).integers(0, 256, (5, 7, 3)), [40, 60])
    image = tf.io.encode_png(tf.cast(image, tf.uint8)).numpy()
    flags = dict.fromkeys(("difficult", "truncated", "crowd"), np.zeros(2, bool))
    boxes = np.array([[10, 10, 30, 40], [2, 3, 20, 25]], np.float32)
    sample = Sample("one", "train", image, 40, 60, boxes=boxes, classes=np.arange(2), **flags)
    with open(tmp_path / "train-00000-of-00001.tfrecord", "wb") as file:
        tfrecord.write(file, example.encode(sample, ["a", "b"]))
    (tmp_path / "manifest.json").write_text(json.dumps({"splits": {"train": {"records": 1}}}))
    size = {"preprocess": Preprocess(size=(40, 60)), "augment": POLICIES[name]}
    batches = take(training_batches(stream(tmp_path, **size, batch_size=3, seed=4)), 1)
    for epoch in range(3):
        copy = augment_copy(sample, POLICIES[name], seed=4, copy=epoch)
        valid = batches[0]["targets"]["valid"][epoch]
        online = batches[0]["targets"]["boxes"][epoch][valid]
        assert batches[0]["targets"]["classes"][epoch][valid].tolist() == copy.classes.tolist()
        # Training draws whole pixels: half a pixel of the picture and half of the input.
        np.testing.assert_allclose(copy.boxes, online, atol=2.5)
        drawn = tf.io.decode_jpeg(copy.image).numpy().astype(float)
        assert np.abs(drawn - batches[0]["image"][epoch]).mean() < 12


@pytest.mark.parametrize("fields", [("labels",), ("labels", "boxes")])
def test_a_picture_without_a_class_does_not_end_the_process(tmp_path, fields):
    """Unbatching a block of [B, 0] labels is a segmentation fault in TensorFlow 2.20."""
    found, _ = annotated(written(tmp_path), Augment(), fields)
    assert found["labels"].tolist() == [-1, -1, -1]


def test_keypoints_that_no_record_has_are_refused(tmp_path):
    with pytest.raises(ValueError, match="these records have no keypoints"):
        annotated(written(tmp_path), Augment(), ("boxes", "keypoints"))

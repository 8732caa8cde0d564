"""Batches from records: order, resuming, sharing over workers, decoding, boxes."""

from __future__ import annotations

import collections
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy.data import example, tfrecord
from convoy.data.augment.policy import Augment
from convoy.data.input.input import Stream, count, evaluation_batches, shards, training_batches
from convoy.data.sample import Sample
from convoy.models.spec import Preprocess

SQUARE = Preprocess(size=(32, 32))
BUSY = Augment(flip_horizontal=0.5, shift=0.1, zoom=(0.8, 1.2), brightness=0.2, hue=0.1)
TRAIN = 24  # records


def encode_boxes(annotation):
    return annotation


def stream(records, **changed) -> Stream:
    given = {"fields": ("boxes",), "preprocess": SQUARE, "encode": encode_boxes, "batch_size": 5}
    return Stream(records=records, split="train", **{**given, "max_boxes": 8, **changed})


def take(batches, number: int) -> list[dict]:
    return list(batches.take(number).as_numpy_iterator())


def names(batches: list[dict]) -> list[bytes]:
    return [name for batch in batches for name in batch["source_id"].tolist()]


def assert_equal(left: dict, right: dict) -> None:
    tf.nest.assert_same_structure(left, right)
    for a, b in zip(tf.nest.flatten(left), tf.nest.flatten(right), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def busy(digits_records) -> list[dict]:
    """The first 15 batches of 5 with augmentation: 75 records, three epochs and a bit."""
    return take(training_batches(stream(digits_records, augment=BUSY)), 15)


def test_the_fixture_has_several_shards(digits_records):
    assert count(digits_records, "train") == TRAIN
    assert len(shards(digits_records, "train")) >= 3


def test_batches_have_fixed_shapes(digits_records):
    (batch,) = take(training_batches(stream(digits_records)), 1)
    assert batch["image"].shape == (5, 32, 32, 3)
    assert batch["image"].dtype == np.float32
    assert batch["targets"]["boxes"].shape == (5, 8, 4)
    assert batch["targets"]["classes"].shape == batch["targets"]["valid"].shape == (5, 8)
    spec = training_batches(stream(digits_records)).element_spec["image"]
    assert spec.shape == (5, 32, 32, 3)


def test_order_is_a_function_of_seed_and_epoch(digits_records):
    seen = names(take(training_batches(stream(digits_records, batch_size=8, augment=BUSY)), 6))
    epochs = seen[:TRAIN], seen[TRAIN:]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1])
    other = names(take(training_batches(stream(digits_records, batch_size=8, seed=1)), 3))
    assert other != epochs[0]
    assert other != sorted(other)


def test_batch_size_does_not_change_the_order(digits_records, busy):
    whole = take(training_batches(stream(digits_records, batch_size=15, augment=BUSY)), 1)[0]
    joined = tf.nest.map_structure(lambda *rows: np.concatenate(rows), *busy[:3])
    assert_equal(whole, joined)


def test_every_record_once_an_epoch_without_a_seam(busy):
    """24 records in batches of 5: the fifth holds the last 4 of one epoch and 1 of the next."""
    seen = names(busy)
    assert len(seen) == 75
    known = set(seen)
    assert len(known) == TRAIN
    for epoch in range(3):
        assert set(seen[epoch * TRAIN : (epoch + 1) * TRAIN]) == known


def test_a_small_buffer_shuffles_blocks(digits_records):
    seen = names(take(training_batches(stream(digits_records, shuffle_buffer=4)), 5))
    assert len(set(seen[:TRAIN])) == TRAIN


def test_a_picture_looks_different_in_the_next_epoch(digits_records):
    batches = take(training_batches(stream(digits_records, batch_size=24, augment=BUSY)), 2)
    looks = [
        dict(zip(batch["source_id"].tolist(), batch["image"], strict=True)) for batch in batches
    ]
    changed = [np.abs(looks[0][name] - looks[1][name]).max() > 1 for name in looks[0]]
    assert all(changed)


@pytest.mark.parametrize("start", [4, 5, 11])
def test_start_step_equals_skipping(digits_records, busy, start):
    resumed = take(training_batches(stream(digits_records, augment=BUSY), start_step=start), 2)
    for left, right in zip(busy[start : start + 2], resumed, strict=True):
        assert_equal(left, right)


@pytest.mark.parametrize(("pipelines", "replicas"), [(2, 2), (2, 4), (1, 2)])
def test_workers_together_see_the_batch_of_one_process(digits_records, pipelines, replicas):
    """Rows of a global batch are dealt worker by worker, and within one replica by replica."""
    given = stream(digits_records, batch_size=8, augment=BUSY)
    whole = take(training_batches(given, start_step=2), 4)
    contexts = [
        tf.distribute.InputContext(pipelines, index, replicas) for index in range(pipelines)
    ]
    each = replicas // pipelines  # batches that a worker takes a step
    parts = [
        take(training_batches(given, start_step=2, context=context), 4 * each)
        for context in contexts
    ]
    for step, batch in enumerate(whole):
        own = [part for worker in parts for part in worker[step * each : (step + 1) * each]]
        assert {len(part["image"]) for part in own} == {8 // replicas}
        assert_equal(tf.nest.map_structure(lambda *rows: np.concatenate(rows), *own), batch)


def test_global_seeds_do_not_matter(digits_records, busy):
    given = stream(digits_records, augment=BUSY)
    keras.utils.set_random_seed(1234)
    for left, right in zip(busy[:2], take(training_batches(given), 2), strict=True):
        assert_equal(left, right)


def test_a_batch_must_divide(digits_records):
    context = tf.distribute.InputContext(1, 0, 2)
    with pytest.raises(ValueError, match=r"train.batch_size 5 does not divide by the 2 replicas"):
        training_batches(stream(digits_records), context=context)


def test_an_unknown_split_names_the_known(digits_records):
    with pytest.raises(ValueError, match=r"split 'test' is not in .*: it holds train, val"):
        count(digits_records, "test")
    with pytest.raises(FileNotFoundError, match=r"no test-\*.tfrecord in .*convoy ingest"):
        shards(digits_records, "test")


@pytest.mark.parametrize(
    ("resize", "size"), [("stretch", (48, 64)), ("stretch", (300, 300)), ("letterbox", (64, 64))]
)
def test_evaluation_reads_every_record_once(digits_records, resize, size):
    """Pictures are 240 x 320; the pixels are tf.image.resize's, the matrix its scale and shift."""
    given = stream(digits_records, preprocess=Preprocess(size=size, resize=resize), batch_size=10)
    batches = list(evaluation_batches(given).as_numpy_iterator())
    assert [len(batch["image"]) for batch in batches] == [10, 10, 4]
    rows = [row for batch in batches for row in batch["serialized"].tolist()]
    assert rows == [
        record for path in shards(digits_records, "train") for record in tfrecord.read(path)
    ]
    image = tf.io.decode_jpeg(example.decode(rows[0]).image, dct_method="INTEGER_FAST")
    if resize == "stretch":
        expected = tf.image.resize(image, size)
        matrix = np.diag([size[1] / 320, size[0] / 240, 1])
    else:  # scaled by 1/5: 48 rows in the middle of 64
        expected = np.full((64, 64, 3), 127.5, np.float32)
        expected[8:56] = tf.image.resize(image, (48, 64))
        matrix = np.array([[0.2, 0, 0], [0, 0.2, 8], [0, 0, 1]])
    np.testing.assert_allclose(batches[0]["matrix"], np.tile(matrix, (10, 1, 1)), atol=1e-4)
    np.testing.assert_allclose(batches[0]["image"][0], expected, atol=0.02)


def test_training_without_augmentation_is_a_plain_resize(digits_records):
    given = stream(digits_records, preprocess=Preprocess(size=(48, 64)), batch_size=TRAIN)
    (batch,) = take(training_batches(given), 1)
    samples = {
        sample.source_id: sample
        for path in shards(digits_records, "train")
        for sample in map(example.decode, tfrecord.read(path))
    }
    for row, name in enumerate(batch["source_id"].tolist()):
        sample = samples[name.decode()]
        image = tf.io.decode_jpeg(sample.image, dct_method="INTEGER_FAST")
        expected = tf.image.resize(image, (48, 64))
        np.testing.assert_allclose(batch["image"][row], expected, atol=0.02)
        objects = len(sample.boxes)
        assert batch["targets"]["valid"][row].tolist() == [True] * objects + [False] * (8 - objects)
        np.testing.assert_allclose(
            batch["targets"]["boxes"][row, :objects], sample.boxes / 5, atol=1e-3
        )
        np.testing.assert_array_equal(batch["targets"]["classes"][row, :objects], sample.classes)
        assert not batch["targets"]["boxes"][row, objects:].any()


def test_classification_gets_the_labels_of_the_picture(digits_records):
    given = stream(
        digits_records,
        fields=("labels",),
        encode=lambda got: {
            "label": got["labels"][0],
            "count": tf.reduce_sum(tf.cast(got["labels"] >= 0, tf.int32)),
        },
        batch_size=TRAIN,
    )
    (batch,) = take(training_batches(given), 1)
    expected = {
        sample.source_id.encode(): [sample.labels[0], len(sample.labels)]
        for path in shards(digits_records, "train")
        for sample in map(example.decode, tfrecord.read(path))
    }
    got = np.stack([batch["targets"]["label"], batch["targets"]["count"]], axis=1)
    wanted = [expected[name] for name in batch["source_id"].tolist()]
    np.testing.assert_array_equal(got, wanted)


def written(folder, **changed):
    """A folder of records holding one gray 20 x 40 picture, or another, with the given objects."""
    gray = tf.io.encode_png(tf.fill([20, 40, 3], tf.constant(90, tf.uint8))).numpy()
    boxes = np.array(changed.pop("boxes", np.zeros([0, 4])), np.float32)
    flags = {name: np.zeros(len(boxes), bool) for name in ("difficult", "truncated", "crowd")}
    sample = Sample(
        "only", "train", changed.pop("image", gray), 20, 40,
        boxes=boxes, classes=np.arange(len(boxes)),
        **{**flags, **changed},
    )  # fmt: skip
    with open(folder / "train-00000-of-00001.tfrecord", "wb") as file:
        tfrecord.write(file, example.encode(sample, list("abcdefgh")))
    (folder / "manifest.json").write_text(json.dumps({"splits": {"train": {"records": 1}}}))
    return folder


BOXES = [[0, 0, 10, 10], [5, 20, 10, 40], [10, 10, 20, 20], [0, 30, 4, 34]]


def targets(folder, **changed) -> dict:
    (batch,) = take(training_batches(stream(folder, batch_size=1, **changed)), 1)
    return {name: value[0] for name, value in batch["targets"].items()}


def test_difficult_and_crowds_are_left_out(tmp_path):
    flags = {"difficult": np.array([0, 1, 0, 0], bool), "crowd": np.array([0, 0, 1, 0], bool)}
    found = targets(written(tmp_path, boxes=BOXES, **flags))
    assert found["valid"].tolist() == [True, True] + [False] * 6
    assert found["classes"][:2].tolist() == [0, 3]
    # 20 x 40 pixels onto 32 x 32: y by 1.6, x by 0.8.
    np.testing.assert_allclose(found["boxes"][:2], [[0, 0, 16, 8], [0, 24, 6.4, 27.2]], atol=1e-4)


def test_boxes_beyond_max_boxes_are_cut(tmp_path):
    found = targets(written(tmp_path, boxes=BOXES), max_boxes=3)
    assert found["valid"].tolist() == [True] * 3
    assert found["classes"].tolist() == [0, 1, 2]


def test_no_objects_at_all(tmp_path):
    found = targets(written(tmp_path))
    assert not found["valid"].any()
    assert not found["boxes"].any()


def test_one_record_fills_batches_for_ever(tmp_path):
    (batch,) = take(training_batches(stream(written(tmp_path), batch_size=3, augment=BUSY)), 1)
    assert collections.Counter(names([batch])) == {b"only": 3}
    assert np.abs(batch["image"][0] - batch["image"][1]).max() > 0.1


def test_flipped_boxes_follow_the_picture(tmp_path):
    found = targets(written(tmp_path, boxes=BOXES[:1]), augment=Augment(flip_horizontal=1.0))
    np.testing.assert_allclose(found["boxes"][0], [0, 24, 16, 32], atol=1e-4)


def test_records_that_are_missing_or_cut_are_named(digits_records, tmp_path):
    folder = tmp_path / "records"
    shutil.copytree(digits_records, folder)
    first, second, *_ = shards(folder, "train")
    whole = pathlib.Path(second).read_bytes()
    for wrong in (b"", whole[:-100]):
        pathlib.Path(second).write_bytes(wrong)
        with pytest.raises(FileNotFoundError, match=r"the manifest says .* some are cut"):
            shards(folder, "train")
    pathlib.Path(second).write_bytes(whole)
    assert len(shards(folder, "train")) >= 3
    pathlib.Path(first).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"1 of . record files .* are missing, such as train-0"
    ):
        take(training_batches(stream(folder)), 1)
    with pytest.raises(ValueError, match="split 'none' is not in"):
        count(folder, "none")

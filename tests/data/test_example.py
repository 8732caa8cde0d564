import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from convoy.data import example
from convoy.data.images import images
from convoy.data.sample import Sample
from tests.data import build

LABELS = ("cat", "dog", "猫")


def mask(seed):
    values = np.random.default_rng(seed).integers(0, 2, (40, 60), np.uint8) * 255
    return images.encode(values)


FULL = Sample(
    source_id="VOC2007/été",
    split="train",
    image=build.picture(40, 60),
    height=40,
    width=60,
    labels=np.array([0, 2]),
    boxes=np.array([[0, 1, 39, 60], [3.25, 7.5, 10, 21.984375]], np.float32),
    classes=np.array([2, 0]),
    difficult=np.array([True, False]),
    truncated=np.array([False, True]),
    crowd=np.array([False, True]),
    masks=(mask(1), mask(2)),
    segmentation=mask(3),
    keypoints=np.array(
        [[[1, 2, 2], [3, 4, 1], [0, 0, 0]], [[5, 6, 2], [7.5, 8, 2], [39, 59, 1]]], np.float32
    ),
    areas=np.array([2301, 97.76953125], np.float32),
    views=("Left", ""),
    actions=np.array([[1, 0, -1], [0, 0, 1]]),
    part_boxes=np.array([[1, 2, 3, 4.5]], np.float32),
    part_names=("head",),
    part_owners=np.array([1]),
    captions=("a cat", "ein Hündchen"),
    target=build.picture(20, 30, kind="PNG"),
    text="",
)
SENTENCE = Sample(
    source_id="pos/17",
    split="train",
    image=b"",
    height=0,
    width=0,
    labels=np.array([1]),
    text="ein Film fürs Herz",
)
BARE = Sample(source_id="a", split="val", image=build.picture(kind="PNG"), height=40, width=60)


def assert_same(a: Sample, b: Sample):
    for field in dataclasses.fields(Sample):
        x, y = getattr(a, field.name), getattr(b, field.name)
        assert type(x) is type(y), field.name
        if isinstance(x, np.ndarray):
            assert (x.dtype, x.shape) == (y.dtype, y.shape), field.name
            np.testing.assert_array_equal(x, y, field.name)
        else:
            assert x == y, field.name


@pytest.mark.parametrize("sample", [FULL, BARE, SENTENCE], ids=["full", "bare", "sentence"])
def test_round_trip_is_exact(sample):
    record = example.encode(sample, LABELS)
    assert_same(sample, example.decode(record))
    assert example.encode(example.decode(record), LABELS) == record


def test_boxes_in_sixty_fourths_of_a_pixel_come_back_exactly():
    rng = np.random.default_rng(0)
    for height, width in ((375, 500), (1, 7), (4096, 3001)):
        corners = rng.integers(0, 64 * np.array([height, width]), (200, 2, 2)) / 64
        boxes = np.sort(corners, axis=1).reshape(-1, 4).astype(np.float32)
        sample = dataclasses.replace(
            BARE, height=height, width=width, boxes=boxes, classes=np.zeros(200, np.int64)
        )
        back = example.decode(example.encode(sample, LABELS)).boxes
        np.testing.assert_array_equal(back, boxes)


def test_numbers_by_hand():
    features = tf.train.Example.FromString(example.encode(FULL, LABELS)).features.feature
    assert set(features) <= set(example.FEATURES)
    assert features["image/object/bbox/ymax"].float_list.value == pytest.approx([0.975, 0.25])
    assert features["image/object/bbox/xmin"].float_list.value == pytest.approx([1 / 60, 0.125])
    assert features["image/object/class/label"].int64_list.value == [2, 0]
    assert features["image/object/class/text"].bytes_list.value == ["猫".encode(), b"cat"]
    assert features["image/object/area"].float_list.value == pytest.approx([2301, 97.76953125])
    assert features["image/object/keypoint/y"].float_list.value[4] == pytest.approx(7.5 / 40)
    assert features["image/object/keypoint/count"].int64_list.value == [3]
    assert features["image/format"].bytes_list.value == [b"jpeg"]
    assert features["image/filename"].bytes_list.value == ["été".encode()]


def test_same_message_as_tensorflows():
    record = example.encode(FULL, LABELS)
    message = tf.train.Example.FromString(record)
    assert message.SerializeToString(deterministic=True) == record


def test_tensorflow_parses_by_the_table():
    kinds = {"bytes": tf.string, "float": tf.float32, "int64": tf.int64}
    spec = {
        key: tf.io.FixedLenFeature([], kinds[kind], tf.zeros([], kinds[kind]))
        if length == 1
        else tf.io.RaggedFeature(kinds[kind])
        for key, (kind, length) in example.FEATURES.items()
    }
    parsed = tf.io.parse_single_example(example.encode(FULL, LABELS), spec)
    assert parsed["image/height"].numpy() == 40
    assert parsed["image/object/mask"].numpy().tolist() == list(FULL.masks)
    assert parsed["image/object/keypoint/visibility"].numpy().tolist() == [2, 1, 0, 2, 2, 1]


def test_model_gardens_decoder_reads_our_records():
    decoder = pytest.importorskip("official.vision.dataloaders.tf_example_decoder")
    decode = decoder.TfExampleDecoder(include_mask=True, mask_binarize_threshold=0.5).decode
    tensors = {key: value.numpy() for key, value in decode(example.encode(FULL, LABELS)).items()}
    np.testing.assert_allclose(
        tensors["groundtruth_boxes"] * [40, 60, 40, 60], FULL.boxes, atol=1e-5
    )
    assert tensors["source_id"] == FULL.source_id.encode()
    assert (tensors["height"], tensors["width"]) == (40, 60)
    np.testing.assert_array_equal(tensors["groundtruth_classes"], FULL.classes)
    np.testing.assert_array_equal(tensors["groundtruth_is_crowd"], FULL.crowd)
    np.testing.assert_allclose(tensors["groundtruth_area"], [2301, 97.76953125])
    np.testing.assert_array_equal(
        tensors["groundtruth_instance_masks"],
        [tf.io.decode_png(m).numpy()[..., 0] > 0 for m in FULL.masks],
    )
    np.testing.assert_array_equal(tensors["image"], tf.io.decode_jpeg(FULL.image).numpy())
    bare = decode(example.encode(BARE, LABELS))
    assert bare["groundtruth_boxes"].shape == (0, 4)


def test_newer_schema_is_refused():
    message = tf.train.Example.FromString(example.encode(BARE, LABELS))
    message.features.feature["image/schema_version"].int64_list.value[0] = 2
    with pytest.raises(example.SchemaError, match="schema_version 2, this program reads up to 1"):
        example.decode(message.SerializeToString())


@pytest.mark.parametrize("record", [b"", b"\xff\xff\xff", b"not a record"])
def test_other_bytes_are_refused(record):
    with pytest.raises(example.SchemaError):
        example.decode(record)

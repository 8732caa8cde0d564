"""What is evaluated is what is served: the same answers from memory and from an exported model."""

from __future__ import annotations

import numpy as np
import pytest

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import Stream, shards
from convoy.pipeline import tasks
from convoy.pipeline.config import Export
from convoy.pipeline.evaluation import predict, pushed
from convoy.serving import export
from tests.serving import tiny

BOXES = [[10.0, 20, 60, 120], [-5, 150, 50, 230], [40, 40, 80, 80]]  # the second leaves the input
LIMITS = {"score_threshold": 0.3, "iou_threshold": 0.6, "max_detections": 4}


@pytest.fixture(scope="module")
def task():
    return tiny.detector(BOXES, [0.5, 0.9, 0.1], [2, 1, 0])


@pytest.fixture(scope="module")
def pairs(task, digits_records):
    stream = Stream(
        digits_records, "val", ("boxes",), task.info.preprocess, task.encode, batch_size=4
    )
    return list(predict.answers(predict.predictor(task, tiny.LABELS, LIMITS), stream))


def test_answers_stand_beside_their_samples_in_the_order_of_the_records(pairs, digits_records):
    records = [r for shard in shards(digits_records, "val") for r in tfrecord.read(shard)]
    assert len(records) == 6  # a batch of 4 and one of 2
    for (sample, _), record in zip(pairs, records, strict=True):
        expected = decode(record)
        assert sample.source_id == expected.source_id
        assert sample.image == expected.image
        np.testing.assert_array_equal(sample.boxes, expected.boxes)


def test_boxes_are_in_pixels_of_each_picture_by_falling_score(pairs):
    """The input of 100 x 200 pixels is the picture stretched."""
    for sample, answer in pairs:
        scale = np.array([sample.height / 100, sample.width / 200] * 2)
        assert answer["num_detections"] == 2  # 0.1 is below the threshold
        np.testing.assert_allclose(answer["boxes"][1], np.array(BOXES[0]) * scale, rtol=1e-5)
        edge = np.array([0, 150, 50, 200]) * scale  # cut at the border
        np.testing.assert_allclose(answer["boxes"][0], edge, rtol=1e-5)
        assert answer["class_names"].tolist() == [b"bee", b"cat", b"", b""]
        assert not answer["boxes"][2:].any()


def test_the_exported_model_answers_the_same(task, pairs, digits_records, tmp_path):
    image = pairs[0][0].image
    arguments = tiny.export_arguments(input_size=(100, 200), samples=[image], precision="float32")
    export.export(task, tmp_path / "model", **{**arguments, **LIMITS})
    served = list(pushed.answers(tmp_path / "model", digits_records, "val", 4))
    for (sample, answer), (other, expected) in zip(pairs, served, strict=True):
        assert sample.source_id == other.source_id
        assert {*answer} == {*expected}
        for name in answer:
            if answer[name].dtype == object:
                assert answer[name].tolist() == expected[name].tolist()
            else:
                np.testing.assert_allclose(answer[name], expected[name], rtol=1e-5)
    module = tasks.of("detection")
    numbers = [predict.measure(module.Metrics("0123456789"), each) for each in (pairs, served)]
    assert numbers[0] == numbers[1]


def test_limits_of_a_task():
    given = Export(score_threshold=0.2, label_count=3)
    assert predict.limits_of("classification", given) == {}
    assert predict.limits_of("multilabel", given) == {"label_threshold": None, "label_count": 3}
    assert predict.limits_of("detection", given)["score_threshold"] == 0.2

"""Detectors on given regions: proposed, learnt, exported, pushed, and asked in every way."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import yaml

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.data.sources import digits
from convoy.models import resize
from convoy.models.boxes import in_input, pairwise_iou
from convoy.pipeline import cli, config, errors, steps
from convoy.pipeline.networks import network
from convoy.pipeline.training import fitted
from convoy.serving import client
from convoy.serving.questions import Question
from tests.serving.running import serving

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
SEARCHED = {"proposals": "selective_search", "max_proposals": 60}
SMALL = {"learning_rate": 0.001, "batch_size": 2, "epochs": 2}


@pytest.fixture(scope="module")
def devkit(tmp_path_factory) -> pathlib.Path:
    return digits.build(tmp_path_factory.mktemp("regions") / "digits", images=(6, 2))


def pushed(top: pathlib.Path, devkit: pathlib.Path, model: dict, **sections) -> dict:
    """What a run says that goes to the end. The detector is not meant to be good."""
    recipe = {
        "name": "regions",
        "task": "detection",
        "run_dir": str(top / "run"),
        "data": {"format": "voc", "path": str(devkit), "test": "val"},
        "model": {"input_size": [96, 128], **model},
        "evaluate": {"gallery": 1, "batch_size": 1},
        "export": {"precision": "float32", "score_threshold": 0.01, "max_detections": 20},
        **{"ingest": SEARCHED, "train": SMALL, **sections},
    }
    path = top / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return steps.run(steps.Job(config.load(path)), "pusher")


def samples(result: dict, split: str = "train") -> list:
    folder = pathlib.Path(result["artifacts"]["example_gen"])
    records = [record for shard in shards(folder, split) for record in tfrecord.read(shard)]
    return [decode(record) for record in records]


def asked_in_every_way(result: dict, questions: list) -> dict[str, np.ndarray]:
    """The answer in process, which gRPC and REST give as well."""
    expected = client.load_local(result["model_dir"])(questions)
    with serving(result["model_dir"]) as (_, channel, connection):
        for found in (
            client.predict_grpc(channel, "regions", questions),
            client.predict_rest(connection, "regions", questions),
        ):
            assert found["num_detections"].tolist() == expected["num_detections"].tolist()
            for name in ("boxes", "scores"):
                np.testing.assert_allclose(found[name], expected[name], atol=2e-3)
    return expected


def predicted(result: dict, picture: bytes, folder: pathlib.Path, capfd) -> list[dict]:
    """The detections that `convoy predict` prints of a picture alone."""
    (folder / "one.jpg").write_bytes(picture)
    words = [result["model_dir"], str(folder / "one.jpg"), "-o", str(folder / "out"), "--json"]
    capfd.readouterr()
    assert cli.main(["convoy", "predict", *words, "--score", "0"]) == errors.OK
    (row,) = json.loads(capfd.readouterr().out.splitlines()[-1])["predictions"]
    assert pathlib.Path(row["picture"]).stat().st_size > 0
    return row["detections"]


def same(detections: list[dict], answer: dict[str, np.ndarray]) -> None:
    count = answer["num_detections"][0]
    assert len(detections) == count > 0
    boxes = [each["box"] for each in detections]
    np.testing.assert_allclose(boxes, answer["boxes"][0][:count], atol=1e-2)
    scores = [each["score"] for each in detections]
    np.testing.assert_allclose(scores, answer["scores"][0][:count], atol=1e-4)


def test_fast_rcnn(devkit, tmp_path, capfd):
    """What `predict` proposes is what ingest has proposed of the same picture."""
    model = {"name": "fast_rcnn_caffenet", "backbone": "mobilenet_v1", "width": 0.25}
    result = pushed(tmp_path, devkit, model)
    assert result["pushed"] is True
    sample = samples(result)[0]
    answer = asked_in_every_way(result, [Question(sample.image, {"proposals": sample.proposals})])
    same(predicted(result, sample.image, tmp_path, capfd), answer)


def margins(task, sample) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(margins [R, K] of a picture's proposals and then objects, overlaps [R, M], its classes)."""
    size = task.info.preprocess.size
    image, matrix = resize.fit(tf.io.decode_jpeg(sample.image), task.info.preprocess, size)
    boxes = tf.constant(np.concatenate([sample.proposals, sample.boxes]))
    boxes = in_input(boxes[None], matrix[None])
    outputs = task.model([image[None], boxes], training=False)
    overlaps = pairwise_iou(boxes[0], boxes[0, len(sample.proposals) :])
    told = np.log(outputs["scores"]) - np.log1p(-np.float64(outputs["scores"]))
    return told[0], np.array(overlaps), sample.classes


def test_svms_are_fitted_behind_the_training(devkit, tmp_path, capfd):
    """Objects of a class lie beyond the regions of the training that are none of it."""
    model = {"name": "rcnn_alexnet", "backbone": "lm_resnet20", "width": 0.02}
    result = pushed(tmp_path, devkit, model, train={**SMALL, "head": "svm", "head_c": 0.01})
    said = capfd.readouterr().err
    assert result["pushed"] is True
    learnt = samples(result)
    objects = sum(len(sample.boxes) for sample in learnt)
    assert f"{objects} objects; SVMs on features, boxes from flat" in said
    assert "negatives looked at" in said
    task, labels = network.load(result["artifacts"]["trainer"], precision="float32")
    kernel, bias = task.model.get_layer("svm").get_weights()
    there = sorted({int(k) for sample in learnt for k in sample.classes})
    absent = [k for k in range(len(labels)) if k not in there]
    np.testing.assert_array_equal(bias[absent], fitted.NEVER)
    assert (bias[there] > fitted.NEVER).all()
    assert np.abs(kernel[:, there]).max(axis=0).min() > 0
    assert np.abs(task.model.get_layer("box").get_weights()[0]).max() > 0
    own, none = [], []
    for sample in learnt:
        told, overlaps, classes = margins(task, sample)
        for k in there:
            among = overlaps[:, classes == k].max(axis=1, initial=0.0)
            none += [told[among < fitted.NEGATIVE, k]]
        own += [told[len(sample.proposals) + row, k] for row, k in enumerate(classes)]
    ranks = np.searchsorted(np.sort(np.concatenate(none)), own) / sum(map(len, none))
    assert ranks.mean() > 0.8
    sample = learnt[0]
    answer = asked_in_every_way(result, [Question(sample.image, {"proposals": sample.proposals})])
    same(predicted(result, sample.image, tmp_path, capfd), answer)


def test_the_sliding_window_needs_no_proposals(devkit, tmp_path, capfd):
    """Its answers are windows, in pixels of the picture, which is 2.5 times its input."""
    model = {"name": "sliding_window", "backbone": "lenet5", "input_size": [96, 128]}
    result = pushed(tmp_path, devkit, model, ingest={})
    assert result["pushed"] is True
    (sample, *_) = samples(result)
    answer = asked_in_every_way(result, [sample.image])
    same(predicted(result, sample.image, tmp_path, capfd), answer)
    task, _ = network.load(result["artifacts"]["trainer"])
    for box in answer["boxes"][0][: answer["num_detections"][0]]:
        assert np.abs(task.windows * 2.5 - box).max(axis=1).min() < 0.1

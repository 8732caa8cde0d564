"""Files for other runtimes: each answers as the SavedModel does, and by its card without us."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import tasks
from convoy.serving import client
from convoy.serving.runtimes import files, kinds
from tests.serving import tiny
from tests.serving.test_parts import LIMITS, cut, drawn

EXACT = ("onnx", "openvino", "litert")


def needs(kind: str) -> None:
    """Skips a test where the packages of a kind are not installed."""
    for package in kinds.KINDS[kind].needs:
        pytest.importorskip(package)


def written(tmp_path, kind, name="mobilenet_v1", size=64, **options):
    """(the task, what its signature answers, what its file of a kind answers, the folder)."""
    task = drawn(models.build_task(name, num_classes=3, input_size=(size, size), **options))
    limits = {key: LIMITS[key] for key in tasks.TASKS[task.info.task].limits}
    function, found = cut(task, (size, size))
    beside = tmp_path / "saved_model" / "assets.extra"
    beside.mkdir(parents=True)
    (beside / "labels.txt").write_text("ant\nbee\ncat\n")
    (beside / "export_report.json").write_text(json.dumps({"task": task.info.task}))
    images = [np.float32(tiny.picture(size, size, seed))[None] for seed in range(8)]
    files.write(
        found,
        tmp_path / kind,
        kind,
        saved_model=tmp_path / "saved_model",
        told={"info": task.info, "labels": tiny.LABELS, "limits": limits},
        examples=images,
    )

    def signature(pictures):
        return {key: value.numpy() for key, value in function(tf.constant(pictures)).items()}

    return task, signature, client.load_local(tmp_path / kind), tmp_path / kind


SMALL = {"width": 0.25}


@pytest.mark.parametrize("kind", EXACT)
@pytest.mark.parametrize(
    ("name", "size", "options"),
    [
        ("mobilenet_v1", 64, SMALL),
        ("ssd_mobilenet_v1", 96, SMALL),
        ("fcn", 64, {"backbone": "mobilenet_v1"}),
        pytest.param("mobilenet_v1", 64, {"task": "localization"}, marks=pytest.mark.slow),
        pytest.param("yolov3_tiny", 96, {}, marks=pytest.mark.slow),
        pytest.param("retinanet_resnet50_fpn", 128, {}, marks=pytest.mark.slow),
        pytest.param("faster_rcnn_resnet50_fpn", 128, {}, marks=pytest.mark.slow),
    ],
)
def test_a_file_answers_as_the_signature(kind, name, size, options, tmp_path):
    needs(kind)
    task, signature, file, _ = written(tmp_path, kind, name, size, **options)
    pictures = [tiny.jpeg(80, 70), tiny.png(33, 44, 1), tiny.jpeg(64, 64, 2)]
    for batch in (pictures, pictures[:1]):  # the runtimes see another batch size each time
        expected, received = signature(batch), file(batch)
        assert set(received) == set(expected)
        assert task.difference(expected, received) <= 1e-4
        for key, value in expected.items():
            assert received[key].dtype == value.dtype, key
            # Boxes of scores that are all but equal may change places.
            if value.dtype == np.float32 and (key == "scores" or "boxes" not in expected):
                np.testing.assert_allclose(received[key], value, atol=1e-2, rtol=1e-4, err_msg=key)


@pytest.mark.parametrize("kind", ["litert_float16", "litert_int8"])
def test_fewer_bits_make_smaller_files_whose_answers_differ(kind, tmp_path):
    needs(kind)
    task, signature, file, folder = written(tmp_path, kind, **SMALL)
    picture = [tiny.jpeg(64, 64)]
    apart = np.abs(signature(picture)["scores"] - file(picture)["scores"]).max()
    assert 0 < apart < 0.3
    weights = 4 * task.model.count_params()
    factor = {"litert_float16": 2, "litert_int8": 4}[kind]
    assert (folder / "model.tflite").stat().st_size < 1.6 * weights / factor


def test_an_onnx_file_by_its_card_alone(tmp_path):
    """onnxruntime and NumPy; beside it keras itself, of a picture that needs no resizing."""
    needs("onnx")
    import onnxruntime

    task, _, _, folder = written(tmp_path, "onnx", **SMALL)
    card = json.loads((folder / "card.json").read_text())
    assert card["input"]["shape"] == [None, 64, 64, 3]
    assert card["input"]["values"] == "0 to 255"
    image = np.float32(tiny.picture(64, 64))[None]
    session = onnxruntime.InferenceSession(str(folder / card["file"]))
    assert session.get_inputs()[0].shape == ["batch", 64, 64, 3]
    found = session.run(["scores"], {card["input"]["name"]: image})[0]
    expected = tf.nn.softmax(task.model(image, training=False)).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert card["labels"][found[0].argmax()] == tiny.LABELS[expected[0].argmax()]


def test_what_a_card_says_of_a_detector(tmp_path):
    needs("litert")
    *_, folder = written(tmp_path, "litert", "ssd_mobilenet_v1", 96, **SMALL)
    card = json.loads((folder / "card.json").read_text())
    said = {entry["name"]: entry for entry in card["outputs"]}
    assert said["boxes"]["shape"][2:] == [1, 4]
    assert said["scores"]["shape"][2] == 3
    assert "pixels of the input" in said["boxes"]["is"]
    assert card["limits"]["iou_threshold"] == 0.45
    assert "CombinedNonMaxSuppression" in card["after"][0]
    with pytest.raises(ValueError, match="need a SavedModel"):
        client.load_local_pixels(folder)
    assert client.labels_of(folder) == list(tiny.LABELS)
    assert client.report_of(folder)["task"] == "detection"


def test_a_network_whose_middle_differs_is_refused_by_its_operation():
    """SegNet's unpooling goes to where the maxima were."""
    task = models.build_task("segnet_basic", num_classes=3, input_size=(64, 64))
    _, found = cut(task, (64, 64))
    with pytest.raises(files.NotConvertible, match=r"segnet_basic: Bitcast.*only \d+% of the"):
        files.check(found, "segnet_basic")


def test_kinds_that_are_not_there(monkeypatch):
    with pytest.raises(ValueError, match=r"expected some of onnx, openvino, litert.*got 'tflite'"):
        kinds.check(["tflite"])
    there = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: there(name) if name != "tf2onnx" else None
    )
    with pytest.raises(kinds.NotInstalled, match=r"tf2onnx; .*pip install 'convoy-vision\[onnx\]'"):
        kinds.check(["litert", "onnx"])

"""The SavedModel: signatures, hand numbers, no foreign op, the choice of form, determinism."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from convoy import models
from convoy.models import tasks
from convoy.models.classification import task as classification
from convoy.models.detection import task as detection
from convoy.models.layers import BatchNorm
from convoy.serving import client, export, freeze, verify, warmup
from tests.serving import tiny

BUILD = {"labels": tiny.LABELS, "input_size": (32, 32)}
LIMITS = {
    "score_threshold": 0.01,
    "iou_threshold": 0.45,
    "max_detections": 20,
    "suppression": "soft",  # the default is exported by the tests of whole runs
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """(task, path, report) of the tiny classifier."""
    task = tiny.classifier()
    path = tmp_path_factory.mktemp("export") / "saved_model"
    return (
        task,
        path,
        export.export(
            task,
            path,
            **tiny.export_arguments(card={"metrics": {"top1": 0.5}, "data": {"train": 12}}),
        ),
    )


def detect(tmp_path, size, resize, boxes, **options):
    task = tiny.detector(
        boxes, [0.9, 0.4, 0.001][: len(boxes)], [1, 2, 0][: len(boxes)], size=size, resize=resize
    )
    path = tmp_path / "detector"
    limits = {**LIMITS, "max_detections": 4}
    arguments = tiny.export_arguments(input_size=size, precision="float32", **limits)
    export.export(task, path, **{**arguments, **options})
    return client.load_local(path)


def test_stretch_boxes_are_pixels_of_the_picture_sent(tmp_path):
    """Input 100 x 200; a picture of 50 x 400 was scaled by 2 down and 1/2 across."""
    model = detect(tmp_path, (100, 200), "stretch", [[10, 20, 50, 100], [0, 0, 100, 200]])
    answer = model([tiny.jpeg(50, 400), tiny.png(200, 200)])
    np.testing.assert_allclose(
        answer["boxes"][0, :2], [[5, 40, 25, 200], [0, 0, 50, 400]], atol=1e-3
    )
    np.testing.assert_allclose(
        answer["boxes"][1, :2], [[20, 20, 100, 100], [0, 0, 200, 200]], atol=1e-3
    )
    assert answer["class_names"][0].tolist() == [b"bee", b"cat", b"", b""]
    assert answer["num_detections"].tolist() == [2, 2]
    assert not answer["boxes"][:, 2:].any()
    assert not answer["scores"][:, 2:].any()
    assert answer["boxes"].dtype == np.float32
    assert answer["classes"].dtype == np.int64
    assert answer["num_detections"].dtype == np.int32


def test_letterbox_boxes_are_mapped_back_and_clipped(tmp_path):
    """Input 100 x 200; 100 x 100 is pasted at x = 50 unscaled; 50 x 200 at y = 25 unscaled."""
    model = detect(tmp_path, (100, 200), "letterbox", [[10, 60, 50, 100], [0, 0, 100, 200]])
    answer = model([tiny.png(100, 100), tiny.png(50, 200)])
    np.testing.assert_allclose(
        answer["boxes"][0, :2], [[10, 10, 50, 50], [0, 0, 100, 100]], atol=1e-3
    )
    np.testing.assert_allclose(
        answer["boxes"][1, :2], [[0, 60, 25, 100], [0, 0, 50, 200]], atol=1e-3
    )


def test_score_threshold_is_inside(tmp_path):
    boxes = [[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]
    model = detect(tmp_path, (100, 200), "stretch", boxes, score_threshold=0.5)
    answer = model([tiny.jpeg(100, 200)])
    assert answer["num_detections"].tolist() == [1]
    assert answer["classes"].tolist() == [[1, 0, 0, 0]]


def test_default_and_tensor_signatures_agree(exported):
    _, path, _ = exported
    loaded = tf.saved_model.load(str(path))
    image = tiny.picture(40, 60)
    encoded = loaded.signatures["serving_default"](
        image_bytes=tf.constant([tf.io.encode_png(image).numpy()])
    )
    raw = loaded.signatures["serving_tensor"](image=tf.constant(image[None]))
    assert set(encoded) == {"scores", "class_id", "class_name"}
    for name, value in encoded.items():
        np.testing.assert_array_equal(value.numpy(), raw[name].numpy())


@pytest.mark.parametrize("form", export.FORMS["auto"])
def test_every_form_matches_the_network_called_directly(form, tmp_path):
    """The reference here is keras itself on a picture that needs no resizing."""
    task = tiny.classifier()
    export.save(task, tmp_path / form, form, **BUILD)
    image = tiny.picture(32, 32)
    expected = tf.nn.softmax(task.model(image[None].astype("float32"), training=False)).numpy()
    answer = client.load_local(tmp_path / form)([tf.io.encode_png(image).numpy()])
    tolerance = 0.01 if form == "frozen_bfloat16" else 1e-6
    np.testing.assert_allclose(answer["scores"], expected, atol=tolerance)
    assert answer["class_name"][0] == tiny.LABELS[expected.argmax()].encode()
    assert answer["class_id"].tolist() == [expected.argmax()]


def test_batch_normalisation_folds_into_the_filters_exactly():
    image = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(8, 3, use_bias=False)(image)
    x = keras.layers.ReLU()(BatchNorm(epsilon=1e-3)(x))
    x = keras.layers.DepthwiseConv2D(3, use_bias=False)(x)
    x = keras.layers.ReLU()(BatchNorm(scale=False)(x))
    x = keras.layers.Conv2D(4, 1)(x)
    model = keras.Model(image, {"map": BatchNorm()(x), "twice": x})  # two readers: not folded
    draw = np.random.default_rng(0).uniform
    model.set_weights([draw(0.5, 1.5, w.shape) for w in model.get_weights()])
    pixels = tf.constant(draw(size=(2, 16, 16, 3)), tf.float32)
    frozen = tf.function(freeze.frozen(model, [tf.TensorSpec((None, 16, 16, 3))]))
    answer, expected = frozen(pixels), model(pixels, training=False)
    for name, value in expected.items():
        np.testing.assert_allclose(answer[name], value, rtol=1e-5)
    graph = frozen.get_concrete_function(pixels).graph.as_graph_def()
    ops = [node.op for function in graph.library.function for node in function.node_def]
    assert ops.count("FusedBatchNormV3") == 1
    assert ops.count("BiasAdd") == 3


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("lenet5", 28),
        pytest.param("mobilenet_v1", 64, marks=pytest.mark.slow),
        pytest.param("ssd_mobilenet_v1", 96, marks=pytest.mark.slow),
    ],
)
def test_networks_of_the_registry(name, size, tmp_path):
    """The frozen bfloat16 form of real networks stays near, in scores and in place."""
    keras.utils.set_random_seed(0)
    task = models.build_task(name, num_classes=3, input_size=(size, size))
    limits = {key: LIMITS[key] for key in tasks.TASKS[task.info.task].limits}
    build_with = {**BUILD, "input_size": (size, size), **limits}
    export.save(task, tmp_path / "m", "frozen_bfloat16", **build_with)
    samples = [tiny.jpeg(70, 90), tiny.png(50, 40, 1)]
    expected = export.in_memory(task, **build_with)(samples)
    received = client.load_local(tmp_path / "m")(samples)
    assert {k: (v.shape, v.dtype) for k, v in expected.items()} == {
        k: (v.shape, v.dtype) for k, v in received.items()
    }
    assert task.difference(expected, received) < 0.02
    if name.startswith("ssd"):
        assert received["num_detections"].min() > 0
        sizes = np.array([[70, 90, 70, 90], [50, 40, 50, 40]], np.float32)[:, None]
        assert (received["boxes"] >= 0).all()
        assert (received["boxes"] <= sizes).all()


def test_gray_networks_take_coloured_pictures(tmp_path):
    task = tiny.classifier("gray")
    export.export(task, tmp_path / "m", **tiny.export_arguments(precision="float32"))
    image = tiny.picture(32, 32)
    loaded = tf.saved_model.load(str(tmp_path / "m"))
    raw = loaded.signatures["serving_tensor"](image=tf.constant(image[None]))["scores"].numpy()
    gray = image.astype(float) @ [0.2989, 0.587, 0.114]
    logits = task.model(np.floor(gray)[None, ..., None].astype("float32"), training=False)
    np.testing.assert_allclose(raw, tf.nn.softmax(logits).numpy(), atol=1e-2)
    encoded = client.load_local(tmp_path / "m")([tf.io.encode_png(image).numpy()])["scores"]
    np.testing.assert_allclose(encoded, raw, atol=1e-2)


def test_mixed_sizes_and_formats_equal_single_requests(exported):
    _, path, _ = exported
    model = client.load_local(path)
    gif = tf.constant([tiny.jpeg(20, 30)]).numpy()[0]
    bmp = bitmap(tiny.picture(7, 8))
    pictures = [tiny.jpeg(40, 60), tiny.png(5, 3), bmp, gif, tiny.png(1, 1)]
    together = model(pictures)["scores"]
    for index, picture in enumerate(pictures):
        np.testing.assert_allclose(together[index], model([picture])["scores"][0], atol=1e-5)


def bitmap(image: np.ndarray) -> bytes:
    from io import BytesIO

    from PIL import Image

    stream = BytesIO()
    Image.fromarray(image).save(stream, "BMP")
    return stream.getvalue()


def test_what_is_no_picture_is_named(exported):
    model = client.load_local(exported[1])
    with pytest.raises(Exception, match="picture 2 of the request is not a picture") as caught:
        model([tiny.jpeg(9, 9), tiny.png(9, 9), b"hello"])
    assert caught.value.code == 3
    with pytest.raises(Exception, match="jpeg::Uncompress failed"):
        model([tiny.jpeg(90, 90)[:200]])
    with pytest.raises(Exception, match="the request holds no picture"):
        model([])


def test_no_python_op_and_no_custom_op(exported, tmp_path):
    task = exported[0]
    from tensorflow.python.framework import op_def_registry

    for form in export.FORMS["auto"]:
        export.save(task, tmp_path / form, form, **BUILD)
        saved = saved_model_pb2.SavedModel.FromString(
            (tmp_path / form / "saved_model.pb").read_bytes()
        )
        graph = saved.meta_graphs[0].graph_def
        own = {function.signature.name for function in graph.library.function}
        nodes = [*graph.node, *(node for f in graph.library.function for node in f.node_def)]
        ops = {node.op for node in nodes} - own
        assert "DecodeImage" in ops
        assert not [op for op in ops if "PyFunc" in op]
        assert all(op_def_registry.get(op) is not None for op in ops)


def test_report_card_labels_and_warm_up(exported):
    _, path, report = exported
    extra = path / "assets.extra"
    assert report["chosen"] in report["forms"]
    assert json.loads((extra / "export_report.json").read_text()) == report
    assert json.loads(path.with_name("export_report.json").read_text()) == report
    assert (extra / "labels.txt").read_text() == "ant\nbee\ncat\n"
    card = (extra / "model_card.md").read_text()
    assert "- top1: 0.5000\n" in card
    assert "- train: 12\n" in card
    assert "ant, bee, cat" in card
    fastest = min(report["forms"].values(), key=lambda entry: entry["median_ms"])
    assert report["forms"][report["chosen"]] == fastest
    requests = list(warmup.read(path))
    assert [len(r.inputs["image_bytes"].string_val) for r in requests] == [1, 1, 4]
    assert requests[0].inputs["image_bytes"].string_val[0] == tiny.export_arguments()["samples"][0]


def test_what_strays_is_refused(tmp_path):
    with pytest.raises(export.ExportError, match="tolerance=1e-09"):
        export.export(
            tiny.classifier(),
            tmp_path / "m",
            **tiny.export_arguments(precision="bfloat16", tolerance=1e-9),
        )
    assert not list(tmp_path.iterdir())
    report = export.export(
        tiny.classifier(), tmp_path / "m", **tiny.export_arguments(tolerance=1e-6)
    )
    assert report["chosen"] != "frozen_bfloat16"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples": []}, "samples: expected at least one"),
        ({"labels": ["one"]}, "3 outputs.*got 1"),
        ({"precision": "float8"}, "precision: expected one of auto"),
    ],
)
def test_mistakes_are_said(tmp_path, change, message):
    with pytest.raises(export.ExportError, match=message):
        export.export(tiny.classifier(), tmp_path / "m", **tiny.export_arguments(**change))


def test_a_second_export_replaces_the_first(tmp_path):
    arguments = tiny.export_arguments(precision="float32", budget_s=0.01)
    for _ in range(2):
        export.export(tiny.classifier(), tmp_path / "m", **arguments)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["export_report.json", "m"]


def test_fresh_process_with_v1_loader_equals_the_network(exported):
    task, path, _ = exported
    samples = tiny.export_arguments()["samples"]
    answers = verify.verify(path, export.in_memory(task, **BUILD), samples, tolerance=0.005)
    modules = set(answers["modules"].tolist())
    assert not modules & {"convoy", "tests"}
    assert answers["class_name"].shape == (2,)
    other = export.in_memory(tiny.classifier(seed=5), **BUILD)
    with pytest.raises(verify.VerificationError, match="differ by"):
        verify.check(other(samples), answers, 1e-6, task.difference)


def answers(boxes, scores, classes, places=4):
    pad = places - len(scores)
    return {
        "boxes": np.pad(
            np.array([boxes], np.float32).reshape(1, -1, 4), [(0, 0), (0, pad), (0, 0)]
        ),
        "scores": np.pad(np.array([scores], np.float32), [(0, 0), (0, pad)]),
        "classes": np.pad(np.array([classes], np.int64).reshape(1, -1), [(0, 0), (0, pad)]),
        "num_detections": np.array([len(scores)], np.int32),
    }


def test_difference_by_hand():
    a, near, far = [0, 0, 10, 10], [0, 0, 10, 11], [50, 50, 60, 60]
    one = answers([a], [0.9], [1])
    assert detection.difference(one, one) == 0
    assert detection.difference(one, answers([near], [0.87], [1])) == pytest.approx(0.03)
    assert detection.difference(one, answers([a], [0.9], [2])) == pytest.approx(0.9)
    assert detection.difference(one, answers([a, far], [0.9, 0.2], [1, 1])) == pytest.approx(0.2)
    # Lists that are full: what one lacks may lie below the other's last score.
    full = answers([a, far], [0.9, 0.50], [1, 1], places=2)
    other = answers([a, [80, 80, 90, 90]], [0.9, 0.51], [1, 1], places=2)
    assert detection.difference(full, other) == pytest.approx(0.01)
    k = {"scores": np.array([[0.1, 0.9]])}
    assert classification.difference(k, {"scores": np.array([[0.2, 0.8]])}) == pytest.approx(0.1)

"""A signature cut in three: together they are the signature; the middle is the network alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import tasks
from convoy.serving import freeze, parts, signatures
from convoy.serving.graphs import KNOWN, NotSplit
from tests.serving import tiny

LIMITS = {
    "score_threshold": 0.001,
    "iou_threshold": 0.45,
    "max_detections": 20,
    "suppression": "hard",
    "label_threshold": None,
    "label_count": None,
    "beam": 2,
}


def drawn(task):
    """The task with weights under which its answers depend on the picture."""
    draw = np.random.default_rng(0).normal

    def drawn_like(w):
        if w.ndim < 2:
            return w
        depthwise = w.ndim == 4 and w.shape[-1] == 1
        fan_in = w[..., 0, 0].size if depthwise else w[..., 0].size
        return draw(0, 1.5 / np.sqrt(fan_in), w.shape).astype(w.dtype)

    task.model.set_weights([drawn_like(w) for w in task.model.get_weights()])
    return task


def served(task, size):
    """The default signature around the frozen network."""
    limits = {name: LIMITS[name] for name in tasks.TASKS[task.info.task].limits}
    specs = [tf.TensorSpec((None, *size, 3)), *(x.shape for x in task.model.inputs[1:])]
    network = freeze.frozen(task.model, specs)
    build = {"labels": tiny.LABELS, "input_size": size, **limits}
    return signatures.build(task, network, **build)[signatures.DEFAULT]


def cut(task, size):
    """(the signature, its parts)."""
    function = served(task, size)
    return function, parts.split(function.get_concrete_function())


def in_tensorflow(found):
    """The parts one after the other, all three in TensorFlow."""
    network = found.network.function()
    return parts.composed(
        found.before.function(),
        lambda image: [value.numpy() for value in network(tf.constant(image))],
        found.after.function(),
        found.names,
    )


@pytest.mark.parametrize(
    ("name", "task", "size", "outputs", "ends"),
    [
        ("mobilenet_v1", None, 64, {"output", "scores"}, "Bitcast"),
        ("mobilenet_v1", "multilabel", 64, {"scores", "chosen", "num_labels"}, "SelectV2"),
        ("ssd_mobilenet_v1", None, 96, {"boxes", "scores"}, "CombinedNonMaxSuppression"),
        ("fcn", None, 64, {"output"}, "TensorListFromTensor"),
    ],
)
def test_the_parts_together_are_the_signature(name, task, size, outputs, ends):
    options = {"task": task} if task else {}
    options |= {"backbone": "mobilenet_v1"} if name == "fcn" else {"width": 0.25}
    built = models.build_task(name, num_classes=3, input_size=(size, size), **options)
    function, found = cut(drawn(built), (size, size))
    assert outputs <= {spec.name for spec in found.network.outputs}
    assert ends in found.ends
    assert {node.op for node in found.network.graph.node} <= KNOWN | {"Placeholder"}
    assert [spec.name for spec in found.network.inputs] == ["image"]
    assert found.share > 0.9
    pictures = tf.constant([tiny.jpeg(80, 70), tiny.png(33, 44, 1)])
    expected = function(pictures)
    received = in_tensorflow(found)({"image_bytes": pictures})
    assert set(received) == set(expected)
    for key, value in expected.items():
        if value.dtype == tf.float32:  # TensorFlow fuses the shorter graphs otherwise
            np.testing.assert_allclose(received[key], value, rtol=1e-5, atol=1e-6, err_msg=key)
        else:
            np.testing.assert_array_equal(received[key].numpy(), value.numpy(), err_msg=key)
    floats = (value.numpy() for value in expected.values() if value.dtype == tf.float32)
    assert any(np.abs(value[0] - value[1]).max() > 1e-4 for value in floats)


def test_two_signatures_are_cut_in_one_process():
    """Loops of two graphs have the same names: TensorFlow holds one function of a name."""
    for seed in (0, 1):
        task = tiny.detector([[10, 20, 50, 100]], [0.9], [seed], size=(100, 200))
        limits = {**LIMITS, "max_detections": 4}
        build = {"labels": tiny.LABELS, "input_size": (100, 200)}
        names = tasks.TASKS["detection"].limits
        built = signatures.build(
            task, freeze.live(task.model), **build, **{name: limits[name] for name in names}
        )
        function = built[signatures.DEFAULT]
        found = parts.split(function.get_concrete_function())
        answered = in_tensorflow(found)({"image_bytes": tf.constant([tiny.jpeg(50, 400)])})
        assert answered["classes"].numpy()[0, 0] == seed
        np.testing.assert_allclose(answered["boxes"].numpy()[0, 0], [5, 40, 25, 200], atol=1e-3)


def test_a_network_without_a_mark_is_not_cut():
    task = tiny.classifier()
    looks = dataclasses.replace(task.info.preprocess, resize="whole")
    whole = dataclasses.replace(task, info=dataclasses.replace(task.info, preprocess=looks))
    build = {"labels": tiny.LABELS, "input_size": (None, None)}
    function = signatures.build(whole, freeze.live(task.model), **build)[signatures.DEFAULT]
    with pytest.raises(NotSplit, match="pictures of any size one by one"):
        parts.split(function.get_concrete_function())


def test_what_begins_with_an_operation_that_runtimes_differ_in_is_not_cut():
    task = tiny.classifier()

    def network(image):
        crops = tf.image.crop_and_resize(image, [[0.0, 0.0, 1.0, 1.0]], [0], (32, 32))
        return task.model(crops, training=False)

    build = {"labels": tiny.LABELS, "input_size": (32, 32)}
    function = signatures.build(task, network, **build)[signatures.DEFAULT]
    with pytest.raises(NotSplit, match="CropAndResize"):
        parts.split(function.get_concrete_function())

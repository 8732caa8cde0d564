"""SegNet and U-Net against PyTorch's functions, FCN and the dilated networks against OpenCV.

PyTorch's outputs were written by tests/parity/segmentation_reference.py. OpenCV reads a prototxt as
the authors have it and the very .caffemodel that our importer reads.
"""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import losses
from convoy.models.weights import load
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.models.test_parity_training import KEEP, assert_kept, norms_of, of_batch
from tests.parity import caffe_segmentation, formula

CLASSES = 3


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize("size", [(64, 64), (45, 61)])
@pytest.mark.parametrize("name", ["segnet_basic", "unet_same", slow("segnet")])
def test_equals_pytorch(name, size):
    assert_close(*outputs(name, size, (4, 6)))


@pytest.mark.parametrize("size", [(188, 204), slow((204, 204))])
def test_unet_equals_pytorch(size):
    assert_close(*outputs("unet", size, (1, 1)))


def outputs(name: str, size, every):
    """(ours, PyTorch's) at every so many rows and columns of one picture's logits."""
    model = fill(models.build(name, num_classes=CLASSES, input_size=size))
    pixels = formula.pictures(1, *size, channels=1 if name == "unet" else 3)
    found = np.asarray(model(pixels, training=False))[0, :: every[0], :: every[1]]
    return found, np.load(GOLDEN / "segmentation.npz")[f"{name}_{size[0]}x{size[1]}"]


def test_a_step_of_segnet_basic_equals_pytorch():
    """Loss, gradients and running statistics; equal maxima, as of ReLU's zeros, learn alike."""
    golden = np.load(GOLDEN / "segmentation.npz")
    golden = {k.removeprefix("training/"): golden[k] for k in golden if k.startswith("training/")}
    task = models.build_task("segnet_basic", num_classes=CLASSES, input_size=(45, 61))
    fill(task.model)
    before = {norm.name: statistics(norm) for norm in norms_of(task.model)}
    labels = np.indices((2, 45, 61)).sum(0) % CLASSES
    weights = task.model.trainable_variables
    with tf.GradientTape() as tape:
        outputs = task.forward({"image": formula.pictures(2, 45, 61)})
        loss = losses.total(task.loss({"labels": labels}, outputs))
    gradients = tape.gradient(loss, [weight.value for weight in weights])
    np.testing.assert_allclose(loss, golden["loss"], rtol=1e-5)
    for weight, gradient in zip(weights, gradients, strict=True):
        name, gradient = "/".join(weight.path.split("/")[-2:]), np.asarray(gradient)
        if gradient.ndim == 4:
            found = gradient.reshape(-1, gradient.shape[-1])[::97, :8]
        else:
            found = gradient[:8]
        if "conv1/bias" in name:  # the norm behind it takes its mean away
            assert np.abs(found).max() < 1e-5
        else:
            assert_close(found, golden[name], 2e-4)
    for norm in norms_of(task.model):
        kept = np.stack([golden[f"{norm.name}/moving_{part}"] for part in ("mean", "variance")])
        old = before[norm.name][:, : kept.shape[1]]
        batch = of_batch(kept.astype(float), old)
        side = norm.output.shape[1] * norm.output.shape[2] * 2
        batch[1] *= (side - 1) / side
        assert norm.momentum == KEEP
        assert_kept(norm, old, batch)


def statistics(norm) -> np.ndarray:
    return np.stack([np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)]).astype(float)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(64, 64), (77, 45)])
@pytest.mark.parametrize(
    "name",
    ["fcn32s_vgg16", "fcn16s_vgg16", "fcn8s_vgg16", "fcn8s_atonce_vgg16", "fcn32s_alexnet"],
)
def test_fcn_equals_opencv(name, size, tmp_path):
    """The file holds the fixed deconvolutions, and other numbers in them here: all are read."""
    text, data = caffe_segmentation.fcn(name, size, CLASSES)
    (tmp_path / "net.caffemodel").write_bytes(data)
    model = models.build(name, num_classes=CLASSES, input_size=size)
    report = load.load(model, name, tmp_path / "net.caffemodel")
    assert (report.missing, report.mismatched, report.unused) == ([], [], [])
    pixels = formula.pictures(1, *size)
    expected = caffe_segmentation.opencv(
        text, data, pixels, (104.00699, 116.66877, 122.67892), "score"
    )
    found = model(pixels, training=False)
    assert expected.shape == found.shape == (1, *size, CLASSES)
    assert_close(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("size", [(388, 420), (395, 381)])
@pytest.mark.parametrize("name", ["dilated_frontend_vgg16", "dilation8_vgg16"])
def test_dilated_equals_opencv(name, size, tmp_path):
    """Its scores; that they are enlarged bilinearly is tested in test_upsampling.py."""
    text, data = caffe_segmentation.dilated(name, size, CLASSES)
    (tmp_path / "net.caffemodel").write_bytes(data)
    model = models.build(name, num_classes=CLASSES, input_size=size)
    report = load.load(model, name, tmp_path / "net.caffemodel")
    assert (report.missing, report.mismatched, report.unused) == ([], [], [])
    pixels = formula.pictures(1, *size)
    last = "context_logits" if name == "dilation8_vgg16" else "s8_logits"
    expected = caffe_segmentation.opencv(text, data, pixels, (102.93, 111.36, 116.52), "last")
    scores = keras.Model(model.input, model.get_layer(last).output)(pixels, training=False)
    assert_close(scores, expected)

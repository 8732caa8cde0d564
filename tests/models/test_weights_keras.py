"""Keras' .h5 into our networks: files that Keras writes, of networks that Keras computes."""

from __future__ import annotations

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving import legacy_h5_format

from convoy import models
from convoy.models.weights import keras_h5, load, sources
from convoy.pipeline.networks.pretrained import IMAGENET
from tests.models.test_parity import assert_close
from tests.parity import formula

# ours: (theirs, input side, their pixels)
NETWORKS = {
    "vgg16": ("VGG16", 32, "caffe"),
    "vgg19": ("VGG19", 32, "caffe"),
    "resnet50_v1": ("ResNet50", 32, "caffe"),
    "resnet101_v1": ("ResNet101", 32, "caffe"),
    "resnet152_v1": ("ResNet152", 32, "caffe"),
    "resnet50_v2_keras": ("ResNet50V2", 32, "tf"),
    "resnet101_v2_keras": ("ResNet101V2", 32, "tf"),
    "resnet152_v2_keras": ("ResNet152V2", 32, "tf"),
    "mobilenet_v1": ("MobileNet", 32, "tf"),
    "mobilenet_v2": ("MobileNetV2", 32, "tf"),
    "mobilenet_v3_large": ("MobileNetV3Large", 32, "none"),
    "mobilenet_v3_small": ("MobileNetV3Small", 32, "none"),
    "inception_v3": ("InceptionV3", 75, "tf"),
    "inception_resnet_v2": ("InceptionResNetV2", 75, "tf"),
}
QUICK = ("mobilenet_v1", "mobilenet_v3_small")


def reference(network: str, classes: int = 7) -> keras.Model:
    """The network of keras.applications, its weights drawn by the formula under its own names."""
    theirs, side, _ = NETWORKS[network]
    model = getattr(keras.applications, theirs)(
        weights=None, classes=classes, input_shape=(side, side, 3), classifier_activation=None
    )
    for layer in model.layers:
        for variable in layer.weights:
            kind = variable.name.replace("depthwise_kernel", "kernel")
            shape = tuple(variable.shape)
            value = formula.weight(f"{layer.name}/{kind}", shape)
            if isinstance(layer, keras.layers.DepthwiseConv2D):  # each output sees one channel
                value *= np.sqrt(shape[2])
            variable.assign(value)
    return model


def write_legacy(path, model: keras.Model, rename=lambda index, name: name, leave_out=()) -> None:
    """As Keras writes it; then layers are renamed as files of its older versions have them."""
    with h5py.File(path, "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file, model)
        names = [
            name.decode() if isinstance(name, bytes) else name for name in file.attrs["layer_names"]
        ]
        kept = []
        for index, name in enumerate(names):
            if name in leave_out:
                del file[name]
                continue
            kept.append(rename(index, name))
            if kept[-1] != name:
                file.move(name, f"moved_{index}")
                file.move(f"moved_{index}", kept[-1])
        file.attrs["layer_names"] = [name.encode() for name in kept]


def pixels(network: str, images: np.ndarray) -> np.ndarray:
    kind = NETWORKS[network][2]
    if kind == "caffe":
        return images[..., ::-1] - np.float32([103.939, 116.779, 123.68])
    return images / 127.5 - 1 if kind == "tf" else images


@pytest.mark.parametrize(
    "network", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_outputs_are_keras_s(network, tmp_path):
    """Of today's layout and of the older one, with its names and with others."""
    theirs, side = reference(network), NETWORKS[network][1]
    images = formula.pictures(2, side, side)
    expected = theirs(pixels(network, images), training=False)
    ours = models.build(network, num_classes=7, input_size=(side, side))
    zeros = [np.zeros(value.shape, np.float32) for value in ours.get_weights()]
    path, today = tmp_path / "older.h5", tmp_path / "today.weights.h5"
    theirs.save_weights(today)
    for write in (
        lambda: None,
        lambda: write_legacy(path, theirs),
        lambda: write_legacy(path, theirs, lambda index, name: f"layer_{index}"),
    ):
        write()
        ours.set_weights(zeros)
        report = load.load(ours, network, path if path.exists() else today)
        assert len(report.matched) == len(ours.weights)
        assert not report.unused
        assert_close(ours(images, training=False), expected)


def test_all_of_keras_is_here():
    assert set(NETWORKS) == {n for n in models.list_models() if sources.of("keras", n)}
    assert NETWORKS.keys() == {n for n, url in IMAGENET.items() if "keras-applications" in url}
    for network, (theirs, *_) in NETWORKS.items():
        assert sources.of("keras", network).application == theirs


def test_vgg16_of_another_input_size_says_what_differs(tmp_path):
    write_legacy(tmp_path / "vgg16.h5", reference("vgg16"))
    ours = models.build("vgg16", num_classes=7, input_size=(64, 64))
    with pytest.raises(ValueError, match=r"fc1/kernel \(512, 4096\) -> \(2048, 4096\)"):
        load.load(ours, "vgg16", tmp_path / "vgg16.h5")


def test_a_detector_takes_its_backbone(tmp_path):
    """ssd300_vgg16 sees RGB minus rounded means: the first layer is changed to them."""
    theirs = reference("vgg16")
    write_legacy(tmp_path / "vgg16.h5", theirs)
    task = models.build_task("ssd300_vgg16", num_classes=3)
    report = load.load(task.model, "ssd300_vgg16", tmp_path / "vgg16.h5")
    assert len(report.matched) == 26
    assert report.unused == ["fc1", "fc2", "predictions"]
    assert "fc6/kernel" in report.missing
    images = formula.pictures(1, 300, 300)
    inner = keras.Model(task.model.input, task.model.get_layer("block1_conv1").output)(images)
    kernel, bias = theirs.get_layer("block1_conv1").get_weights()
    expected = keras.ops.conv(pixels("vgg16", images), kernel, padding="valid") + bias
    assert_close(inner[:, 1:-1, 1:-1], keras.ops.relu(expected))


def test_mobilenet_without_its_head_into_a_detector(tmp_path):
    theirs = reference("mobilenet_v1")
    write_legacy(tmp_path / "notop.h5", theirs, leave_out=("conv_preds",))
    task = models.build_task("ssd_mobilenet_v1", num_classes=3, input_size=(96, 96))
    report = load.load(task.model, "ssd_mobilenet_v1", tmp_path / "notop.h5")
    assert len(report.matched) == 27 * 5
    np.testing.assert_array_equal(
        task.model.get_layer("block13_pointwise").kernel, theirs.get_layer("conv_pw_13").kernel
    )


def test_the_weights_of_another_network_are_refused(tmp_path):
    write_legacy(tmp_path / "m.h5", reference("mobilenet_v1"))
    ours = models.build("mobilenet_v2", num_classes=7, input_size=(32, 32))
    with pytest.raises(ValueError, match=r"(?s)m\.h5.*nothing was loaded.*missing in the file"):
        load.load(ours, "mobilenet_v2", tmp_path / "m.h5")


def test_what_is_no_file_of_keras_is_said(tmp_path):
    path = tmp_path / "x.h5"
    path.write_bytes(b"<html>sign in</html>")
    with pytest.raises(ValueError, match="no HDF5 file"):
        keras_h5.read(path)
    with h5py.File(path, "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(ValueError, match="without layers"):
        keras_h5.read(path)

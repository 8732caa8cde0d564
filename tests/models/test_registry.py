"""The table of networks: counts by hand, errors for people, and how little importing it costs."""

from __future__ import annotations

import subprocess
import sys

import keras
import pytest

from convoy import models
from convoy.models import count


def test_counts_by_hand():
    """3x3 of 2 -> 4 with bias at stride 2 on 5x5 "same": 9 outputs of 72; depthwise 36; dense 8."""
    image = keras.Input((5, 5, 2))
    x = keras.layers.Conv2D(4, 3, 2, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, x)
    assert count.macs(model) == 9 * 72 + 9 * 36 + 8
    assert count.params(model) == (72 + 4) + 8 + 36 + (8 + 2)
    model.trainable = False
    assert count.params(model) == 130


def test_ssd300_macs_by_hand():
    """(cells, kernel side, inputs, outputs) of every convolution."""
    vgg = [(300, 3, 3, 64), (300, 3, 64, 64), (150, 3, 64, 128), (150, 3, 128, 128)]
    vgg += [(75, 3, 128, 256), *[(75, 3, 256, 256)] * 2, (38, 3, 256, 512)]
    vgg += [*[(38, 3, 512, 512)] * 2, *[(19, 3, 512, 512)] * 3]
    extra = [(19, 3, 512, 1024), (19, 1, 1024, 1024), (19, 1, 1024, 256), (10, 3, 256, 512)]
    extra += [(10, 1, 512, 128), (5, 3, 128, 256), (5, 1, 256, 128), (3, 3, 128, 256)]
    extra += [(3, 1, 256, 128), (1, 3, 128, 256)]
    sources = [(38, 512, 4), (19, 1024, 6), (10, 512, 6), (5, 256, 6), (3, 256, 4), (1, 256, 4)]
    heads = [(cells, 3, inputs, priors * 25) for cells, inputs, priors in sources]
    total = sum(c * c * k * k * i * o for c, k, i, o in vgg + extra + heads)
    assert total == models.describe("ssd300_vgg16").macs


@pytest.mark.parametrize(
    ("name", "body", "maps", "p6", "classes"),
    [
        ("retinanet", "resnet18", (128, 256, 512), 512, 20),
        ("retinanet_resnet50_fpn", "resnet50", (512, 1024, 2048), 256, 91),
        ("retinanet_resnet50_fpn_c5", "resnet50", (512, 1024, 2048), 2048, 80),
    ],
)
def test_retinanet_params_by_hand(name, body, maps, p6, classes):
    """256 channels everywhere; 3x3 of 256 to 256 has 590,080 with its biases."""
    wide = 9 * 256 * 256 + 256
    pyramid = sum(channels * 256 + 256 for channels in maps) + 3 * wide
    pyramid += 9 * p6 * 256 + 256 + wide
    heads = 8 * wide + sum(9 * 256 * 9 * outputs + 9 * outputs for outputs in (classes, 4))
    inputs = {"resnet18": 512, "resnet50": 2048}[body]
    backbone = models.describe(body).params - (inputs + 1) * 1000
    assert models.describe(name).params == backbone + pyramid + heads


def test_ssd_mobilenet_params_by_hand():
    """Backbone, then extras (a BatchNorm is two a channel), then heads of 25 a prior."""
    backbone = models.describe("mobilenet_v1").params - 1025 * 1000
    extras = 0
    for inputs, filters in ((1024, 512), (512, 256), (256, 256)):
        half = filters // 2
        extras += inputs * half + 2 * half + 9 * half * filters + 2 * filters
    heads = 0
    for inputs, priors in ((256, 4), (512, 6), (1024, 6), (512, 6), (256, 4), (256, 4)):
        heads += 9 * inputs + 2 * inputs + (inputs + 1) * priors * 25
    assert backbone + extras + heads == models.describe("ssd_mobilenet_v1").params


def test_list_models():
    assert models.list_models("detection") == [
        *("fast_rcnn_caffenet", "fast_rcnn_vgg16", "fast_rcnn_vgg_m"),
        *("faster_rcnn", "faster_rcnn_resnet50_fpn", "faster_rcnn_vgg16", "faster_rcnn_zf"),
        "rcnn_alexnet",
        *("retinanet", "retinanet_resnet50_fpn", "retinanet_resnet50_fpn_c5"),
        *("rfcn", "rfcn_resnet101", "rfcn_resnet50"),
        *("sliding_window", "sppnet_zf5"),
        *("ssd", "ssd300_vgg16", "ssd512_vgg16", "ssd_mobilenet_v1"),
        *("yolov1", "yolov1_darknet"),
        *("yolov2", "yolov2_tiny", "yolov3", "yolov3_spp", "yolov3_tiny", "yolov4"),
        "yolov4_tiny",
    ]
    assert models.list_models(pattern="lenet*") == ["lenet5", "lenet5_1998"]
    assert models.list_models("detection", "vgg*") == []
    with pytest.raises(ValueError, match="did you mean 'detection'"):
        models.list_models("detektion")


def test_unknown_name_lists_the_three_closest():
    with pytest.raises(ValueError, match=r"'resnet5'.*resnet50.*, .*, "):
        models.describe("resnet5")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg16", {"input_size": (31, 64)}, "at least 32x32 px, got 31x64: five poolings"),
        ("resnet18", {"input_size": (16, 16)}, "at least 32x32 px, got 16x16"),
        ("lenet5", {"input_size": (32, 32)}, "28x28 px, got 32x32: fc1"),
        ("lenet5_1998", {"input_size": (28, 28)}, "32x32 px, got 28x28: C5"),
        ("lenet5_1998", {"num_classes": 11}, "at most 10 classes, got 11"),
        ("ssd300_vgg16", {"input_size": (512, 512)}, "300x300 px, got 512x512: steps"),
        ("ssd_mobilenet_v1", {"input_size": (32, 64)}, "at least 64x64 px, got 32x64"),
        ("resnet18", {"width": 0.5}, "resnet18 has no width"),
        ("ssd300_vgg16", {"dropout": 0.5}, "ssd300_vgg16 has no dropout"),
        ("ssd", {"backbone": "lenet5", "input_size": (96, 96)}, "an input of 28x28 px"),
        ("ssd", {"backbone": "text_cnn_rand"}, "text_cnn_rand has no maps by stride"),
        (
            "ssd",
            {"backbone": "spp_net_zf5"},
            "s8, s16, s32; spp_net_zf5 has s2, s8",
        ),
        ("ssd", {"backbone": "resnet18", "width": 0.5}, "its backbone resnet18 has no width"),
        ("ssd_mobilenet_v1", {"backbone": "resnet18"}, "ssd_mobilenet_v1 has no backbone"),
        ("resnet18", {"widht": 0.5}, "no option is called 'widht'; did you mean 'width'"),
        ("resnet18", {"num_classes": 0}, "expected num_classes >= 1, got 0"),
    ],
)
def test_errors_say_what_and_why(name, options, message):
    with pytest.raises(ValueError, match=message):
        models.build(name, **options)


def test_tasks_refuse_what_they_have_no_use_for():
    with pytest.raises(ValueError, match="label_smoothing is for class"):
        models.build_task("ssd_mobilenet_v1", input_size=(64, 64), label_smoothing=0.1)
    with pytest.raises(ValueError, match="a task needs num_classes"):
        models.build_task("lenet5", num_classes=None)


def test_info_tells_what_was_built():
    task = models.build_task("mobilenet_v1", num_classes=7, input_size=(64, 96), width=0.25)
    assert task.info.num_classes == 7
    assert task.info.preprocess.size == (64, 96)
    assert task.info.params == count.params(task.model) < 300_000
    assert task.info.macs == count.macs(task.model)
    assert models.describe("mobilenet_v1").preprocess.size == (224, 224)


def test_table_imports_neither_keras_nor_tensorflow():
    program = (
        "import sys, models; models.list_models(); models.describe('resnet50');"
        "print([name for name in ('tensorflow', 'keras', 'numpy') if name in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"

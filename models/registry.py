"""The table of networks. Reading it imports neither Keras nor TensorFlow; building does.

A row's module has `build(variant, ...)`; it is imported when the network is built. The parameter
and multiply-accumulate counts are checked against the built networks by tests/models.
"""

from __future__ import annotations

import dataclasses
import difflib
import fnmatch
import importlib
from typing import TYPE_CHECKING, NamedTuple

from models.spec import Classifier, Detector, ModelInfo, Preprocess

if TYPE_CHECKING:
    import keras


class Family(NamedTuple):
    module: str  # dotted path; its build(variant, ...) makes the network
    task: str  # "classification" | "detection"
    paper: str
    year: int
    options: tuple[str, ...] = ()  # what build() takes of "width" and "dropout"


class Row(NamedTuple):
    family: Family
    params: int  # learnable
    macs: int  # for one input of the default size
    num_classes: int
    preprocess: Preprocess


LENET_1998 = Family(
    "models.classification.lenet",
    "classification",
    "LeCun, Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11)",
    1998,
)
LENET = LENET_1998._replace(options=("dropout",))
VGG = Family(
    "models.classification.vgg",
    "classification",
    "Simonyan, Very Deep Convolutional Networks, https://arxiv.org/abs/1409.1556",
    2014,
    ("dropout",),
)
RESNET = Family(
    "models.classification.resnet",
    "classification",
    "He, Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385",
    2015,
    ("dropout",),
)
MOBILENET = Family(
    "models.classification.mobilenet",
    "classification",
    "Howard, MobileNets, https://arxiv.org/abs/1704.04861",
    2017,
    ("width", "dropout"),
)
SSD = Family(
    "models.detection.ssd",
    "detection",
    "Liu, SSD: Single Shot MultiBox Detector, https://arxiv.org/abs/1512.02325",
    2015,
)
SSD_MOBILENET = SSD._replace(year=2017, options=("width",))

# Preprocessing that the published weights of each source were trained with.
CAFFE = Preprocess(
    size=(224, 224),
    resize="crop",
    crop_pct=0.875,
    mean=(103.939, 116.779, 123.68),
    channel_order="bgr",
)
TORCH = Preprocess(
    size=(224, 224),
    resize="crop",
    crop_pct=0.875,
    scale=1 / 255,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)
INCEPTION = Preprocess(size=(224, 224), resize="crop", crop_pct=0.875, mean=(127.5,), std=(127.5,))
# White digits on black: background -0.1, ink 1.175.
GRAY_32 = Preprocess(size=(32, 32), scale=1.275 / 255, mean=(0.1,), channel_order="gray")
GRAY_28 = dataclasses.replace(GRAY_32, size=(28, 28))
CENTERED = Preprocess(size=(300, 300), mean=(127.5,), std=(127.5,))
VOC_MEAN = Preprocess(size=(300, 300), mean=(123.0, 117.0, 104.0))

# fmt: off
MODELS = {
    "lenet5_1998": Row(LENET_1998, 60_000, 325_680, 10, GRAY_32),
    "lenet5": Row(LENET, 61_706, 416_520, 10, GRAY_28),
    "vgg16": Row(VGG, 138_357_544, 15_470_264_320, 1000, CAFFE),
    "vgg19": Row(VGG, 143_667_240, 19_632_062_464, 1000, CAFFE),
    "resnet18": Row(RESNET, 11_689_512, 1_814_073_344, 1000, TORCH),
    "resnet34": Row(RESNET, 21_797_672, 3_663_761_408, 1000, TORCH),
    "resnet50": Row(RESNET, 25_557_032, 4_089_184_256, 1000, TORCH),
    "resnet101": Row(RESNET, 44_549_160, 7_801_405_440, 1000, TORCH),
    "resnet152": Row(RESNET, 60_192_808, 11_513_626_624, 1000, TORCH),
    "resnet200": Row(RESNET, 64_673_832, 15_007_481_856, 1000, TORCH),
    "resnet50_v1": Row(RESNET, 25_557_032, 3_857_973_248, 1000, CAFFE),
    "resnet101_v1": Row(RESNET, 44_549_160, 7_570_194_432, 1000, CAFFE),
    "resnet152_v1": Row(RESNET, 60_192_808, 11_282_415_616, 1000, CAFFE),
    "resnet200_v1": Row(RESNET, 64_673_832, 14_776_270_848, 1000, CAFFE),
    "mobilenet_v1": Row(MOBILENET, 4_231_976, 568_740_352, 1000, INCEPTION),
    "ssd300_vgg16": Row(SSD, 26_285_486, 31_373_537_792, 20, VOC_MEAN),
    "ssd_mobilenet_v1": Row(SSD_MOBILENET, 5_755_694, 1_099_798_080, 20, CENTERED),
}
# fmt: on


def list_models(task: str | None = None, pattern: str | None = None) -> list[str]:
    """Sorted names, of one task ("classification" | "detection") and one shell pattern if given."""
    return sorted(
        name
        for name, row in MODELS.items()
        if task in (None, row.family.task) and (pattern is None or fnmatch.fnmatch(name, pattern))
    )


def describe(name: str) -> ModelInfo:
    """What is known of a network without building it. Unknown name: ValueError."""
    row = _row(name)
    return ModelInfo(
        name=name,
        task=row.family.task,
        paper=row.family.paper,
        year=row.family.year,
        params=row.params,
        macs=row.macs,
        num_classes=row.num_classes,
        preprocess=row.preprocess,
    )


def build(
    name: str,
    *,
    num_classes: int | str | None = "default",
    input_size: tuple[int, int] | None = None,
    width: float = 1.0,
    dropout: float = 0.0,
) -> keras.Model | Detector:
    """A new network with random weights: a keras.Model, or a Detector for detection.

    num_classes "default" is the reference's; None returns a classifier's backbone, whose outputs
    are maps by stride, {"s4": ..., "s8": ..., ...}. input_size is (height, width) in pixels, None
    the network's own. Options that the network does not have must keep their defaults.
    """
    return _build(name, num_classes, input_size, width, dropout)[0]


def build_task(
    name: str,
    *,
    num_classes: int | str = "default",
    input_size: tuple[int, int] | None = None,
    width: float = 1.0,
    dropout: float = 0.0,
    label_smoothing: float = 0.0,
) -> Classifier | Detector:
    """`build` with encode, loss and decode. Its info tells what was built, not the reference."""
    if num_classes is None:
        raise ValueError(f"{name}: a task needs num_classes; only build() makes backbones")
    built, info = _build(name, num_classes, input_size, width, dropout)
    if info.task == "detection":
        if label_smoothing:
            raise ValueError(
                f"{name}: label_smoothing is for classification, got {label_smoothing}"
            )
        return built
    from models.classification import task

    return task.classifier(built, info, label_smoothing)


def _build(name, num_classes, input_size, width, dropout):
    """(keras.Model or Detector, ModelInfo with the actual size, classes and counts)."""
    row = _row(name)
    options = {"width": width, "dropout": dropout}
    for key, default in (("width", 1.0), ("dropout", 0.0)):
        if key not in row.family.options and options.pop(key) != default:
            raise ValueError(f"{name} has no {key}: leave it at {default}")
    detects = row.family.task == "detection"
    if num_classes == "default":
        num_classes = row.num_classes
    if num_classes is None and detects:
        raise ValueError(f"{name}: a detector needs num_classes; build its backbone by its name")
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"{name}: expected num_classes >= 1, got {num_classes}")
    size = tuple(input_size) if input_size else row.preprocess.size
    preprocess = dataclasses.replace(row.preprocess, size=size)
    info = dataclasses.replace(describe(name), num_classes=num_classes, preprocess=preprocess)
    module = importlib.import_module(row.family.module)
    built = module.build(name, info if detects else preprocess, num_classes=num_classes, **options)
    from models import count

    model = built.model if detects else built
    info = dataclasses.replace(info, params=count.params(model), macs=count.macs(model))
    return dataclasses.replace(built, info=info) if detects else built, info


def _row(name: str) -> Row:
    if name not in MODELS:
        close = difflib.get_close_matches(name, MODELS, n=3, cutoff=0.0)
        raise ValueError(f"unknown network {name!r}; the closest names are {', '.join(close)}")
    return MODELS[name]

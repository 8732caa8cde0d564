"""The table of classification networks: name -> Row."""

from __future__ import annotations

from models.rows import CAFFE, GRAY_28, GRAY_32, INCEPTION, TORCH, Family, Row

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
# fmt: off
ROWS = {
    "lenet5_1998": Row(LENET_1998, 60_000, 325_680, 10, GRAY_32),
    "lenet5": Row(LENET, 61_706, 416_520, 10, GRAY_28),
    "vgg11": Row(VGG, 132_863_336, 7_609_090_048, 1000, TORCH),
    "vgg11_bn": Row(VGG, 132_868_840, 7_609_090_048, 1000, TORCH),
    "vgg13": Row(VGG, 133_047_848, 11_308_466_176, 1000, TORCH),
    "vgg13_bn": Row(VGG, 133_053_736, 11_308_466_176, 1000, TORCH),
    "vgg16": Row(VGG, 138_357_544, 15_470_264_320, 1000, CAFFE),
    "vgg16_bn": Row(VGG, 138_365_992, 15_470_264_320, 1000, TORCH),
    "vgg19": Row(VGG, 143_667_240, 19_632_062_464, 1000, CAFFE),
    "vgg19_bn": Row(VGG, 143_678_248, 19_632_062_464, 1000, TORCH),
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
}
# fmt: on

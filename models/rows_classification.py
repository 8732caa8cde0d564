"""The table of classification networks: name -> Row."""

from __future__ import annotations

from convoy.models.rows import (
    CAFFE,
    CAFFE_227,
    CAFFE_GOOGLENET,
    CIFAR,
    DARKNET,
    DARKNET_224,
    GRAY_16,
    GRAY_28,
    GRAY_32,
    GRAY_83,
    INCEPTION,
    INCEPTION_299,
    OVERFEAT_221,
    OVERFEAT_231,
    TORCH,
    TORCH_448,
    Family,
    Row,
)

LENET_1998 = Family(
    "convoy.models.classification.lenet",
    "classification",
    "LeCun, Gradient-Based Learning Applied to Document Recognition, Proc. IEEE 86(11)",
    1998,
)
LENET = LENET_1998._replace(options=("dropout",))
VGG = Family(
    "convoy.models.classification.vgg",
    "classification",
    "Simonyan, Very Deep Convolutional Networks, https://arxiv.org/abs/1409.1556",
    2014,
    ("dropout",),
)
VGG_M = Family(
    "convoy.models.classification.vgg_m",
    "classification",
    "Chatfield, Return of the Devil in the Details, https://arxiv.org/abs/1405.3531",
    2014,
    ("dropout",),
)
RESNET = Family(
    "convoy.models.classification.resnet",
    "classification",
    "He, Deep Residual Learning for Image Recognition, https://arxiv.org/abs/1512.03385",
    2015,
    ("dropout",),
)
MOBILENET = Family(
    "convoy.models.classification.mobilenet",
    "classification",
    "Howard, MobileNets, https://arxiv.org/abs/1704.04861",
    2017,
    ("width", "dropout"),
)
LECUN_1989 = Family(
    "convoy.models.classification.lecun1989",
    "classification",
    "LeCun, Backpropagation Applied to Handwritten Zip Code Recognition, Neural Computation 1(4)",
    1989,
)
CALTECH = Family(
    "convoy.models.classification.caltech",
    "classification",
    "Jarrett, What is the Best Multi-Stage Architecture for Object Recognition?, ICCV",
    2009,
)
ALEXNET = Family(
    "convoy.models.classification.alexnet",
    "classification",
    "Krizhevsky, ImageNet Classification with Deep Convolutional Neural Networks, NIPS",
    2012,
    ("dropout",),
)
ALEXNET_OWT = ALEXNET._replace(
    paper="Krizhevsky, One weird trick, https://arxiv.org/abs/1404.5997", year=2014
)
ZFNET = Family(
    "convoy.models.classification.zfnet",
    "classification",
    "Zeiler, Visualizing and Understanding ConvNets, https://arxiv.org/abs/1311.2901",
    2013,
    ("dropout",),
)
OVERFEAT = Family(
    "convoy.models.classification.overfeat",
    "classification",
    "Sermanet, OverFeat, https://arxiv.org/abs/1312.6229",
    2013,
    ("dropout",),
)
SPP_NET = Family(
    "convoy.models.classification.sppnet",
    "classification",
    "He, Spatial Pyramid Pooling, https://arxiv.org/abs/1406.4729",
    2014,
    ("dropout",),
)
WELDON = Family(
    "convoy.models.classification.weldon_resnet",
    "classification",
    "Durand, WELDON: Weakly Supervised Learning of Deep CNNs, CVPR",
    2016,
    ("dropout",),
)
RESNET_V2 = Family(
    "convoy.models.classification.resnet_v2",
    "classification",
    "He, Identity Mappings in Deep Residual Networks, https://arxiv.org/abs/1603.05027",
    2016,
    ("dropout",),
)
LM_RESNET = Family(
    "convoy.models.classification.lm_resnet",
    "classification",
    "Lu, Beyond Finite Layer Neural Networks, https://arxiv.org/abs/1710.10121",
    2018,
)
MOBILENET_V2 = Family(
    "convoy.models.classification.mobilenet_v2",
    "classification",
    "Sandler, MobileNetV2, https://arxiv.org/abs/1801.04381",
    2018,
    ("width", "dropout"),
)
MOBILENET_V3 = Family(
    "convoy.models.classification.mobilenet_v3",
    "classification",
    "Howard, Searching for MobileNetV3, https://arxiv.org/abs/1905.02244",
    2019,
    ("width", "dropout"),
)
DARKNET_19 = Family(
    "convoy.models.classification.darknet",
    "classification",
    "Redmon, YOLO9000: Better, Faster, Stronger, https://arxiv.org/abs/1612.08242",
    2016,
    ("dropout",),
)
DARKNET_53 = DARKNET_19._replace(
    paper="Redmon, YOLOv3: An Incremental Improvement, https://arxiv.org/abs/1804.02767", year=2018
)
DARKNET_REFERENCE = DARKNET_19._replace(
    paper="Redmon, Darknet: Open Source Neural Networks in C, https://pjreddie.com/darknet",
    year=2013,
)
CSPDARKNET = Family(
    "convoy.models.classification.cspdarknet",
    "classification",
    "Wang, CSPNet, https://arxiv.org/abs/1911.11929",
    2019,
    ("dropout",),
)
CSPDARKNET_TINY = CSPDARKNET._replace(
    paper="Wang, Scaled-YOLOv4, https://arxiv.org/abs/2011.08036", year=2020
)
GOOGLENET = Family(
    "convoy.models.classification.googlenet",
    "classification",
    "Szegedy, Going Deeper with Convolutions, https://arxiv.org/abs/1409.4842",
    2014,
    ("dropout",),
    aux_weight=0.3,  # the paper's and Caffe's
)
INCEPTION_V2 = Family(
    "convoy.models.classification.inception_v2",
    "classification",
    "Ioffe, Batch Normalization, https://arxiv.org/abs/1502.03167",
    2015,
    ("dropout",),
)
INCEPTION_V3 = Family(
    "convoy.models.classification.inception_v3",
    "classification",
    "Szegedy, Rethinking the Inception Architecture, https://arxiv.org/abs/1512.00567",
    2015,
    ("dropout",),
    aux_weight=0.4,  # torchvision's and tf_slim's
)
INCEPTION_RESNET = Family(
    "convoy.models.classification.inception_resnet_v2",
    "classification",
    "Szegedy, Inception-v4 and Inception-ResNet, https://arxiv.org/abs/1602.07261",
    2016,
    ("dropout",),
)
# fmt: off
ROWS = {
    "lecun1989": Row(LECUN_1989, 9_760, 63_660, 10, GRAY_16),
    "lenet5_1998": Row(LENET_1998, 60_000, 325_680, 10, GRAY_32),
    "lenet5": Row(LENET, 61_706, 416_520, 10, GRAY_28),
    "caltech_convnet": Row(CALTECH, 363_237, 41_129_792, 101, GRAY_83),
    "caltech_convnet_rn": Row(CALTECH, 363_237, 41_129_792, 101, GRAY_83),
    "caltech_convnet_max": Row(CALTECH, 363_237, 41_129_792, 101, GRAY_83),
    "alexnet": Row(ALEXNET, 60_965_224, 724_406_816, 1000, CAFFE_227),
    "caffenet": Row(ALEXNET, 60_965_224, 724_406_816, 1000, CAFFE_227),
    "vgg_m_1024": Row(VGG_M, 87_250_536, 1_660_517_408, 1000, CAFFE),
    "alexnet_single": Row(ALEXNET, 62_378_344, 1_135_256_096, 1000, CAFFE_227),
    "alexnet_owt": Row(ALEXNET_OWT, 61_100_840, 714_188_480, 1000, TORCH),
    "zf_caffe": Row(ZFNET, 62_357_608, 1_449_082_880, 1000, CAFFE),
    "zfnet": Row(ZFNET, 62_357_608, 1_168_032_896, 1000, CAFFE),
    "zfnet_large": Row(ZFNET, 107_627_624, 2_476_704_896, 1000, CAFFE),
    "overfeat_fast": Row(OVERFEAT, 145_920_872, 2_801_403_904, 1000, OVERFEAT_231),
    "overfeat_accurate": Row(OVERFEAT, 144_656_488, 5_355_446_784, 1000, OVERFEAT_221),
    "spp_net_zf5": Row(SPP_NET, 77_037_672, 1_182_712_960, 1000, CAFFE),
    "vgg11": Row(VGG, 132_863_336, 7_609_090_048, 1000, TORCH),
    "vgg11_bn": Row(VGG, 132_868_840, 7_609_090_048, 1000, TORCH),
    "vgg13": Row(VGG, 133_047_848, 11_308_466_176, 1000, TORCH),
    "vgg13_bn": Row(VGG, 133_053_736, 11_308_466_176, 1000, TORCH),
    "vgg16": Row(VGG, 138_357_544, 15_470_264_320, 1000, CAFFE),
    "vgg16_bn": Row(VGG, 138_365_992, 15_470_264_320, 1000, TORCH),
    "vgg19": Row(VGG, 143_667_240, 19_632_062_464, 1000, CAFFE),
    "vgg19_bn": Row(VGG, 143_678_248, 19_632_062_464, 1000, TORCH),
    "googlenet": Row(GOOGLENET, 6_998_552, 1_582_671_872, 1000, CAFFE_GOOGLENET),
    "googlenet_aux": Row(GOOGLENET, 13_378_280, 1_591_044_096, 1000, CAFFE_GOOGLENET),
    "googlenet_bn": Row(GOOGLENET, 6_624_904, 1_498_376_192, 1000, INCEPTION),
    "googlenet_bn_aux": Row(GOOGLENET, 13_004_888, 1_506_748_416, 1000, INCEPTION),
    "inception_v2": Row(INCEPTION_V2, 11_178_336, 1_934_857_216, 1000, INCEPTION),
    "inception_v3": Row(INCEPTION_V3, 23_817_352, 5_713_216_096, 1000, INCEPTION_299),
    "inception_v3_aux": Row(INCEPTION_V3, 27_161_264, 5_718_899_296, 1000, INCEPTION_299),
    "inception_resnet_v2": Row(INCEPTION_RESNET, 55_813_192, 13_155_794_016, 1000, INCEPTION_299),
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
    "weldon_resnet101": Row(WELDON, 42_541_140, 31_205_457_920, 20, TORCH_448),
    "resnet18_v2": Row(RESNET_V2, 11_687_720, 1_814_073_344, 1000, TORCH),
    "resnet34_v2": Row(RESNET_V2, 21_795_880, 3_663_761_408, 1000, TORCH),
    "resnet50_v2": Row(RESNET_V2, 25_549_352, 4_089_184_256, 1000, TORCH),
    "resnet101_v2": Row(RESNET_V2, 44_541_480, 7_801_405_440, 1000, TORCH),
    "resnet152_v2": Row(RESNET_V2, 60_185_128, 11_513_626_624, 1000, TORCH),
    "resnet200_v2": Row(RESNET_V2, 64_666_152, 15_007_481_856, 1000, TORCH),
    "resnet50_v2_keras": Row(RESNET_V2, 25_568_360, 3_482_255_360, 1000, INCEPTION),
    "resnet101_v2_keras": Row(RESNET_V2, 44_577_896, 7_194_476_544, 1000, INCEPTION),
    "resnet152_v2_keras": Row(RESNET_V2, 60_236_904, 10_906_697_728, 1000, INCEPTION),
    "lm_resnet20": Row(LM_RESNET, 272_384, 40_813_184, 10, CIFAR),
    "lm_resnet32": Row(LM_RESNET, 466_822, 69_124_736, 10, CIFAR),
    "lm_resnet44": Row(LM_RESNET, 661_260, 97_436_288, 10, CIFAR),
    "lm_resnet56": Row(LM_RESNET, 855_698, 125_747_840, 10, CIFAR),
    "lm_resnet110": Row(LM_RESNET, 1_730_669, 253_149_824, 10, CIFAR),
    "lm_resnet164": Row(LM_RESNET, 1_703_725, 247_646_720, 10, CIFAR),
    "mobilenet_v2": Row(MOBILENET_V2, 3_504_872, 300_774_272, 1000, INCEPTION),
    "mobilenet_v3_large": Row(MOBILENET_V3, 5_483_032, 216_589_760, 1000, INCEPTION),
    "mobilenet_v3_small": Row(MOBILENET_V3, 2_542_856, 56_510_400, 1000, INCEPTION),
    "darknet19": Row(DARKNET_19, 20_842_376, 2_790_989_824, 1000, DARKNET_224),
    "darknet53": Row(DARKNET_53, 41_609_928, 9_285_115_904, 1000, DARKNET),
    "darknet_reference": Row(DARKNET_REFERENCE, 7_319_416, 482_320_384, 1000, DARKNET),
    "cspdarknet53": Row(CSPDARKNET, 27_642_184, 6_533_652_480, 1000, DARKNET),
    "cspdarknet53_tiny": Row(CSPDARKNET_TINY, 4_142_728, 970_969_088, 1000, DARKNET),
}
# fmt: on

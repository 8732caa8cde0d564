"""A recipe's model.weights: where the file is, fetching it if that was asked for, and loading it.

model.weights is `imagenet` (the published weights of this very network), the path of a file, or
an address. Fetched files are kept in $CONVOY_CACHE, ~/.cache/convoy without it, below weights/.
An address may end in #sha256=HEX or #md5=HEX; a name like resnet18-f37072fd.pth says the first
digits of its SHA-256, as torchvision's do. What comes is refused where they are others.
"""

from __future__ import annotations

import collections
import hashlib
import json
import os
import pathlib
import re
from urllib.parse import urldefrag, urlsplit

from absl import logging

from convoy.data.fetch import fetch
from convoy.data.fetch.table import File
from convoy.models.spec import Task
from convoy.models.weights import load as importer
from convoy.models.weights import sources
from convoy.pipeline.networks.trained import META

_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications"
_TORCH = "https://download.pytorch.org/models"
_TF = "weights_tf_dim_ordering_tf_kernels"
# The addresses and MD5 are those in keras.applications, which gives none for MobileNet v1 and v2;
# the other addresses are torchvision's, of the weights named IMAGENET1K_V1.
IMAGENET = {
    "vgg16": f"{_KERAS}/vgg16/vgg16_{_TF}.h5#md5=64373286793e3c8b2b4e3219cbf3544b",
    "vgg19": f"{_KERAS}/vgg19/vgg19_{_TF}.h5#md5=cbe5617147190e668d6c5d5026f83318",
    "resnet50_v1": f"{_KERAS}/resnet/resnet50_{_TF}.h5#md5=2cb95161c43110f7111970584f804107",
    "resnet101_v1": f"{_KERAS}/resnet/resnet101_{_TF}.h5#md5=f1aeb4b969a6efcfb50fad2f0c20cfc5",
    "resnet152_v1": f"{_KERAS}/resnet/resnet152_{_TF}.h5#md5=100835be76be38e30d865e96f2aaae62",
    "resnet50_v2_keras": f"{_KERAS}/resnet/resnet50v2_{_TF}.h5"
    "#md5=3ef43a0b657b3be2300d5770ece849e0",
    "resnet101_v2_keras": f"{_KERAS}/resnet/resnet101v2_{_TF}.h5"
    "#md5=6343647c601c52e1368623803854d971",
    "resnet152_v2_keras": f"{_KERAS}/resnet/resnet152v2_{_TF}.h5"
    "#md5=a49b44d1979771252814e80f8ec446f9",
    "mobilenet_v1": f"{_KERAS}/mobilenet/mobilenet_1_0_224_tf.h5",
    "mobilenet_v2": f"{_KERAS}/mobilenet_v2/mobilenet_v2_{_TF}_1.0_224.h5",
    "mobilenet_v3_large": f"{_KERAS}/mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float.h5"
    "#md5=59e551e166be033d707958cf9e29a6a7",
    "mobilenet_v3_small": f"{_KERAS}/mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float.h5"
    "#md5=8768d4c2e7dee89b9d02b2d03d65d862",
    "inception_v3": f"{_KERAS}/inception_v3/inception_v3_{_TF}.h5"
    "#md5=9a0d58056eeedaa3f26cb7ebd46da564",
    "inception_resnet_v2": f"{_KERAS}/inception_resnet_v2/inception_resnet_v2_{_TF}.h5"
    "#md5=e693bd0210a403b3192acc6073ad2e96",
    "alexnet_owt": f"{_TORCH}/alexnet-owt-7be5be79.pth",
    "vgg11": f"{_TORCH}/vgg11-8a719046.pth",
    "vgg11_bn": f"{_TORCH}/vgg11_bn-6002323d.pth",
    "vgg13": f"{_TORCH}/vgg13-19584684.pth",
    "vgg13_bn": f"{_TORCH}/vgg13_bn-abd245e5.pth",
    "vgg16_bn": f"{_TORCH}/vgg16_bn-6c64b313.pth",
    "vgg19_bn": f"{_TORCH}/vgg19_bn-c79401a0.pth",
    "resnet18": f"{_TORCH}/resnet18-f37072fd.pth",
    "resnet34": f"{_TORCH}/resnet34-b627a593.pth",
    "resnet50": f"{_TORCH}/resnet50-0676ba61.pth",
    "resnet101": f"{_TORCH}/resnet101-63fe2227.pth",
    "resnet152": f"{_TORCH}/resnet152-394f9c45.pth",
    "googlenet_bn": f"{_TORCH}/googlenet-1378be20.pth",
    "inception_v3_aux": f"{_TORCH}/inception_v3_google-0cc3c7bd.pth",
}
_V3 = {"large": "765b44a33ad4005b3ac83185abf1d0eb", "small": "cb65d4e5be93758266aa0a7f2c6708b7"}
# Of other widths than 1, keras.applications' alpha.
WIDTHS = {
    **{
        ("mobilenet_v1", width): f"{_KERAS}/mobilenet/mobilenet_{text}_224_tf.h5"
        for width, text in ((0.25, "2_5"), (0.5, "5_0"), (0.75, "7_5"))
    },
    **{
        ("mobilenet_v2", width): f"{_KERAS}/mobilenet_v2/mobilenet_v2_{_TF}_{width}_224.h5"
        for width in (0.35, 0.5, 0.75, 1.3, 1.4)
    },
    **{
        (f"mobilenet_v3_{size}", 0.75): f"{_KERAS}/mobilenet_v3/weights_mobilenet_v3_{size}_224_"
        f"0.75_float.h5#md5={digits}"
        for size, digits in _V3.items()
    },
}
# Of all of them: {"0": ["n01440764", "tench"], ...}; address and MD5 are keras.applications' too.
CLASSES = (
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json"
    "#md5=c2c37ea517e94d9795004a39431a14cb"
)


def load(
    task: Task, network: str, weights: str, width: float = 1.0, backbone: str | None = None
) -> dict[str, list[str]]:
    """Puts the weights into the task's model; says what did not match. Nothing or all of it."""
    path = find(weights, network, width, backbone)
    report = importer.load(task.model, network, path, backbone)
    counts = {key: len(getattr(report, key)) for key in ("matched", "missing", "mismatched")}
    logging.warning("weights %s: %s, unused layers of the file: %s", path, counts, report.unused)
    for entry in (*report.missing, *report.mismatched):
        logging.warning("weights: keeps its fresh weights: %s", entry)
    if report.classes not in (None, task.info.num_classes):
        told = "weights: of %d classes; the last layer starts anew for the %d here"
        logging.warning(told, report.classes, task.info.num_classes)
    for note in report.notes:
        logging.info("weights: %s", note)
    return vars(report)


def find(
    weights: str, network: str, width: float = 1.0, backbone: str | None = None
) -> pathlib.Path:
    """The file that model.weights means; fetched if it is an address and not in the cache."""
    place = _place(weights, network, width, backbone)
    return place if isinstance(place, pathlib.Path) else _fetched(place)


def check(weights: str, network: str, width: float = 1.0, backbone: str | None = None) -> None:
    """Raises what `load` would, as far as it is known before the file is fetched and read."""
    place = _place(weights, network, width, backbone)
    name = pathlib.Path(place if isinstance(place, pathlib.Path) else published(place).name)
    importer.form(network, name, backbone)


def _place(weights: str, network: str, width: float, backbone: str | None) -> pathlib.Path | str:
    """A file that is there, or an address."""
    if weights == "imagenet":
        return address(network, width, backbone)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", weights):
        return weights
    path = pathlib.Path(weights).expanduser()
    if not path.exists():
        raise FileNotFoundError(
            f"model.weights {weights}: no such file; expected imagenet, a file or an address "
            "that begins with https://"
        )
    if path.with_name(META).exists():
        raise ValueError(
            f"model.weights {weights}: of a training here; set model.init_from={path.parent}"
        )
    return path


def address(network: str, width: float = 1.0, backbone: str | None = None) -> str:
    """Where the weights lie that model.weights imagenet means. Raises ValueError."""
    base = backbone or sources.BACKBONES.get(network, network)
    if base not in IMAGENET:
        raise ValueError(
            f"model.weights imagenet: no published weights of {base} are known; known are "
            f"those of {', '.join(IMAGENET)}. Otherwise give a file or its address"
        )
    if width != 1.0 and (base, width) not in WIDTHS:
        known = [str(other) for name, other in WIDTHS if name == base]
        raise ValueError(
            f"model.weights imagenet: {base} is published for model.width "
            f"{', '.join(['1.0', *known])}, got {width}"
        )
    return WIDTHS.get((base, width), IMAGENET[base])


def class_names() -> list[str]:
    """The names of `imagenet`'s 1000 classes, fetched as weights are. Raises as fetch does."""
    table = json.loads(_fetched(CLASSES).read_text())
    rows = [table[str(index)] for index in range(len(table))]
    times = collections.Counter(name for _, name in rows)
    return [f"{name}_{number}" if times[name] > 1 else name for number, name in rows]


def _fetched(address: str) -> pathlib.Path:
    file = published(address)
    return fetch.fetch_file(file, kept(file).parent)


def kept(file: File) -> pathlib.Path:
    """Where a file of weights lies once it was fetched."""
    folder = hashlib.sha256(file.urls[0].encode()).hexdigest()[:12]
    return cache() / "weights" / folder / file.name


def published(address: str) -> File:
    """What is known of an address: the file's name and the hash it must have."""
    url, said = urldefrag(address)
    parts = urlsplit(url)
    name = pathlib.PurePosixPath(parts.path).name
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError(f"model.weights {address}: expected http:// or https://")
    if not name or not parts.netloc:
        raise ValueError(f"model.weights {address}: expected https://HOST/.../FILE")
    hashes = {"sha256": "", "md5": ""}
    in_name = re.search(r"-([0-9a-f]{8,64})\.\w+$", name)
    if said:
        kind, _, digits = said.lower().partition("=")
        length = {"sha256": 64, "md5": 32}.get(kind)
        if len(digits) != length or not re.fullmatch("[0-9a-f]+", digits):
            raise ValueError(
                f"model.weights {address}: expected #sha256= and 64 digits or #md5= and 32, got "
                f"#{said}"
            )
        hashes[kind] = digits
    elif in_name:
        hashes["sha256"] = in_name[1]
    return File(name, (url,), **hashes)


def cache() -> pathlib.Path:
    """Where fetched files are kept: $CONVOY_CACHE, or ~/.cache/convoy."""
    return pathlib.Path(os.environ.get("CONVOY_CACHE") or "~/.cache/convoy").expanduser()

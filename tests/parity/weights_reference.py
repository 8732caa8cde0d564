"""Writes tests/golden/weights_torch.*.xz, .npz and torch_*.pth: what importers have to read.

Of torchvision's and timm's networks the names and shapes of their tensors (.json.xz), and their
outputs when each tensor is drawn by its own name (.npz); of torch.save two small files of all that
a reader can meet, and one as a training leaves it.
Run by hand, in the environment of torch_reference.py with timm 1.0.31 and torchvision's CPU build:

    PYTHONPATH=. tv/bin/python tests/parity/weights_reference.py
"""

from __future__ import annotations

import argparse
import collections
import json
import lzma
import pathlib

import numpy as np
import torch

from tests.parity import formula, weights_formula
from tests.parity.torch_reference import GOLDEN, import_torchvision

CLASSES = 10
# our name: (package, theirs, size, normalisation of pixels)
NETWORKS = {
    "alexnet_owt": ("torchvision", "alexnet", 224, "imagenet"),
    "googlenet_bn": ("torchvision", "googlenet", 64, "half"),
    "inception_v3_aux": ("torchvision", "inception_v3", 299, "half"),
    "inception_resnet_v2": ("timm", "inception_resnet_v2", 107, "half"),
    "resnet200": ("timm", "resnet200", 64, "imagenet"),
}
for _depth in (11, 13, 16, 19):
    for _norm in ("", "_bn"):
        NETWORKS[f"vgg{_depth}{_norm}"] = ("torchvision", f"vgg{_depth}{_norm}", 224, "imagenet")
for _depth in (18, 34, 50, 101, 152):
    NETWORKS[f"resnet{_depth}"] = ("torchvision", f"resnet{_depth}", 64, "imagenet")
    NETWORKS[f"resnet{_depth}_v2"] = ("timm", f"resnetv2_{_depth}", 64, "imagenet")
# The same networks under other names of tensors.
ALIKE = {
    "vgg16 of timm": ("timm", "vgg16"),
    "vgg11_bn of timm": ("timm", "vgg11_bn"),
    "inception_v3_aux of timm": ("timm", "inception_v3"),
    "resnet50 of timm": ("timm", "resnet50"),
}
# Detectors of torchvision, whose outputs are maps: every 149th row of them is kept.
DETECTORS = {"retinanet_resnet50_fpn": (96, 128)}
# Another, whose names alone are written here (two_stage_reference.py compares its outputs), and the
# classes it has beside ours: the background.
NAMED = {"faster_rcnn_resnet50_fpn": ("fasterrcnn_resnet50_fpn", 1)}
MEAN = {"imagenet": (0.485, 0.456, 0.406), "half": (0.5,) * 3}
STD = {"imagenet": (0.229, 0.224, 0.225), "half": (0.5,) * 3}


def build(package: str, name: str):
    if package == "timm":
        import timm

        options = {"aux_logits": True} if name == "inception_v3" else {}
        return timm.create_model(name, num_classes=CLASSES, **options)
    import torchvision

    if name in (*DETECTORS, *NAMED):
        theirs, more = NAMED.get(name, (name, 0))
        network = getattr(torchvision.models.detection, theirs)
        return network(weights=None, weights_backbone=None, num_classes=CLASSES + more)
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(num_classes=CLASSES, **options)


def filled(network, scaled: bool = True):
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    values = weights_formula.tensors(shapes, scaled=scaled)
    network.load_state_dict(
        {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in values.items()}
    )
    return network


def outputs() -> None:
    found = {}
    for ours, (package, theirs, size, pixels) in NETWORKS.items():
        network = filled(build(package, theirs).eval(), scaled=ours != "inception_resnet_v2")
        image = torch.from_numpy(formula.pictures(2, size, size)).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(table[pixels])[:, None, None] for table in (MEAN, STD))
        with torch.no_grad():
            found[f"{ours}_logits"] = network((image - mean) / std).numpy()
        print(ours, np.abs(found[f"{ours}_logits"]).max(), found[f"{ours}_logits"].std())
    found |= detector_outputs()
    np.savez_compressed(GOLDEN / "weights_torch.npz", **found)


def detector_outputs() -> dict[str, np.ndarray]:
    found = {}
    for name, size in DETECTORS.items():
        network = filled(build("torchvision", name).eval())
        mean, std = (torch.tensor(table["imagenet"])[:, None, None] for table in (MEAN, STD))
        image = torch.from_numpy(formula.pictures(2, *size)).permute(0, 3, 1, 2) / 255
        with torch.no_grad():
            maps = list(network.backbone((image - mean) / std).values())
            outputs = network.head(maps)
        found[f"{name}_cls"] = outputs["cls_logits"][:, ::149].numpy()
        boxes = outputs["bbox_regression"][:, ::149]
        found[f"{name}_box"] = boxes[..., [1, 0, 3, 2]].numpy()  # (y, x, h, w) here
    return found


def names() -> None:
    found = {}
    sources = {ours: row[:2] for ours, row in NETWORKS.items()} | ALIKE
    sources |= {name: ("torchvision", name) for name in (*DETECTORS, *NAMED)}
    with torch.device("meta"):
        for ours, (package, theirs) in sources.items():
            state = build(package, theirs).state_dict()
            found[ours] = {name: list(value.shape) for name, value in state.items()}
    text = json.dumps(found, separators=(",", ":")).encode()
    (GOLDEN / "weights_torch.json.xz").write_bytes(lzma.compress(text, preset=9))


def files() -> None:
    base = torch.arange(24, dtype=torch.float32)
    state = collections.OrderedDict(
        {
            "module.conv.weight": torch.nn.Parameter(base.reshape(2, 3, 2, 2) / 8),
            "module.conv.bias": base[4:6],  # shares the storage, behind an offset
            "module.turned": base.reshape(4, 6).T,  # not contiguous
            "module.norm.weight": torch.tensor([0.5, -2.0]).half(),
            "module.norm.running_mean": torch.tensor([1.0, 3.140625]).bfloat16(),
            "module.norm.num_batches_tracked": torch.tensor(7),
            "module.empty": torch.zeros(0, 3),
        }
    )
    state._metadata = collections.OrderedDict({"": {"version": 1}})
    whole = {"epoch": 3, "state_dict": state}
    torch.save(whole, GOLDEN / "torch_zip.pth")
    torch.save(whole, GOLDEN / "torch_legacy.pth", _use_new_zipfile_serialization=False)
    averaged = {f"module.{name}": base[:2] for name in ("norm.weight", "norm.running_mean")}
    kinds = {"device": torch.device("cpu"), "dtype": torch.bfloat16}
    training = {
        "epoch": np.float64(3),
        "args": argparse.Namespace(output_dir=pathlib.PosixPath("out"), **kinds),
        "optimizer": {"state": {0: {"momentum_buffer": base}}, "param_groups": [{"lr": 0.1}]},
        "model_ema": {"n_averaged": torch.tensor(9)} | averaged,
    }
    torch.save(training, GOLDEN / "torch_training.pth")


if __name__ == "__main__":
    files()
    _library, _ = import_torchvision()
    names()
    outputs()

"""Writes tests/golden/weights_torch.npz and torch_{zip,legacy}.pth: what importers have to read.

Of torchvision's and timm's networks the names and shapes of their tensors, and their outputs when
each tensor is drawn by its own name; of torch.save two small files of all that a reader can meet.
Run by hand, in the environment of torch_reference.py with timm 1.0.31 and torchvision's CPU build:

    PYTHONPATH=. tv/bin/python tests/parity/weights_reference.py
"""

from __future__ import annotations

import collections

import numpy as np
import torch

from tests.parity import formula, weights_formula
from tests.parity.torch_reference import GOLDEN

CLASSES = 10
# our name: (package, theirs, size, normalisation of pixels)
NETWORKS = {
    "resnet18": ("torchvision", "resnet18", 64, "imagenet"),
    "resnet50": ("torchvision", "resnet50", 64, "imagenet"),
    "vgg11": ("torchvision", "vgg11", 224, "imagenet"),
    "vgg16": ("torchvision", "vgg16", 224, "imagenet"),
    "vgg11_bn": ("torchvision", "vgg11_bn", 224, "imagenet"),
    "alexnet_owt": ("torchvision", "alexnet", 224, "imagenet"),
    "googlenet_bn": ("torchvision", "googlenet", 64, "half"),
    "inception_v3_aux": ("torchvision", "inception_v3", 299, "half"),
    "resnet18_v2": ("timm", "resnetv2_18", 64, "imagenet"),
    "resnet50_v2": ("timm", "resnetv2_50", 64, "imagenet"),
}
MEAN = {"imagenet": (0.485, 0.456, 0.406), "half": (0.5,) * 3}
STD = {"imagenet": (0.229, 0.224, 0.225), "half": (0.5,) * 3}


def build(package: str, name: str):
    if package == "timm":
        import timm

        return timm.create_model(name, num_classes=CLASSES)
    import torchvision

    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    return getattr(torchvision.models, name)(num_classes=CLASSES, **options)


def outputs() -> None:
    found = {}
    for ours, (package, theirs, size, pixels) in NETWORKS.items():
        network = build(package, theirs).eval()
        shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
        values = weights_formula.tensors(shapes)
        network.load_state_dict(
            {name: torch.from_numpy(np.ascontiguousarray(v)) for name, v in values.items()}
        )
        image = torch.from_numpy(formula.pictures(2, size, size)).permute(0, 3, 1, 2) / 255
        mean, std = (torch.tensor(table[pixels])[:, None, None] for table in (MEAN, STD))
        with torch.no_grad():
            found[f"{ours}_logits"] = network((image - mean) / std).numpy()
        lines = [f"{name} {','.join(map(str, shape))}" for name, shape in shapes.items()]
        found[f"{ours}_names"] = np.frombuffer("\n".join(lines).encode(), np.uint8)
        print(ours, np.abs(found[f"{ours}_logits"]).max())
    np.savez_compressed(GOLDEN / "weights_torch.npz", **found)


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


if __name__ == "__main__":
    files()
    outputs()

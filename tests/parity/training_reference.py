"""Writes tests/golden/training.npz: one step of training under formula weights, in float64.

Of each network the outputs on the statistics of a batch, and what its norms keep after it. The
references are torchvision's and timm's networks, the authors' LM-ResNet, and the authors' Darknet
cfg files, read by the few lines of PyTorch below. Run by hand, in the environment of
torch_reference.py and with the files that residual_reference.py and darknet_reference.py name:

    PYTHONPATH=. tv/bin/python tests/parity/training_reference.py MResNet.py FOLDER_OF_CFG_FILES
"""

from __future__ import annotations

import pathlib
import sys

import numpy as np
import torch
import torch.nn.functional as F

from tests.parity import darknet_reference, formula
from tests.parity.classics_reference import vgg_name
from tests.parity.residual_reference import load, multi_step, multi_step_name, timm_name
from tests.parity.residual_reference import resnet as resnet_v2
from tests.parity.torch_inception import (
    NAMES,
    googlenet_bn,
    googlenet_name,
    inception_v3,
    inception_v3_name,
    pixels_of,
)
from tests.parity.torch_reference import (
    GOLDEN,
    VARIABLES,
    fill,
    import_torchvision,
    pictures,
    resnet,
    resnet_name,
)

CHANNELS = 2  # of each norm that are kept in the file


class Darknet(torch.nn.Module):
    """A cfg file without its last softmax; tensors by our names."""

    def __init__(self, network: str, text: str):
        super().__init__()
        self.parts = darknet_reference.sections(darknet_reference.cfg_for(text, 64, 64))[1:]
        names = darknet_reference.names_of(network)
        shapes = darknet_reference.channels([None, *self.parts])
        self.convs, self.norms = torch.nn.ModuleDict(), torch.nn.ModuleDict()
        for name, (inputs, outputs, side, normalised) in zip(names, shapes, strict=True):
            self.convs[name] = torch.nn.Conv2d(inputs, outputs, side, bias=not normalised)
            if normalised:
                self.norms[name] = torch.nn.BatchNorm2d(outputs)

    def forward(self, x):
        names, outputs = iter(self.convs), []
        for kind, options in self.parts:
            if kind == "convolutional":
                x = self.convolution(next(names), x, options)
            elif kind == "shortcut":
                x = x + outputs[int(options["from"])]
            elif kind == "route":
                x = torch.cat([outputs[int(n)] for n in options["layers"].split(",")], 1)
            elif kind == "maxpool":  # an odd map's last row and column are pooled alone
                x = F.max_pool2d(x, int(options["size"]), int(options["stride"]), ceil_mode=True)
            elif kind == "avgpool":
                x = x.mean((2, 3), keepdim=True)
            else:
                raise ValueError(f"expected a layer of a classifier, got [{kind}]")
            outputs.append(x)
        return x.flatten(1)

    def convolution(self, name, x, options):
        layer = self.convs[name]
        padding = int(options["size"]) // 2 * int(options["pad"])
        x = F.conv2d(x, layer.weight, layer.bias, int(options["stride"]), padding)
        if name in self.norms:
            x = self.norms[name](x)
        kind = options["activation"]
        if kind == "linear":
            return x
        return F.leaky_relu(x, 0.1) if kind == "leaky" else F.mish(x)


def darknet_name(name: str, tensor) -> str:
    """norms.stage1_conv1.weight -> stage1_conv1_norm/gamma."""
    del tensor
    kind, layer, variable = name.split(".")
    if kind == "norms":
        return f"{layer}_norm/{VARIABLES[variable]}"
    return f"{layer}/{'kernel' if variable == 'weight' else 'bias'}"


def darknet(network: str, text: str) -> Darknet:
    """Filled, after a look whether these lines compute what OpenCV does with the same file."""
    reader = Darknet(network, text)
    fill(reader, darknet_name)
    for conv in reader.convs.values():
        conv.weight.mul_(float(darknet_reference.GAIN))
    found = reader.eval()(torch_images(2, 75, 97)).numpy()
    by_opencv = np.load(darknet_reference.OUTPUT)[f"{network}_75x97"]
    assert np.abs(found - by_opencv).max() < 1e-5 * np.abs(by_opencv).max()
    fill(reader, darknet_name)
    return reader


def torch_images(count: int, height: int, width: int):
    """Pixels in [0, 1]."""
    return torch.from_numpy(formula.pictures(count, height, width)).permute(0, 3, 1, 2) / 255


def step(network, name_of, images) -> dict[str, np.ndarray]:
    """One forward pass in training mode; norms in the order of our names.

    "kept" are means and variances, [2, norms, CHANNELS]; "counts" of how many values each is:
    PyTorch keeps the variance of a sample, n / (n - 1) times that of the batch.
    """
    counts = {}

    def count(name):
        def hook(norm, inputs, _):
            counts[name] = inputs[0].numel() // norm.num_features

        return hook

    norms = {}
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            ours = name_of(f"{name}.running_mean", None).split("/")[0]
            norms[ours] = module
            module.register_forward_hook(count(ours))
    outputs = network.double().train()(images.double())
    used = sorted(counts)
    kept = [[norms[name].running_mean[:CHANNELS] for name in used]]
    kept.append([norms[name].running_var[:CHANNELS] for name in used])
    outputs = outputs._asdict() if hasattr(outputs, "_asdict") else {"logits": outputs}
    if outputs["logits"].ndim == 4:
        outputs["logits"] = outputs["logits"].permute(0, 2, 3, 1)[..., ::64]
    found = {NAMES.get(key, key): value.float().numpy() for key, value in outputs.items()}
    found["kept"] = torch.stack([torch.stack(rows) for rows in kept]).float().numpy()
    return found | {"counts": np.asarray([counts[name] for name in used], np.int32)}


def vgg11_bn(torchvision, name_of):
    """Its convolutions; the full layers have no norm."""
    network = torchvision.models.vgg11_bn(num_classes=1, init_weights=False).features
    fill(network, name_of)
    return network


def main(authors, folder: pathlib.Path, torchvision) -> None:
    images, vgg = pictures("torch", 8, 75, 81), vgg_name((1, 1, 2, 2, 2), True)
    cases = {
        "resnet18": (resnet(torchvision, "resnet18"), resnet_name, images),
        "resnet50": (resnet(torchvision, "resnet50"), resnet_name, images),
        "resnet18_v2": (resnet_v2(18), timm_name, images),
        "lm_resnet20": (multi_step(authors, 20), multi_step_name(3), pictures("cifar", 8, 37, 34)),
        "vgg11_bn": (vgg11_bn(torchvision, vgg), vgg, images),
        "googlenet_bn_aux": (googlenet_bn(torchvision), googlenet_name, pixels_of(8, 115, 75)),
        "inception_v3_aux": (inception_v3(torchvision), inception_v3_name, pixels_of(3, 331, 305)),
    }
    for name, file in darknet_reference.CFG.items():
        network = darknet(name, (folder / file).read_text())
        cases[name] = (network, darknet_name, torch_images(8, 75, 97))
    found = {}
    for name, case in cases.items():
        for key, value in step(*case).items():
            found[f"{name}/{key}"] = value
        print(name, found[f"{name}/counts"].min(), "values in the smallest mean")
    np.savez_compressed(GOLDEN / "training.npz", **found)


if __name__ == "__main__":
    torch.manual_seed(0)
    with torch.no_grad():
        _library, vision = import_torchvision()
        main(load(sys.argv[1]), pathlib.Path(sys.argv[2]), vision)

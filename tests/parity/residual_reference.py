"""Writes tests/golden/residual.npz: pre-activation ResNets under formula weights.

timm computes ResNet v2; the authors' own file computes LM-ResNet. Run by hand, in the environment
of torch_reference.py with timm==1.0.31, and with MResNet.py of
https://github.com/2prime/LM-ResNet at commit c8f95f1:

    PYTHONPATH=. tv/bin/python tests/parity/residual_reference.py path/to/MResNet.py
"""

from __future__ import annotations

import importlib.util
import pathlib
import re
import sys
import types

import numpy as np
import timm
import torch

from tests.parity.torch_reference import VARIABLES, fill, pictures

OUTPUT = pathlib.Path(__file__).parents[1] / "golden" / "residual.npz"
CLASSES = 10
# Of LM-ResNet: blocks a stage, and the authors' class.
LAYERS = {
    20: (3, "BasicBlock"),
    32: (5, "BasicBlock"),
    44: (7, "BasicBlock"),
    56: (9, "BasicBlock"),
    110: (18, "BasicBlock"),
    164: (18, "Bottleneck"),
}


def timm_name(name: str, _tensor) -> str:
    layer, variable = name.rsplit(".", 1)
    fixed = {"stem.conv": "stem_conv", "head.fc": "logits", "norm": "head_norm"}
    if layer in fixed:
        ours = fixed[layer]
    else:
        pattern = r"stages\.(\d)\.blocks\.(\d+)\.(.*)"
        stage, block, part = re.fullmatch(pattern, layer).groups()
        part = "shortcut_conv" if part == "downsample.conv" else part
        ours = f"stage{int(stage) + 1}_block{int(block) + 1}_{part}"
    if "norm" in ours:
        return f"{ours}/{VARIABLES[variable]}"
    return f"{ours}/{'kernel' if variable == 'weight' else 'bias'}"


def resnet(depth: int):
    """timm has a name for none of 200 layers: its class with the paper's numbers of blocks."""
    if depth == 200:
        network = timm.create_model("resnetv2_50", layers=(3, 24, 36, 3), num_classes=CLASSES)
    else:
        network = timm.create_model(f"resnetv2_{depth}", num_classes=CLASSES)
    fill(network, timm_name)
    return network


def resnets(found: dict) -> None:
    for depth in (18, 34, 50, 101, 152, 200):
        network = resnet(depth).eval()
        for height, width in ((64, 64), (75, 81)):
            logits = network(pictures("torch", 2, height, width))
            found[f"resnet{depth}_v2_{height}x{width}"] = logits.numpy()


def multi_step_name(depth: int):
    """torch's name -> ours, where each stage has `depth` blocks."""
    fixed = {"conv1": "stem_conv", "fc": "logits", "bn": "head_norm", "bn1": "unused_norm"}

    def name_of(name: str, _tensor) -> str:
        layer, variable = name.rsplit(".", 1)
        if layer == "ks":
            index = int(variable)
            return f"stage{index // depth + 1}_block{index % depth + 1}_step/k"
        if layer in fixed:
            ours = fixed[layer]
        elif found := re.fullmatch(r"downsample(\d)1?\.downsample\.([02])", layer):
            kind = {"0": "norm", "2": "conv"}[found[2]]
            ours = f"stage{found[1]}_block1_shortcut_{kind}"
        else:
            index, part = re.fullmatch(r"blocks\.(\d+)\.(.*)", layer).groups()
            stage, block = divmod(int(index), depth)
            ours = f"stage{stage + 1}_block{block + 1}_{part.replace('bn', 'norm')}"
        if "norm" in ours:
            return f"{ours}/{VARIABLES[variable]}"
        return f"{ours}/{'kernel' if variable == 'weight' else 'bias'}"

    return name_of


def multi_step(authors, layers: int):
    """LM-ResNet of so many layers; its average takes any map."""
    depth, block = LAYERS[layers]
    kind = getattr(authors, block)
    network = authors.MResNet(kind, [depth] * 3, pretrain=False, num_classes=CLASSES)
    fill(network, multi_step_name(depth))
    for k in network.ks:
        k.copy_(1 - k)
    network.avgpool = torch.nn.AdaptiveAvgPool2d(1)
    return network


def multi_steps(authors, found: dict) -> None:
    for layers in LAYERS:
        network = multi_step(authors, layers).eval()
        for height, width in ((32, 32), (37, 34)):
            logits = network(pictures("cifar", 2, height, width))
            found[f"lm_resnet{layers}_{height}x{width}"] = logits.numpy()
        found[f"lm_resnet{layers}_params"] = sum(p.numel() for p in network.parameters())


def load(path: str):
    sys.modules["init"] = types.ModuleType("init")  # the file imports it and uses nothing of it
    spec = importlib.util.spec_from_file_location("authors", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    outputs: dict = {}
    with torch.no_grad():
        resnets(outputs)
        multi_steps(load(sys.argv[1]), outputs)
    np.savez_compressed(OUTPUT, **outputs)

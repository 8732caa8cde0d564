"""What the layers of GoogLeNet and of the Inception networks are called in others' files."""

from __future__ import annotations

import re
from collections.abc import Iterable

_BRANCH = re.compile(r"(\w+?)_branch(\d)_(row_|column_)?(conv|norm)(\d?)")


def keras_order(layers: Iterable[str]) -> dict[str, str]:
    """Keras numbers the layers of these two networks as they are made: "conv2d#0", ...

    Ours are made in the same order. A few of Inception-ResNet's have names.
    """
    layers, theirs = list(layers), {"logits": "predictions"}
    kinds = {"conv": "conv2d", "norm": "batch_normalization"}
    numbered = []
    for layer in layers:
        block = re.fullmatch(r"stage(\d+)_block(\d+)_up", layer)
        if block:
            theirs[layer] = "block{}_{}_conv".format(*block.groups())
        elif layer.startswith("last_"):
            theirs[layer] = "conv_7b" if layer == "last_conv" else "conv_7b_bn"
        elif layer != "logits":
            numbered.append(layer)
    for kind, keras_name in kinds.items():
        ours = sorted((n for n in numbered if f"_{kind}" in n), key=_place)
        theirs |= {layer: f"{keras_name}#{index}" for index, layer in enumerate(ours)}
    return {layer: name for layer, name in theirs.items() if layer in layers}


def _place(layer: str) -> tuple:
    """Where in the network a layer comes: module, block, branch, then along the branch."""
    stem = re.fullmatch(r"stem_(?:conv|norm)(\d)", layer)
    if stem:
        return ("", int(stem[1]))
    part, branch, fork, _, index = _BRANCH.fullmatch(layer).groups()
    part = part.removesuffix("_mixed")
    block = re.fullmatch(r"stage(\d+)_block(\d+)", part)
    if block:  # stages 35, 17 and 8 follow the modules 5b, 6a and 7a
        module = {"35": "mixed5b", "17": "mixed6a", "8": "mixed7a"}[block[1]]
        place = (module, int(block[2]))
    else:
        place = (part, 0)
    last = {None: int(index or 0), "row_": 8, "column_": 9}[fork]
    return (*place, int(branch), last)


def googlenet_torch(layer: str) -> str | None:
    kinds = {"conv": "conv", "norm": "bn"}
    head = re.fullmatch(r"(aux\d)_(?:(conv|norm)|(fc)|(logits))", layer)
    if head:
        name, kind, hidden, _ = head.groups()
        return f"{name}.conv.{kinds[kind]}" if kind else f"{name}.{'fc1' if hidden else 'fc2'}"
    stem = re.fullmatch(r"stem_(conv|norm)(\d)", layer)
    if stem:
        return f"conv{stem[2]}.{kinds[stem[1]]}"
    module = _BRANCH.fullmatch(layer)
    if not module:
        return {"logits": "fc"}.get(layer)
    part, branch, _, kind, index = module.groups()
    place = {"1": "", "4": ".1"}.get(branch, f".{int(index) - 1}")
    return f"{part}.branch{branch}{place}.{kinds[kind]}"


def googlenet_caffe(layer: str) -> str | None:
    fixed = {
        "stem_conv1": "conv1/7x7_s2",
        "stem_conv2": "conv2/3x3_reduce",
        "stem_conv3": "conv2/3x3",
        "logits": "loss3/classifier",
    }
    parts = {
        "11": "1x1",
        "21": "3x3_reduce",
        "22": "3x3",
        "31": "5x5_reduce",
        "32": "5x5",
        "42": "pool_proj",
    }
    head = re.fullmatch(r"aux(\d)_(conv|fc|logits)", layer)
    if head:
        return f"loss{head[1]}/{'classifier' if head[2] == 'logits' else head[2]}"
    module = re.fullmatch(r"inception(\d\w)_branch(\d)_conv(\d)", layer)
    return f"inception_{module[1]}/{parts[module[2] + module[3]]}" if module else fixed.get(layer)


def inception_v3_torch(layer: str) -> str | None:
    kinds = {"conv": "conv", "norm": "bn"}
    stems = ("1a_3x3", "2a_3x3", "2b_3x3", "3b_1x1", "4a_3x3")
    stem = re.fullmatch(r"stem_(conv|norm)(\d)", layer)
    if stem:
        return f"Conv2d_{stems[int(stem[2]) - 1]}.{kinds[stem[1]]}"
    head = re.fullmatch(r"aux1_(conv|norm)(\d)", layer)
    if head:
        return f"AuxLogits.conv{int(head[2]) - 1}.{kinds[head[1]]}"
    module = _BRANCH.fullmatch(layer)
    if not module:
        return {"logits": "fc", "aux1_logits": "AuxLogits.fc"}.get(layer)
    part, branch, fork, kind, index = module.groups()
    part = part.removeprefix("mixed")
    chains = {
        "5": ("1x1", "5x5", "3x3dbl", "_pool"),
        "6": ("1x1", "7x7", "7x7dbl", "_pool"),
        "6a": ("3x3", "3x3dbl"),
        "7a": ("3x3", "7x7x3"),
        "7": ("1x1", "3x3", "3x3dbl", "_pool"),
    }
    chain = chains.get(part, chains[part[0]])[int(branch) - 1]
    single = chain in ("1x1", "_pool") or (part == "6a" and branch == "1")
    place = "" if single else f"_{index}"
    if fork:  # after one convolution of branch 2, after two of branch 3
        place = f"_{branch}{'a' if fork == 'row_' else 'b'}"
    return f"Mixed_{part}.branch{chain}{place}.{kinds[kind]}"


def inception_resnet_torch(layer: str) -> str | None:
    """timm's; its branches count from 0, and the last block of stage 8 has a name of its own."""
    kinds = {"conv": "conv", "norm": "bn"}
    stem = re.fullmatch(r"(stem|last)_(conv|norm)(\d?)", layer)
    if stem:
        place = ("7b", "1a", "2a", "2b", "3b", "4a")[int(stem[3] or 0)]
        return f"conv2d_{place}.{kinds[stem[2]]}"
    parts = {"35": "repeat", "17": "repeat_1", "8": "repeat_2"}
    block = re.match(r"stage(\d+)_block(\d+)_", layer)
    within = f"{parts[block[1]]}.{int(block[2]) - 1}" if block else ""
    within = "block8" if within == "repeat_2.9" else within
    if layer.endswith("_up"):
        return f"{within}.conv2d"
    module = _BRANCH.fullmatch(layer)
    if not module:
        return {"logits": "classif"}.get(layer)
    part, branch, _, kind, index = module.groups()
    place = within or part.replace("mixed", "mixed_")
    single = branch == "1" and part != "mixed7a"
    return f"{place}.branch{int(branch) - 1}{'' if single else f'.{int(index) - 1}'}.{kinds[kind]}"

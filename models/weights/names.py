"""What our layers are called in others' files, one function per family; sources.py says whose.

A function takes our layers' names and gives {our layer: theirs}; two of theirs where Caffe splits a
normalisation into BatchNorm and Scale. Layers it does not know are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

Names = dict[str, str | tuple[str, ...]]


def per_layer(rule: Callable[[str], str | tuple[str, ...] | None]) -> Callable:
    """A function of all names from the rule for one."""

    def names(layers: Iterable[str]) -> Names:
        theirs = {layer: rule(layer) for layer in layers}
        return {layer: name for layer, name in theirs.items() if name}

    return names


def _parts(pattern: str, layer: str) -> tuple:
    match = re.fullmatch(pattern, layer)
    return match.groups() if match else ()


def _block(layer: str) -> tuple[int, int, str]:
    """ "stage2_block1_conv3" -> (2, 1, "conv3"); zeros if it is none."""
    parts = _parts(r"stage(\d+)_block(\d+)_(\w+)", layer)
    return (int(parts[0]), int(parts[1]), parts[2]) if parts else (0, 0, "")


def vgg_keras(layer: str) -> str | None:
    return {"logits": "predictions"}.get(layer) or (
        layer if re.fullmatch(r"block\d_conv\d|fc[12]", layer) else None
    )


def vgg_torch(layers: Iterable[str]) -> Names:
    """Positions of one sequence: convolution, norm if any, ReLU; a pooling after each block."""
    theirs: Names = {"fc1": "classifier.0", "fc2": "classifier.3", "logits": "classifier.6"}
    layers = list(layers)
    step = 1 if any("norm" in layer for layer in layers) else 2
    position, before = 0, "1"
    for layer in layers:
        block = _parts(r"block(\d)_(?:conv|norm)\d", layer)
        if block:
            position += block[0] != before
            before = block[0]
            theirs[layer] = f"features.{position}"
            position += 2 if "norm" in layer else step
    return {layer: name for layer, name in theirs.items() if layer in layers}


def vgg_caffe(layer: str) -> str | None:
    fixed = {"fc1": "fc6", "fc2": "fc7", "logits": "fc8"}
    parts = _parts(r"block(\d)_conv(\d)", layer)
    return "conv{}_{}".format(*parts) if parts else fixed.get(layer)


def fcn_caffe(layer: str) -> str | None:
    fixed = {
        "s32_logits": "score_fr",
        "s16_logits": "score_pool4",
        "s8_logits": "score_pool3",
        "s16_scale": "scale_pool4",
        "s8_scale": "scale_pool3",
        "s16_up2x": "upscore2",
        "s8_up2x": "upscore_pool4",
        "up32x": "upscore",
        "up16x": "upscore16",
        "up8x": "upscore8",
    }
    if re.fullmatch(r"conv[1-5]|fc[67]", layer):
        return layer
    return fixed.get(layer) or (vgg_caffe(layer) if layer.startswith("block") else None)


def dilated_caffe(layers: Iterable[str]) -> Names:
    layers = list(layers)
    whole = "context_logits" in layers
    context = ("conv1_1", "conv1_2", "conv2_1", "conv3_1", "conv4_1", "conv5_1", "fc1")
    fixed = {f"context_conv{n}": f"ct_{name}" for n, name in enumerate(context, start=1)}
    fixed |= {"context_logits": "ct_final", "s8_logits": "fc-final" if whole else "final"}
    fixed |= {layer: layer for layer in ("fc6", "fc7")}
    fixed |= {layer: vgg_caffe(layer) for layer in layers if layer.startswith("block")}
    return {layer: name for layer, name in fixed.items() if layer in layers}


def openpose_caffe(layer: str) -> str | None:
    if layer.startswith("features_conv"):
        return f"conv4_{int(layer[-1]) + 2}_CPM"
    parts = _parts(r"stage(\d)_(paf|heat)_(conv\d|logits)", layer)
    if not parts:
        return vgg_caffe(layer) if layer.startswith("block") else None
    stage, branch, kind = parts
    first, branch = stage == "1", {"paf": "L1", "heat": "L2"}[branch]
    number = (5 if first else 7) if kind == "logits" else int(kind[-1])
    return f"conv5_{number}_CPM_{branch}" if first else f"Mconv{number}_stage{stage}_{branch}"


def alexnet_torch(layer: str) -> str | None:
    places = {"conv1": 0, "conv2": 3, "conv3": 6, "conv4": 8, "conv5": 10}
    fixed = {"fc6": "classifier.1", "fc7": "classifier.4", "logits": "classifier.6"}
    return f"features.{places[layer]}" if layer in places else fixed.get(layer)


def alexnet_caffe(layer: str) -> str | None:
    same_name = re.fullmatch(r"conv[1-5]|fc[67]", layer)
    return layer if same_name else {"logits": "fc8"}.get(layer)


def resnet_keras(layer: str) -> str | None:
    fixed = {"stem_conv": "conv1_conv", "stem_norm": "conv1_bn", "logits": "predictions"}
    stage, block, part = _block(layer)
    index = "0" if "shortcut" in part else part[-1:]
    kind = "conv" if "conv" in part else "bn"
    return f"conv{stage + 1}_block{block}_{index}_{kind}" if stage else fixed.get(layer)


def resnet_v2_keras(layer: str) -> str | None:
    fixed = {"stem_conv": "conv1_conv", "head_norm": "post_bn", "logits": "predictions"}
    stage, block, part = _block(layer)
    part = {
        "shortcut_conv": "0_conv",
        "norm1": "preact_bn",
        "conv1": "1_conv",
        "norm2": "1_bn",
        "conv2": "2_conv",
        "norm3": "2_bn",
        "conv3": "3_conv",
    }.get(part)
    return f"conv{stage + 1}_block{block}_{part}" if stage and part else fixed.get(layer)


def resnet_torch(layer: str) -> str | None:
    fixed = {"stem_conv": "conv1", "stem_norm": "bn1", "logits": "fc"}
    stage, block, part = _block(layer)
    shortcut = {"shortcut_conv": "downsample.0", "shortcut_norm": "downsample.1"}
    part = shortcut.get(part, part.replace("norm", "bn"))
    return f"layer{stage}.{block - 1}.{part}" if stage else fixed.get(layer)


def resnet_v2_torch(layer: str) -> str | None:
    fixed = {"stem_conv": "stem.conv", "head_norm": "norm", "logits": "head.fc"}
    stage, block, part = _block(layer)
    part = {"shortcut_conv": "downsample.conv"}.get(part, part)
    return f"stages.{stage - 1}.blocks.{block - 1}.{part}" if stage else fixed.get(layer)


def resnet_caffe(layers: Iterable[str]) -> Names:
    """Blocks are a, b, c, ...; in the long stages of 101 and 152 a, b1, b2, ..."""
    layers = list(layers)
    depths = {stage: 0 for stage in range(5)}
    for layer in layers:
        stage, block, _ = _block(layer)
        depths[stage] = max(depths[stage], block)

    def rule(layer: str):
        fixed = {
            "stem_conv": "conv1",
            "stem_norm": ("bn_conv1", "scale_conv1"),
            "logits": "fc1000",
        }
        stage, block, part = _block(layer)
        if not stage:
            return fixed.get(layer)
        long = stage in (2, 3) and depths[3] > 6
        name = f"{stage + 1}" + ("a" if block == 1 else f"b{block - 1}" if long else "")
        name += "" if block == 1 or long else "abcdef"[block - 1]
        branch = "1" if "shortcut" in part else "2" + "abc"[int(part[-1]) - 1]
        name = f"{name}_branch{branch}"
        return f"res{name}" if "conv" in part else (f"bn{name}", f"scale{name}")

    return per_layer(rule)(layers)


def mobilenet_keras(layer: str) -> str | None:
    fixed = {"stem_conv": "conv1", "stem_conv_norm": "conv1_bn", "logits": "conv_preds"}
    parts = _parts(r"block(\d+)_(depthwise|pointwise)(_norm)?", layer)
    if not parts:
        return fixed.get(layer)
    block, kind, norm = parts
    return f"conv_{ {'depthwise': 'dw', 'pointwise': 'pw'}[kind] }_{block}{'_bn' if norm else ''}"


def mobilenet_v2_keras(layer: str) -> str | None:
    fixed = {
        "stem_conv": "Conv1",
        "stem_conv_norm": "bn_Conv1",
        "head_conv": "Conv_1",
        "head_conv_norm": "Conv_1_bn",
        "logits": "predictions",
    }
    parts = _parts(r"block(\d+)_(expand|depthwise|project)(_norm)?", layer)
    if not parts:
        return fixed.get(layer)
    block, kind, norm = parts
    prefix = "expanded_conv" if block == "0" else f"block_{block}"
    return f"{prefix}_{kind}{'_BN' if norm else ''}"


def mobilenet_v3_keras(layer: str) -> str | None:
    fixed = {
        "stem_conv": "conv",
        "stem_conv_norm": "conv_bn",
        "head_conv": "conv_1",
        "head_conv_norm": "conv_1_bn",
        "fc": "conv_2",
        "logits": "logits",
    }
    parts = _parts(r"block(\d+)_(expand|depthwise|project|squeeze_conv\d)(_norm)?", layer)
    if not parts:
        return fixed.get(layer)
    block, kind, norm = parts
    squeeze = {"squeeze_conv1": "squeeze_excite_conv", "squeeze_conv2": "squeeze_excite_conv_1"}
    prefix = "expanded_conv" if block == "0" else f"expanded_conv_{block}"
    return f"{prefix}_{squeeze.get(kind, kind)}{'_bn' if norm else ''}"


def darknet_order(layers: Iterable[str]) -> Names:
    """The .cfg's order: by stage the strided layer, of CSP the two halves, blocks, what follows.

    Of a detector the layers of its body.
    """
    parts = {"down": 0, "skip": 1, "split": 2, "block": 3, "conv": 3, "end": 4, "join": 5}

    def place(layer: str) -> tuple[int, ...]:
        if layer in ("stem_conv", "logits"):
            return (0,) if layer == "stem_conv" else (100,)
        stage, part, numbers = re.fullmatch(r"stage(\d)_([a-z]+)(.*)", layer).groups()
        return (int(stage), parts[part], *map(int, re.findall(r"\d+", numbers)))

    kernels = [layer for layer in layers if re.fullmatch(r"stem_.*|stage\d_.*|logits", layer)]
    kernels = [layer for layer in kernels if not layer.endswith("_norm")]
    return {layer: layer for layer in sorted(kernels, key=place)}


def yolo_order(layers: Iterable[str]) -> Names:
    """The .cfg's order of a detector: its body, then the levels, the coarsest first."""
    parts = {"reduce": 0, "conv": 1, "passthrough": 2, "join": 3, "logits": 4}

    def place(layer: str) -> tuple[int, ...]:
        stride, part, number = re.fullmatch(r"s(\d+)_([a-z]+)(\d*)", layer).groups()
        return (-int(stride), parts[part], int(number or 0))

    layers = list(layers)
    own = [layer for layer in layers if re.fullmatch(r"s\d+_[a-z]+\d*", layer)]
    body = darknet_order(layer for layer in layers if layer != "logits")
    return body | {layer: layer for layer in sorted(own, key=place)}


def yolov4_order(layers: Iterable[str]) -> Names:
    """Its body, the way up from the coarsest map, the way down with a head at each."""
    ways = {"neck32": 0, "neck16": 1, "neck8": 2, "s8": 3, "s16": 4, "s32": 5}
    parts = {"reduce": 0, "down": 0, "lateral": 1, "conv": 2, "logits": 3}

    def place(layer: str) -> tuple[int, ...]:
        way, part, number = re.fullmatch(r"([a-z]+\d+)_([a-z]+)(\d*)", layer).groups()
        return (ways[way], parts[part], int(number or 0))

    layers = list(layers)
    own = [layer for layer in layers if re.fullmatch(r"(neck|s)\d+_[a-z]+\d*", layer)]
    body = darknet_order(layer for layer in layers if layer != "logits")
    return body | {layer: layer for layer in sorted(own, key=place)}


def yolov1_order(layers: Iterable[str]) -> Names:
    """One layer after the other."""
    return {layer: layer for layer in layers if not layer.endswith("_norm")}


def in_order(layers: Iterable[str]) -> Names:
    """Of a .cfg whose layers come as ours do."""
    return {layer: layer for layer in layers}

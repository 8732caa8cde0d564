"""Features of trained networks with one linear layer on top, as one network.

Papers: DeCAF https://arxiv.org/abs/1310.1531; Razavian https://arxiv.org/abs/1403.6382. One network
gives its graph as it is, up to the layer read; several stand side by side in it as layers of their
own, named after them, and their features follow each other in one vector.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence

import keras

from convoy.models import count
from convoy.models.classification import task
from convoy.models.spec import ModelInfo, Task

FEATURES = "features"  # the layer whose output [B, D] the head sees before any scaling
HEAD = "logits"
TASK = "classification"  # of the networks and of what is learnt


def read(model: keras.Model, layer: str | None):
    """The tensor [B, D] of a layer; None: of what the network's last layer sees.

    Maps are averaged over their positions.
    """
    names = [each.name for each in model.layers]
    if layer is None:
        x = model.get_layer(HEAD).input
    elif layer in names:
        x = model.get_layer(layer).output
    else:
        close = difflib.get_close_matches(layer, names, n=3, cutoff=0.0)
        raise ValueError(
            f"model.feature_layer: {model.name} has no layer {layer!r}; the closest are "
            f"{', '.join(close)}"
        )
    if len(x.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(name="feature_pool")(x)
    return x


def build(
    networks: Sequence[tuple[str, keras.Model, str | None]],
    info: ModelInfo,
    *,
    num_classes: int,
    unit_length: bool = False,
    label_smoothing: float = 0.0,
) -> Task:
    """(name, network, layer to read) each -> pictures [B, H, W, C] -> logits [B, num_classes].

    info: of the first network; its size is the input's, to which a network of another size gets
    the pictures resized. unit_length: feature vectors divided by their L2 norms. The backbone runs
    in inference mode, as BatchNorm's statistics are part of its weights.
    """
    if len(networks) == 1 and networks[0][2] != HEAD:  # whose name the new head takes
        _, model, layer = networks[0]
        image, x = model.input, read(model, layer)
    else:
        image = keras.Input(info.preprocess.shape, dtype="float32", name="image")
        inside = part_names([name for name, _, _ in networks])
        parts = [
            _inside(model, layer, image, name)
            for (_, model, layer), name in zip(networks, inside, strict=True)
        ]
        x = keras.layers.Concatenate(name="joined")(parts) if len(parts) > 1 else parts[0]
    x = keras.layers.Activation("linear", dtype="float32", name=FEATURES)(x)
    backbone = keras.Model(image, x, name="backbone")
    for layer in backbone.layers:
        layer.trainable = False
    if unit_length:
        x = keras.layers.UnitNormalization(dtype="float32", name="unit_length")(x)
    logits = keras.layers.Dense(num_classes, dtype="float32", name=HEAD)(x)
    name = "_and_".join(name for name, _, _ in networks)
    whole = keras.Model(image, logits, name=name)
    info = dataclasses.replace(
        info, name=name, num_classes=num_classes, params=count.params(whole), macs=_macs(whole)
    )
    return task.build(whole, info, label_smoothing)


def part_names(names: Sequence[str]) -> list[str]:
    """What the parts of a joined network are called in it: each one's name and place."""
    return [f"{name}_{place}" for place, name in enumerate(names, start=1)]


def _inside(model: keras.Model, layer: str | None, image, name: str):
    """A network's features of `image`, with the network as one layer."""
    if model.input.shape[-1] != image.shape[-1]:
        raise ValueError(
            f"model.features: {model.name} takes {model.input.shape[-1]} channels, the first "
            f"network {image.shape[-1]}"
        )
    part = keras.Model(model.input, read(model, layer), name=name)
    size = model.input.shape[1:3]
    if size != image.shape[1:3]:
        image = keras.layers.Resizing(*size, dtype="float32", name=f"{name}_resize")(image)
    return part(image)


def _macs(model: keras.Model) -> int:
    """Of all layers, those inside of layers too."""
    inside = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    return count.macs(model) + sum(count.macs(layer) for layer in inside)

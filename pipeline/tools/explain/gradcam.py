"""Grad-CAM: where the maps of a layer speak for a class.

Selvaraju 2016, Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization,
https://arxiv.org/abs/1610.02391, equations 1 and 2. With the maps A^k [h, w] of a layer and the
logit y^c of class c,

    alpha_k^c = 1 / (h w)  sum_ij  d y^c / d A^k_ij
    L^c       = ReLU( sum_k alpha_k^c A^k )
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from convoy.models.structure import Line, lines

_POINTWISE = ("Activation", "Add", "BatchNorm", "BatchNormalization", "Concatenate", "ReLU")


def gradcam(
    model: keras.Model, image: np.ndarray, class_id: int, layer: str
) -> tuple[np.ndarray, np.ndarray]:
    """(L^c [h, w] >= 0, alpha^c [K]) of one image [H, W, C]; the model's output has the logits."""
    maps, logits = activations(model, [layer]), main_logits(model.output)
    probe = keras.Model(model.input, [maps[layer], logits])
    with tf.GradientTape() as tape:
        inputs = tf.convert_to_tensor(image[None], tf.float32)
        tape.watch(inputs)  # a network of no trainable weights is recorded too
        feature_map, scores = probe(inputs, training=False)
        score = scores[:, class_id]
    gradient = tape.gradient(score, feature_map)
    if gradient is None:
        raise ValueError(f"{layer}: the logits do not depend on this layer")
    alpha = np.mean(tf.cast(gradient, tf.float32).numpy()[0], axis=(0, 1))
    heat = tf.cast(feature_map, tf.float32).numpy()[0] @ alpha
    return np.maximum(heat, 0.0), alpha


def activations(model: keras.Model, names: list[str]) -> dict:
    """Outputs of layers, which must be maps [B, h, w, K], by name. Raises ValueError."""
    line_of = {line.name: line for line in lines(model)}
    for name in names:
        if name not in line_of:
            raise ValueError(f"{model.name} has no layer {name!r}; `convoy models` lists them")
        if len(line_of[name].size) != 3:
            raise ValueError(
                f"{name}: expected a layer of maps, its output is {line_of[name].size}"
            )
    return {name: model.get_layer(name).output for name in names}


def main_logits(outputs):
    """The logits of a network that may have other outputs beside them."""
    return outputs["logits"] if isinstance(outputs, dict) else outputs


def last_maps(layers: list[Line]) -> str:
    """The last convolution's layer with more than one position, behind its norm and activation."""
    convolutions = [n for n, line in enumerate(layers) if line.kernel and line.macs and line.is_map]
    if not convolutions:
        raise ValueError("the network has no convolution whose map has more than one position")
    line = layers[convolutions[-1]]
    while True:
        behind = [reader for reader in layers if line.name in reader.inputs]
        if len(behind) != 1 or behind[0].kind not in _POINTWISE:
            return line.name
        line = behind[0]


def stage_ends(layers: list[Line], detects: bool = False) -> list[str]:
    """The last layer before each reduction of the map's size, and a classifier's last maps.

    Where several layers are reduced, as by a block and its shortcut, the first of them ends the
    stage. Maps of one position, and those before any convolution, are left out.
    """
    line_of = {line.name: line for line in layers}
    ends: dict[tuple[int, ...], Line] = {}
    for line in layers:
        if not (line.stride and max(line.stride) > 1):
            continue
        before = line_of[line.inputs[0]]
        while before.padding and not before.kernel:  # zero padding only prepares the reduction
            before = line_of[before.inputs[0]]
        earlier = ends.get(before.size[:2])
        if before.is_map and before.depth and (earlier is None or before.depth < earlier.depth):
            ends[before.size[:2]] = before
    names = [line.name for line in sorted(ends.values(), key=lambda line: -line.size[0])]
    if detects:
        return names
    final = last_maps(layers)
    return names if line_of[final].size[:2] in ends else [*names, final]

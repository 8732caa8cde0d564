"""What a picture's maps differ in from a content's maps and from a style's Gram matrices.

Gatys, Ecker, Bethge 2016, Image Style Transfer Using Convolutional Neural Networks (CVPR),
equations 1 to 7. With the maps F [M, N] of a layer, M positions of N channels,

    L_content = 1/2 sum (F - P)^2
    G         = F' F
    E         = 1 / (4 N^2 M^2) sum (G - A)^2,    L_style = sum_l w_l E_l
    L         = content_weight L_content + style_weight L_style

Here G is divided by M at once, so that the style's picture may have another size; of equal sizes
the numbers are the paper's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Targets:
    """What is wanted: maps by layer, Gram matrices by layer, and how much each part counts."""

    content: Mapping[str, tf.Tensor]  # [1, h, w, N]
    style: Mapping[str, tf.Tensor]  # [N, N], as `gram` gives them
    content_weight: float
    style_weight: float  # each layer's is an equal part of it, the paper's w_l


def gram(maps: tf.Tensor) -> tf.Tensor:
    """[1, h, w, N] -> [N, N]: products of two channels, their mean over the positions."""
    flat = tf.reshape(maps, (-1, maps.shape[-1]))
    return tf.matmul(flat, flat, transpose_a=True) / tf.cast(tf.shape(flat)[0], flat.dtype)


def content_loss(maps: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Equation 1, a number."""
    return 0.5 * tf.reduce_sum(tf.square(maps - wanted))


def style_loss(maps: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Equation 4 of one layer, a number; wanted [N, N] is a Gram matrix."""
    return tf.reduce_sum(tf.square(gram(maps) - wanted)) / (4.0 * maps.shape[-1] ** 2)


def total(maps: Mapping[str, tf.Tensor], targets: Targets) -> dict[str, tf.Tensor]:
    """loss, and its parts content_loss and style_loss, already weighted."""
    content = tf.add_n([content_loss(maps[name], want) for name, want in targets.content.items()])
    each = [style_loss(maps[name], want) for name, want in targets.style.items()]
    content, style = targets.content_weight * content, targets.style_weight * tf.add_n(each)
    style /= len(each)
    return {"loss": content + style, "content_loss": content, "style_loss": style}

"""What the Inception networks are made of: convolutions in branches side by side.

A branch is a chain of steps, each a convolution (filters, kernel) or (filters, kernel, stride), or
a pooling (kind, stride) with kind "max" or "average", always over 3x3. A kernel is a side or
(height, width). Layers are named NAME_branchB_convI, _normI, _reluI and _poolI, B and I from 1.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import keras

from convoy.models import layers

NORM = {"epsilon": 1e-3, "momentum": 0.9}


def glorot(role: str) -> str:
    """Keras' own start, whatever the role."""
    return layers.GLOROT


@dataclasses.dataclass(frozen=True)
class Style:
    """In what the networks' layers differ.

    norm: BatchNorm after each convolution, which then has no bias; gamma: the norm has one.
    strided: padding where the stride is 2, "valid" or "same" (1: always "same").
    count_padding: average pooling divides by 9 at the border too, zeros included, as PyTorch does.
    start: makes a kernel's initialiser by the convolution's role: "conv"; "reduce", the 1x1 that a
    longer branch begins with; "pooled", the one behind a branch's pooling.
    bias: of convolutions without BatchNorm.
    """

    norm: bool = True
    gamma: bool = False
    strided: str = "valid"
    count_padding: bool = False
    start: Callable[[str], keras.initializers.Initializer | str] = glorot
    bias: float = 0.0


def conv(x, filters, kernel, stride=1, *, style, name, index="", padding=None, role="conv"):
    """Convolution, BatchNorm (if the style has it) and ReLU; padding None: as the style says.

    role: what the style's start makes of it.
    """
    x = keras.layers.Conv2D(
        filters,
        kernel,
        stride,
        padding=padding or ("same" if stride == 1 else style.strided),
        use_bias=not style.norm,
        kernel_initializer=style.start(role),
        bias_initializer=keras.initializers.Constant(style.bias),
        name=f"{name}_conv{index}",
    )(x)
    if style.norm:
        x = layers.BatchNorm(**NORM, scale=style.gamma, name=f"{name}_norm{index}")(x)
    return keras.layers.Activation("relu", name=f"{name}_relu{index}")(x)


def pool(x, kind: str, stride: int, *, style: Style, name: str):
    """3x3 pooling, "max" or "average"."""
    padding = "same" if stride == 1 else style.strided
    if kind == "max":
        return keras.layers.MaxPooling2D(3, stride, padding=padding, name=name)(x)
    if style.count_padding and padding == "same":
        x, padding = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x), "valid"
    return keras.layers.AveragePooling2D(3, stride, padding=padding, name=name)(x)


def chain(x, steps, *, style: Style, name: str):
    """The steps of one branch, one after the other."""
    role = "reduce" if len(steps) > 1 else "conv"
    for index, step in enumerate(steps, start=1):
        if isinstance(step[0], str):
            x, role = pool(x, *step, style=style, name=f"{name}_pool{index}"), "pooled"
        else:
            x, role = conv(x, *step, style=style, name=name, index=index, role=role), "conv"
    return x


def mixed(x, *branches, style: Style, name: str):
    """An Inception module: the branches' maps, concatenated."""
    found = [
        chain(x, steps, style=style, name=f"{name}_branch{index}")
        for index, steps in enumerate(branches, start=1)
    ]
    return keras.layers.Concatenate(name=name)(found)

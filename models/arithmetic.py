"""The arithmetic of convolutional networks, in NumPy: sizes, counts, kernels, gradients by hand.

Pictures and maps are [H, W]; floats are float64. "Correlation" slides a kernel as networks do,
"convolution" turns it by 180 degrees first. The worked examples of the course are the tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

KERNELS = {
    "identity": np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]], float),
    "mean": np.full((3, 3), 1 / 9),
    "cross_mean": np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]]) / 5,
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]], float),
    "edge": np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]], float),
    "horizontal_edge": np.array([[1, 2, 1], [0, 0, 0], [-1, -2, -1]], float),
    "vertical_edge": np.array([[1, 0, -1], [2, 0, -2], [1, 0, -1]], float),
}
POOLINGS = ("max", "average", "l2", "distance")


class DoesNotFit(ValueError):
    """A window does not tile its input: the size of the output is not whole."""


# --- sizes and counts ------------------------------------------------------------------------


def output_size(n: int, f: int, s: int = 1, p: int = 0, *, strict: bool = False) -> int:
    """floor((n + 2p - f) / s) + 1 positions of a window f in n values, p padded on each side.

    strict: raises DoesNotFit where the last window does not end with the input.
    """
    steps, remainder = divmod(n + 2 * p - f, s)
    if steps < 0:
        raise DoesNotFit(f"a window of {f} is larger than {n} values with {p} padded on each side")
    if strict and remainder:
        exact = (n + 2 * p - f) / s + 1
        raise DoesNotFit(f"({n} + 2*{p} - {f}) / {s} + 1 = {exact:.2f} doesn't fit: not whole")
    return steps + 1


def transposed_output_size(n: int, f: int, s: int = 1, p: int = 0, extra: int = 0) -> int:
    """s (n - 1) + f - 2p + extra; `extra` in 0..s-1 tells which of s sizes is meant."""
    if not 0 <= extra < s:
        raise ValueError(f"extra: expected 0 to {s - 1}, got {extra}")
    return s * (n - 1) + f - 2 * p + extra


def same_padding(f: int) -> int:
    """(f - 1) / 2, which keeps the size at stride 1; f must be odd."""
    if f % 2 == 0:
        raise DoesNotFit(f"a window of {f} has no centre: no equal padding keeps the size")
    return (f - 1) // 2


def conv_parameters(
    filters: int, f: int, channels: int, *, bias: bool = True, groups: int = 1
) -> int:
    """Weights and biases of a convolution with f x f windows."""
    if channels % groups or filters % groups:
        raise ValueError(f"{groups} groups do not divide {channels} and {filters} channels")
    return filters * (f * f * channels // groups + bias)


def dense_parameters(inputs: int, outputs: int, *, bias: bool = True) -> int:
    """Weights and biases of a fully connected layer."""
    return outputs * (inputs + bias)


class Field(NamedTuple):
    """What one value of a map sees of the input, along one side."""

    size: int  # pixels
    stride: int  # pixels between neighbours of the map
    start: float  # centre of the first value, where pixel 0 has its centre at 0.5


def receptive_field(layers: Iterable[tuple[int, int, int]]) -> Field:
    """Of (f, s, p) layers, the input's first; a dilated window counts with its full extent."""
    size, stride, start = 1, 1, 0.5
    for f, s, p in layers:
        start += ((f - 1) / 2 - p) * stride
        size += (f - 1) * stride
        stride *= s
    return Field(size, stride, start)


# --- convolution -----------------------------------------------------------------------------


def correlate(image, kernel, stride: int = 1, padding: int = 0) -> np.ndarray:
    """out(i, j) = sum_ab image(s i + a, s j + b) kernel(a, b): what networks call convolution."""
    image, kernel = np.pad(np.asarray(image, float), padding), np.asarray(kernel, float)
    for n, f in zip(image.shape, kernel.shape, strict=True):
        output_size(n, f, stride)
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape)
    return np.einsum("ijab,ab->ij", windows[::stride, ::stride], kernel)


def convolve(image, kernel, stride: int = 1, padding: int = 0) -> np.ndarray:
    """(image * kernel): correlation with the kernel turned by 180 degrees."""
    return correlate(image, rot180(kernel), stride, padding)


def correlate_channels(image, filters, biases=0.0, stride: int = 1, padding: int = 0) -> np.ndarray:
    """What a layer computes: [H, W, C] by filters [f, f, C, K] -> [h, w, K].

    A filter is C kernels on top of each other; it moves along rows and columns alone.
    """
    image, filters = np.asarray(image, float), np.asarray(filters, float)
    if image.shape[-1] != filters.shape[2]:
        raise ValueError(f"{image.shape[-1]} channels, but filters for {filters.shape[2]}")
    maps = [
        sum(
            correlate(image[..., c], filters[..., c, k], stride, padding)
            for c in range(filters.shape[2])
        )
        for k in range(filters.shape[3])
    ]
    return np.stack(maps, axis=-1) + np.asarray(biases, float)


def rot180(kernel) -> np.ndarray:
    """The kernel turned by 180 degrees."""
    return np.asarray(kernel, float)[::-1, ::-1]


def convolution_matrix(kernel, shape: tuple[int, int], stride: int = 1) -> np.ndarray:
    """[outputs, H * W] such that correlate(x, kernel, stride) = (matrix @ x.ravel()) reshaped.

    Its transpose is the transposed convolution.
    """
    kernel = np.asarray(kernel, float)
    rows, columns = (output_size(n, f, stride) for n, f in zip(shape, kernel.shape, strict=True))
    matrix = np.zeros((rows, columns, *shape))
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride, j * stride
            matrix[i, j, top : top + kernel.shape[0], left : left + kernel.shape[1]] = kernel
    return matrix.reshape(rows * columns, -1)


def transposed_convolution(z, kernel, stride: int = 1) -> np.ndarray:
    """Each value of z adds its multiple of the kernel: the transpose of the convolution."""
    z, kernel = np.asarray(z, float), np.asarray(kernel, float)
    shape = tuple(
        transposed_output_size(n, f, stride) for n, f in zip(z.shape, kernel.shape, strict=True)
    )
    return (convolution_matrix(kernel, shape, stride).T @ z.ravel()).reshape(shape)


def correlation_gradients(image, kernel, upstream) -> tuple[np.ndarray, np.ndarray]:
    """(dL/dimage, dL/dkernel) of correlate(image, kernel) for dL/dout = upstream.

    The first is the full correlation of `upstream` with ROT180(kernel), the second correlates
    the image with `upstream`.
    """
    kernel, upstream = np.asarray(kernel, float), np.asarray(upstream, float)
    border = [(f - 1, f - 1) for f in kernel.shape]
    return correlate(np.pad(upstream, border), rot180(kernel)), correlate(image, upstream)


# --- pooling ---------------------------------------------------------------------------------


def pool(image, f: int = 2, stride: int | None = None, kind: str = "max") -> np.ndarray:
    """Pooling by windows of f x f: "max", "average", "l2", "distance".

    "l2" is the root of the sum of squares, "distance" the mean with distance_weights.
    """
    if kind not in POOLINGS:
        raise ValueError(f"pool: expected kind of {', '.join(POOLINGS)}, got {kind!r}")
    stride = stride or f
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(image, float), (f, f))
    windows = windows[::stride, ::stride]
    if kind == "l2":
        return np.sqrt(np.square(windows).sum((2, 3)))
    if kind == "distance":
        return (windows * distance_weights(f)).sum((2, 3))
    return {"max": np.max, "average": np.mean}[kind](windows, axis=(2, 3))


def distance_weights(f: int) -> np.ndarray:
    """[f, f], sum 1: each value weighs 1 / (1 + its distance to the window's centre)."""
    place = np.arange(f) - (f - 1) / 2
    weights = 1 / (1 + np.hypot(place[:, None], place[None]))
    return weights / weights.sum()


def max_pool_mask(image, f: int = 2) -> np.ndarray:
    """[H, W]: 1 where a window's largest value lies (the first of equals), else 0; stride f."""
    image = np.asarray(image, float)
    mask = np.zeros_like(image)
    for i in range(0, image.shape[0] - f + 1, f):
        for j in range(0, image.shape[1] - f + 1, f):
            a, b = divmod(int(np.argmax(image[i : i + f, j : j + f])), f)
            mask[i + a, j + b] = 1
    return mask


def max_pool_gradient(image, upstream, f: int = 2) -> np.ndarray:
    """dL/dimage: the upstream gradient at each window's largest value, 0 elsewhere."""
    mask = max_pool_mask(image, f)
    spread = np.kron(np.asarray(upstream, float), np.ones((f, f)))
    gradient = np.zeros_like(mask)
    gradient[: spread.shape[0], : spread.shape[1]] = spread
    return gradient * mask


def unpool(pooled, mask, f: int = 2) -> np.ndarray:
    """The pooled values at the places that the mask remembers, 0 elsewhere."""
    mask = np.asarray(mask, float)
    spread = np.kron(np.asarray(pooled, float), np.ones((f, f)))
    return spread * mask[: spread.shape[0], : spread.shape[1]]


# --- softmax ---------------------------------------------------------------------------------


def softmax(t) -> np.ndarray:
    """e^t_i / sum_j e^t_j along the last axis."""
    t = np.asarray(t, float)
    e = np.exp(t - t.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def cross_entropy(p, c: int) -> float:
    """-log p_c, in nats."""
    return -math.log(np.asarray(p, float)[c])


def softmax_jacobian(t) -> np.ndarray:
    """[K, K]: d out_i / d t_k = e^t_i (S - e^t_i) / S^2 for i = k, -e^t_i e^t_k / S^2 else."""
    p = softmax(t)
    return np.diag(p) - np.outer(p, p)


def softmax_cross_entropy_gradient(t, c: int) -> np.ndarray:
    """dL/dt of -log softmax(t)_c: p - onehot(c)."""
    gradient = softmax(t)
    gradient[c] -= 1
    return gradient


def linear_gradients(x, w, upstream) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(dL/dx, dL/dw, dL/db) of t = x w + b for dL/dt = upstream; x [N], w [N, K], upstream [K].

    dt/dw = x, dt/db = 1, dt/dx = w.
    """
    x, w, upstream = (np.asarray(values, float) for values in (x, w, upstream))
    return w @ upstream, np.outer(x, upstream), upstream


# --- residual blocks -------------------------------------------------------------------------


def euler_step(x, f, h: float = 1.0):
    """X + h F: Euler's method for dX/dt = F; with h = 1 what a block of ResNet computes."""
    return x + h * f


def multistep(x, previous, f, k: float):
    """(1 - k) X_t + k X_{t-1} + F: what a block of LM-ResNet computes; k = 0: of ResNet."""
    return (1 - k) * x + k * previous + f

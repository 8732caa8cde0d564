"""U-Net's weight map: pixels in the gap between two objects of a class weigh more.

Ronneberger 2015 https://arxiv.org/abs/1505.04597 equation 2:

    w(x) = w_c(x) + w0 exp(-(d1(x) + d2(x))^2 / (2 sigma^2))

d1 and d2 are the distances to the borders of the nearest and the second nearest object; sigma is
about 5 pixels, w0 10. w_c, which balances classes, is `class_weights` here, and the second term
is added to 1. Objects are the connected areas (with their diagonals) of the classes but the first,
which is the background, in which alone the second term is added: there the paper sets a gap
between touching cells, which a network is to learn to keep.
"""

from __future__ import annotations

import numpy as np

SIGMA_PX = 5.0
BACKGROUND, IGNORE = 0, 255


def weight_map(labels, w0: float, sigma: float = SIGMA_PX):
    """[h, w] float32 of labels [h, w] uint8, in tf.data: distances are SciPy's."""
    import tensorflow as tf

    weights = tf.numpy_function(
        lambda values: of_labels(values, w0, sigma), [labels], tf.float32, stateful=False
    )
    return tf.ensure_shape(weights, labels.shape)


def of_labels(labels: np.ndarray, w0: float, sigma: float = SIGMA_PX) -> np.ndarray:
    """1 + w0 exp(-(d1 + d2)^2 / (2 sigma^2)) in the background, 1 elsewhere; float32 [h, w].

    Distances are between centres of pixels. With fewer than two objects all is 1.
    """
    from scipy import ndimage

    weights = np.ones(labels.shape, np.float32)
    near = np.full((2, *labels.shape), np.inf, np.float32)  # the two least distances so far
    found = 0
    for label in np.setdiff1d(labels, (BACKGROUND, IGNORE)):
        areas, count = ndimage.label(labels == label, np.ones((3, 3)))
        for area in range(1, count + 1):
            distance = ndimage.distance_transform_edt(areas != area).astype(np.float32)
            near = np.sort(np.stack([*near, distance]), axis=0)[:2]
        found += count
    if found < 2:
        return weights
    gap = labels == BACKGROUND
    weights[gap] += w0 * np.exp(-np.square(near.sum(axis=0)[gap]) / (2 * sigma**2))
    return weights

"""Center-size coding of boxes against priors, as in SSD and Faster R-CNN: keras.ops alone.

t = [(cy - cy_p) / h_p / 0.1, (cx - cx_p) / w_p / 0.1, log(h / h_p) / 0.2, log(w / w_p) / 0.2]
"""

from __future__ import annotations

import math

from keras import ops

VARIANCES = (0.1, 0.1, 0.2, 0.2)
UNIT = (1.0, 1.0, 1.0, 1.0)  # of region proposal networks
MIN_SIDE_PX = 1e-3  # keeps the logarithm of a degenerate box finite
MAX_LOG = math.log(1000 / 16)  # a decoded side is at most 62.5 times the prior's: no overflow


def encode(boxes, priors, variances=VARIANCES):
    """boxes and priors [..., N, 4] in pixels -> codes [..., N, 4]."""
    center, size = _center_size(boxes)
    prior_center, prior_size = _center_size(priors)
    shift = (center - prior_center) / prior_size
    stretch = ops.log(ops.maximum(size, MIN_SIDE_PX) / prior_size)
    return ops.concatenate([shift, stretch], axis=-1) / ops.convert_to_tensor(variances, "float32")


def decode(codes, priors, variances=VARIANCES):
    """codes [..., N, 4] -> boxes [..., N, 4] in pixels; the inverse of `encode`."""
    codes = ops.cast(codes, "float32") * ops.convert_to_tensor(variances, "float32")
    prior_center, prior_size = _center_size(priors)
    center = prior_center + codes[..., :2] * prior_size
    half = prior_size * ops.exp(ops.minimum(codes[..., 2:], MAX_LOG)) / 2
    return ops.concatenate([center - half, center + half], axis=-1)


def _center_size(boxes):
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, high - low

"""Overlap of boxes [..., 4] = [ymin, xmin, ymax, xmax] in pixels, for losses: keras.ops alone.

What runs in tf.data takes models/boxes.py. Papers: Rezatofighi 2019 (GIoU)
https://arxiv.org/abs/1902.09630; Zheng 2019 (DIoU, CIoU) https://arxiv.org/abs/1911.08287.
a [..., 4] and b [..., 4] broadcast: a[:, :, None] with b[:, None] gives every pair [B, N, M].
All are 1 where both boxes are one box with an area, and finite for boxes without any.
"""

from __future__ import annotations

import math

from keras import ops

LEAST = 1e-9  # of what is divided by, square pixels


def iou(a, b):
    """Intersection over union in [0, 1]. Without area or contact it is 0."""
    return _shared(a, b) / ops.maximum(_union(a, b), LEAST)


def giou(a, b):
    """IoU - (C - union) / C in [-1, 1], C the area of the smallest box around both; equation 2."""
    height, width = _around(a, b)
    around = ops.maximum(height * width, LEAST)
    return iou(a, b) - (around - _union(a, b)) / around


def diou(a, b):
    """IoU - (distance of centres / diagonal of the box around both)^2 in [-1, 1]; equation 7."""
    height, width = _around(a, b)
    diagonal = ops.maximum(ops.square(height) + ops.square(width), LEAST)
    apart = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return iou(a, b) - ops.sum(ops.square(apart), axis=-1) / diagonal


def ciou(a, b):
    """DIoU - v^2 / (1 - IoU + v), v = 4 / pi^2 (atan(w / h) - atan(w' / h'))^2; equations 8 to 10.

    As in the paper (section 3.2) no gradient flows through the factor v / (1 - IoU + v).
    """
    v = ops.square(_angle(a) - _angle(b)) * (4 / math.pi**2)
    factor = ops.stop_gradient(v / ops.maximum(1.0 - iou(a, b) + v, LEAST))
    return diou(a, b) - factor * v


def area(box):
    """[..., 4] -> [...] square pixels; 0 where a side is not positive."""
    height, width = box[..., 2] - box[..., 0], box[..., 3] - box[..., 1]
    return ops.maximum(height, 0.0) * ops.maximum(width, 0.0)


def _shared(a, b):
    height = ops.minimum(a[..., 2], b[..., 2]) - ops.maximum(a[..., 0], b[..., 0])
    width = ops.minimum(a[..., 3], b[..., 3]) - ops.maximum(a[..., 1], b[..., 1])
    return ops.maximum(height, 0.0) * ops.maximum(width, 0.0)


def _union(a, b):
    return area(a) + area(b) - _shared(a, b)


def _around(a, b):
    height = ops.maximum(a[..., 2], b[..., 2]) - ops.minimum(a[..., 0], b[..., 0])
    width = ops.maximum(a[..., 3], b[..., 3]) - ops.minimum(a[..., 1], b[..., 1])
    return height, width


def _angle(box):
    """Of the diagonal; of a box without height that of a thin one, so that it has a gradient."""
    height, width = box[..., 2] - box[..., 0], box[..., 3] - box[..., 1]
    return ops.arctan(width / ops.maximum(height, LEAST))

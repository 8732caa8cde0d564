"""Overlap of boxes [..., 4] = [ymin, xmin, ymax, xmax] in pixels, for losses: keras.ops alone.

What runs in tf.data takes models/boxes.py.
"""

from __future__ import annotations

from keras import ops


def iou(a, b):
    """Intersection over union in [0, 1] of a [..., 4] with b [..., 4]: their shapes broadcast.

    a[:, :, None] with b[:, None] gives every pair [B, N, M]. Without area or contact it is 0.
    """
    height = ops.minimum(a[..., 2], b[..., 2]) - ops.maximum(a[..., 0], b[..., 0])
    width = ops.minimum(a[..., 3], b[..., 3]) - ops.maximum(a[..., 1], b[..., 1])
    shared = ops.maximum(height, 0.0) * ops.maximum(width, 0.0)
    return shared / ops.maximum(area(a) + area(b) - shared, 1e-9)


def area(box):
    """[..., 4] -> [...] square pixels; 0 where a side is not positive."""
    height, width = box[..., 2] - box[..., 0], box[..., 3] - box[..., 1]
    return ops.maximum(height, 0.0) * ops.maximum(width, 0.0)

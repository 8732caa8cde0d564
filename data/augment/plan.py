"""What happens to a block of samples, drawn at once; and their boxes and points moved accordingly.

Training (data.input) and augmented copies (data.augment.offline) both follow such a plan, so equal
keys give equal changes. A block costs hardly more than one sample: almost all of the time of small
TensorFlow operations is overhead.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.data.augment import color, crops, draws, elastic, geometry, noise
from convoy.data.augment.policy import Augment

# Rows: {"key" [B], "matrix" [B, 3, 3]} and, where the policy asks for it, {"field" (elastic)
# [B, F, F, 2], "color" ColorMap, "noise" [B, noise.DRAWS]}.
Plan = dict


def make(policy: Augment, key, height, width, *, aspect=None, boxes=None, valid=None) -> Plan:
    """The plan of B samples; its matrices lead onto a canvas of the picture's own size.

    key: [B] of draws.key_for; height, width: [B] pixels. aspect: width / height of the windows of
    `crop`; None = each picture's own. boxes [B, N, 4] in parts of the sides, valid [B, N] bool.
    """
    window = None
    if crops.active(policy):
        own = tf.cast(width, tf.float32) / tf.cast(height, tf.float32)
        numbers = draws.uniform(key, "window", crops.count(policy))
        window = crops.random_window(
            height, width, policy, numbers, own if aspect is None else aspect, boxes, valid
        )
    numbers = draws.uniform(key, "geometry", geometry.DRAWS)
    plan: Plan = {
        "key": key,
        "matrix": geometry.random_matrix(height, width, policy, numbers, window),
    }
    if policy.elastic:
        normals = draws.normal(key, "elastic", elastic.DRAWS)
        plan["field"] = elastic.field(height, width, policy.elastic, normals)
    if color.active(policy):
        plan["color"] = color.random_map(policy, draws.uniform(key, "color", color.DRAWS))
    if noise.active(policy):
        plan["noise"] = draws.uniform(key, "noise", noise.DRAWS)
    return plan


def move_boxes(policy: Augment, plan: Plan, boxes, height, width, size):
    """boxes [B, N, 4] pixels -> (boxes [B, N, 4] within `size`, keep [B, N] bool).

    Hulls of the moved corners; where the picture is bent, of points along the edges.
    """
    centers = bool(policy.iou_crop)
    if not policy.elastic:
        matrix = plan["matrix"]
        return geometry.transform_boxes(boxes, matrix, size, policy.min_visible, centers)
    points = elastic.outline(boxes)
    moved = move_points(policy, plan, points, height, width)
    return geometry.keep_visible(elastic.hull(moved), size, policy.min_visible, centers)


def move_points(policy: Augment, plan: Plan, points, height, width) -> tf.Tensor:
    """[B, ..., (x, y)] pixels of the pictures -> the same of the canvas."""
    if policy.elastic:
        shape = tf.shape(points)
        flat = tf.reshape(points, [shape[0], -1, 2])
        points = tf.reshape(elastic.unbend(plan["field"], flat, height, width), shape)
    return geometry.transform_points(points, plan["matrix"])


def move_keypoints(policy: Augment, plan: Plan, points, height, width, size, pairs=()):
    """[B, N, K, (y, x, visibility)] moved; see geometry.finish_keypoints."""
    moved = move_points(policy, plan, tf.reverse(points[..., :2], [-1]), height, width)
    return geometry.finish_keypoints(moved, points[..., 2], plan["matrix"], size, pairs)


def finish(image: tf.Tensor, policy: Augment, row: Plan) -> tf.Tensor:
    """Colour and noise of one drawn picture, float [H, W, C] in 0..255."""
    if color.active(policy):
        image = color.recolor(image, row["color"])
    if noise.active(policy):
        image = noise.disturb(image, policy, row["noise"], row["key"])
    return image

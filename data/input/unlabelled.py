"""Where in a picture something is that is not learnt: a map to keep out of a loss.

That is a crowd, a difficult object, one whose keypoints nobody labelled, and one of which too
little is left in the augmented picture. It is drawn by the outlines of the records where they hold
them, else by its box.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.data.augment import plan, render
from convoy.data.augment.policy import Augment


def rows(policy: Augment, parsed: dict, made: plan.Plan, size, most: int) -> dict:
    """Of a block's objects, before they are packed: {"boxes" [B, most, 4], "outlines" [B, most]}.

    Boxes in pixels of the input; rows of 0 and "" behind a picture's last.
    """
    shape = parsed["height"], parsed["width"]
    sides = tf.cast(tf.stack(shape * 2, -1), tf.float32)[:, None, :]
    boxes, keep = plan.move_boxes(policy, made, parsed["boxes"] * sides, *shape, size)
    labelled = tf.reduce_any(parsed["keypoints"][..., 2] > 0, -1)
    left = parsed["there"] & ~(keep & parsed["learn"] & labelled)
    left &= (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    number = tf.shape(left)[1]
    place = tf.range(number) + tf.where(left, 0, number)
    order = tf.math.top_k(-place, tf.minimum(number, most)).indices
    left = tf.gather(left, order, batch_dims=1)
    missing = [[0, 0], [0, most - tf.shape(order)[1]]]
    boxes = tf.where(left[..., None], tf.gather(boxes, order, batch_dims=1), 0.0)
    outlines = tf.where(left, tf.gather(parsed["outlines"], order, batch_dims=1), "")
    boxes, outlines = tf.pad(boxes, [*missing, [0, 0]]), tf.pad(outlines, missing)
    return {
        "boxes": tf.ensure_shape(boxes, [None, most, 4]),
        "outlines": tf.ensure_shape(outlines, [None, most]),
    }


def drawn(row: dict, made: plan.Plan, size: tuple[int, int]) -> tf.Tensor:
    """One of `rows` as [H, W] uint8: 1 where something is."""
    boxes = row["boxes"]
    count = tf.reduce_sum(tf.cast(boxes[:, 2] > boxes[:, 0], tf.int32))
    y, x = (tf.range(side, dtype=tf.float32) + 0.5 for side in size)

    def one(pair):
        box, png = pair

        def filled():
            inside = (y >= box[0]) & (y <= box[2])
            return tf.cast(inside[:, None] & ((x >= box[1]) & (x <= box[3])), tf.uint8)

        def outlined():
            return render.labels(tf.io.decode_png(png, 1), made, size, 0)[..., 0] // 255

        return tf.cond(tf.strings.length(png) > 0, outlined, filled)

    maps = tf.map_fn(
        one,
        (boxes[:count], row["outlines"][:count]),
        fn_output_signature=tf.TensorSpec(size, tf.uint8),
    )
    return tf.reduce_max(maps, axis=0)

"""Each keypoint of one object per picture, on any backbone: by regression, or by heat maps.

keypoint_regression   the last map (stride 32) -> 1x1 convolution -> flat -> J x (y, x), in parts
                      of the input's sides from its middle. Toshev 2014
                      https://arxiv.org/abs/1312.4659 regresses so, with a cascade that is not here.
keypoint_heatmaps     the last map -> 3 x (deconvolution 4x4 by 2, BatchNorm, ReLU) -> 1x1 to J maps
                      of stride 4: Xiao 2018 https://arxiv.org/abs/1804.06208.

The object is the picture's largest that has a keypoint; a picture without one teaches nothing, nor
does a keypoint that is not labelled. Regression has no scores: those of its keypoints are 1.
First weights: the regression's by He's rule, its last layer's N(0, 0.01); of the heat maps' layers
N(0, 0.001), as the authors'.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers, losses
from convoy.models.pose import task
from convoy.models.spec import ModelInfo, Task

NARROW = 128  # channels before the regression's last layer
FILTERS = 256  # of the deconvolutions
STRIDE = 4  # of the heat maps
SIGMA = 2.0 * STRIDE  # pixels of the input
NEAR = 0.01  # of the input's side: below it the regression's loss is a square
NORM = {"epsilon": 1e-5, "momentum": 0.9}


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 17,
    width: float = 1.0,
) -> Task:
    """Finds `num_classes` keypoints, each once.

    width: factor of the channels of the backbone's layers and of the deconvolutions.
    """
    if variant == "keypoint_regression":
        return _regression(variant, info, backbone, num_classes)
    filters = max(8, int(FILTERS * width))
    return _heat_maps(variant, info, backbone, num_classes, filters)


def _regression(variant: str, info: ModelInfo, backbone: keras.Model, count: int) -> Task:
    (x,) = layers.maps_of(variant, backbone, ("s32",))
    x = keras.layers.Conv2D(
        NARROW, 1, activation="relu", kernel_initializer=layers.HE, name="narrow"
    )(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(
        2 * count, kernel_initializer=layers.gaussian(0.01), dtype="float32", name="logits"
    )(x)
    places = keras.layers.Reshape((count, 2), dtype="float32", name="places")(x)
    model = keras.Model(backbone.input, places, name=variant)
    sides = [float(side) for side in info.preprocess.size]

    def encode(annotation):
        from convoy.models.pose import targets

        points, _ = targets.largest(annotation)
        return {"places": points[:, :2] / sides - 0.5, "known": _labelled(points)}

    def loss(targets, outputs):
        known = ops.cast(targets["known"], "float32")
        errors = losses.smooth_l1(targets["places"], outputs, beta=NEAR)
        return {"places": (ops.sum(known[..., None] * errors), ops.sum(known))}

    def decode(outputs):
        import tensorflow as tf

        places = (tf.cast(outputs, tf.float32) + 0.5) * sides
        return tf.pad(places, [[0, 0], [0, 0], [0, 1]], constant_values=1.0)

    return task.single(model, info, encode=encode, loss=loss, decode=decode)


def _heat_maps(
    variant: str, info: ModelInfo, backbone: keras.Model, count: int, filters: int
) -> Task:
    (x,) = layers.maps_of(variant, backbone, ("s32",))
    for index in (1, 2, 3):
        x = keras.layers.Conv2DTranspose(
            filters,
            4,
            2,
            padding="same",
            use_bias=False,
            kernel_initializer=layers.gaussian(0.001),
            name=f"up{index}",
        )(x)
        x = layers.BatchNorm(**NORM, name=f"up{index}_norm")(x)
        x = keras.layers.Activation("relu", name=f"up{index}_relu")(x)
    maps = keras.layers.Conv2D(
        count, 1, kernel_initializer=layers.gaussian(0.001), dtype="float32", name="logits"
    )(x)
    model = keras.Model(backbone.input, maps, name=variant)
    size = tuple(maps.shape[1:3])
    # Of a side that 32 does not divide the last map hangs over: its cells are STRIDE pixels wide.

    def encode(annotation):
        from convoy.models.pose import targets

        points, _ = targets.largest(annotation)
        known = _labelled(points)
        heat = targets.heat_maps(points[None, :, :2], known[None] > 0, size, STRIDE, SIGMA)
        return {"heat": heat, "known": known}

    def loss(targets, outputs):
        known = ops.cast(targets["known"], "float32")
        errors = ops.square(ops.cast(outputs, "float32") - targets["heat"])
        return {"heat": (ops.sum(ops.mean(errors, axis=(1, 2)) * known), ops.sum(known))}

    return task.single(model, info, encode=encode, loss=loss, decode=_highest)


def _labelled(points):
    """[J] float32: 1 of keypoints that are labelled."""
    import tensorflow as tf

    return tf.cast(points[:, 2] > 0, tf.float32)


def _highest(maps):
    """[B, h, w, J] -> [B, J, 3]: the largest cell, a quarter of a cell towards the next larger.

    The score is the map there, 0 to 1; the quarter is Newell's, https://arxiv.org/abs/1603.06937.
    """
    import tensorflow as tf

    maps = tf.transpose(tf.cast(maps, tf.float32), [0, 3, 1, 2])
    height, width = maps.shape[2:]
    flat = tf.reshape(maps, [-1, maps.shape[1], height * width])
    index = tf.argmax(flat, -1, tf.int32)
    rows, columns = index // width, index % width
    shifts = [_quarter(maps, rows, columns, axis) for axis in (0, 1)]
    cells = tf.cast(tf.stack([rows, columns], -1), tf.float32) + tf.stack(shifts, -1) + 0.5
    scores = tf.clip_by_value(tf.reduce_max(flat, -1), 0.0, 1.0)
    return tf.concat([cells * STRIDE, scores[..., None]], -1)


def _quarter(maps, rows, columns, axis: int):
    import tensorflow as tf

    limit = maps.shape[2 + axis] - 1
    own = rows if axis == 0 else columns

    def value(step: int):
        place = tf.clip_by_value(own + step, 0, limit)
        pair = [place, columns] if axis == 0 else [rows, place]
        return tf.gather_nd(maps, tf.stack(pair, -1), batch_dims=2)

    inside = (own > 0) & (own < limit)
    return tf.where(inside, 0.25 * tf.sign(value(1) - value(-1)), 0.0)

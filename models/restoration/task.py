"""A picture restored, as large as it was or larger: what is learnt and what is answered.

A network sees a part of a picture while it learns, and whole pictures, of any size, where it is
served and evaluated. Values are those of 8-bit RGB, 0..255; what is answered is rounded, half up.
"""

from __future__ import annotations

import functools
import io
import math

import keras
import numpy as np
from keras import ops

from convoy.models.restoration import bicubic, color, dbn, enlarge, srcnn
from convoy.models.spec import ModelInfo, Task, seen

REACH = 2  # pixels of the small picture that a pixel of the bicubic one looks at, on each side


def build(model: keras.Model, info: ModelInfo, scale: int = 1) -> Task:
    """Wraps a network of Y, such as SRCNN, or of frames, as DBN.

    scale: sides of what is answered in sides of the picture sent, a whole number. Raises
    ValueError.
    """
    frames = len(model.inputs) > 1
    if frames and scale != 1:
        raise ValueError(
            f"{info.name} answers pictures of the size sent: expected scale 1, got {scale}"
        )
    how = _of_frames(model) if frames else _of_brightness(model, info, scale)
    return Task(
        info=info,
        loss=loss,
        decode=lambda outputs: outputs,
        answer=answer,
        stacked=functools.partial(answer, encoded=False),
        difference=difference,
        **how,
    )


def _of_brightness(model: keras.Model, info: ModelInfo, scale: int) -> dict:
    """What a Task has of a network of RGB -> Y, whose answers have their colours bicubically."""
    margin = srcnn.margin(model)
    # On each side, what is not compared: it would need what lies outside.
    cut = margin + (REACH * scale if scale > 1 else 0)
    if min(side * scale - 2 * cut for side in info.preprocess.size) < 1:
        least = (2 * cut) // scale + 1
        raise ValueError(
            f"{info.name}: expected model.input_size of at least [{least}, {least}] at scale "
            f"{scale}, got {list(info.preprocess.size)}: nothing would be left to compare"
        )
    return {
        "model": srcnn.whole(model),
        "encode": functools.partial(encode, cut=cut, brightness=True),
        "around": functools.partial(around_brightness, scale=scale, margin=margin),
        "wiring": functools.partial(wiring, scale=scale),
    }


def _of_frames(model: keras.Model) -> dict:
    return {
        "model": dbn.whole(model),
        "encode": encode,
        "around": around_frames,
        "wiring": on_frames,
        "takes": ("frames",),
    }


def encode(annotation, *, cut: int = 0, brightness: bool = False) -> dict:
    """{"target" [h, w, 3] of 0..255} -> {"truth" [h - 2 cut, w - 2 cut, 3, or 1 of Y]}."""
    height, width = annotation["target"].shape[:2]
    inside = annotation["target"][cut : height - cut, cut : width - cut]
    return {"truth": color.luma(inside)[..., None] if brightness else inside}


def loss(targets, outputs) -> dict:
    """{"mse": (sum of the squared differences of values / 255, their number)}.

    Dong 2015 equation 5, Su 2017 section 3.
    """
    difference = (ops.cast(outputs, "float32") - targets["truth"]) / 255.0
    return {"mse": (ops.sum(ops.square(difference)), ops.cast(ops.size(difference), "float32"))}


def wiring(model: keras.Model, batch, *, scale: int):
    """Y [B, h, w, 1] of the enlarged pictures of a batch, without what borders would spoil."""
    image = batch["image"]
    if scale > 1:
        image = _batch_enlarged(image, scale)
    return srcnn.without_borders(model, image)


def on_frames(model: keras.Model, batch):
    """RGB [B, H, W, 3] of a batch's pictures and the frames beside them."""
    return model(seen(batch["image"], batch, ("frames",)), training=True)


def _batch_enlarged(image, scale: int):
    """[B, H, W, 3] -> [B, H', W', 3]: bicubic, but for `REACH * scale` pixels on each side."""
    _, height, width, channels = image.shape
    rows = ops.reshape(ops.transpose(image, (1, 2, 0, 3)), (height, width, -1))
    large = bicubic.resize(rows, (height * scale, width * scale))
    cut = REACH * scale
    large = large[cut : height * scale - cut, cut : width * scale - cut]
    sides = (height * scale - 2 * cut, width * scale - 2 * cut)
    return ops.transpose(ops.reshape(large, (*sides, -1, channels)), (2, 0, 1, 3))


def around_brightness(network, *, scale: int, margin: int):
    """RGB [B, H, W, 3] -> {"image" [B, H scale, W scale, 3]} through `network`."""
    import tensorflow as tf

    def call(images):
        restored = tf.map_fn(
            lambda image: enlarge.enlarged(image, scale, network, margin),
            images,
            fn_output_signature=tf.TensorSpec([None, None, 3], tf.float32),
            parallel_iterations=1,
        )
        return {"image": restored}

    return call


def around_frames(network):
    """[RGB [B, H, W, 3], frames [B, H, W, 12]] -> {"image" [B, H, W, 3]}; any H and W."""
    import tensorflow as tf

    def call(inputs):
        height, width = tf.shape(inputs[0])[1], tf.shape(inputs[0])[2]

        def continued(x, side: int, axis: int):
            places = tf.range(side + -side % dbn.STRIDE)
            return tf.gather(x, tf.minimum(places, side - 1), axis=axis)

        padded = [continued(continued(x, height, 1), width, 2) for x in inputs]
        return {"image": network(padded)[:, :height, :width]}

    return call


def answer(decoded, matrices, sizes, names, *, encoded: bool = True) -> dict:
    """image_bytes [B]: PNGs, 8-bit RGB. Not `encoded`: image [B, H, W, 3] uint8 instead."""
    import tensorflow as tf

    values = tf.clip_by_value(tf.floor(decoded["image"] + 0.5), 0.0, 255.0)
    pictures = tf.cast(values, tf.uint8)
    if not encoded:
        return {"image": pictures}
    kind = tf.TensorSpec([], tf.string)
    return {"image_bytes": tf.map_fn(tf.io.encode_png, pictures, fn_output_signature=kind)}


def difference(expected, received, **limits) -> float:
    """The largest difference of two values, in parts of 255; inf for other sizes."""
    worst = 0.0
    for one, other in zip(pictures_of(expected), pictures_of(received), strict=True):
        if one.shape != other.shape:
            return math.inf
        worst = max(worst, float(np.abs(one.astype(np.int16) - other).max()) / 255)
    return worst


def pictures_of(answers) -> list[np.ndarray]:
    """uint8 [H, W, 3] of each picture of a batch of answers, encoded or not."""
    if "image" in answers:
        return list(answers["image"])
    return [decoded_picture(data) for data in answers["image_bytes"]]


def decoded_picture(data: bytes) -> np.ndarray:
    """uint8 [H, W, 3] of an answer's PNG."""
    import PIL.Image

    return np.asarray(PIL.Image.open(io.BytesIO(data)))

"""Encoded pictures of other channels than RGB, or of 16 bits, to what their network sees.

| channels | what is sent |
|---|---|
| 1 | PNG of 8 or 16 bits; JPEG, GIF, BMP as to any network of gray pictures |
| 3 | the same, RGB |
| 4 | RGBA PNG of 8 or 16 bits: four channels, none of them transparency |
| others | a gray PNG of 8 or 16 bits that holds the channels one above the other, [C * H, W] |

Values of 8 bits sent to a network of 16 are taken times 257, of 16 bits sent to one of 8 the upper
8 are seen, as the ingest does. A PNG of another number of channels is refused; of a gray one this
is told by its height, and by the number that it states if it is a record's (data/images/bands.py).
"""

from __future__ import annotations

import functools

import tensorflow as tf

from convoy.models.resize import of_bits, unstacked
from convoy.models.spec import Preprocess
from convoy.serving.decoding import decode_picture

_COLORS = {1: (0, 2, 3, 4, 6), 3: (0, 2, 3, 4, 6), 4: (6,)}  # channels -> PNG's colour types
_TALL = (0,)
_COLOR_AT, _DEPTH_AT, _HEAD = 25, 24, 50  # bytes of a PNG: its header, its first chunk's beginning
_CHUNK_AT, _TOLD = 33, b"tEXtBands\0"  # of a record's PNG, behind the chunk's four bytes of length


@functools.cache
def decoder(preprocess: Preprocess):
    """`decode` for a network, traced once: all signatures call the same graph."""
    return tf.function(
        lambda image_bytes, index: decode(image_bytes, index, preprocess),
        input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)],
        autograph=False,
    ).get_concrete_function()


def decode(image_bytes: tf.Tensor, index: tf.Tensor, preprocess: Preprocess) -> tf.Tensor:
    """[H, W, C] of one encoded picture: uint8, or of 16 bits float32 in 0 to 255.

    `index` is named where it is refused.
    """
    channels, bits = preprocess.channels, preprocess.bits
    # Of a picture that is shorter than a header, the rest of that is zeros.
    head = tf.strings.join([tf.strings.substr(image_bytes, 0, _HEAD), tf.constant(bytes(_HEAD))])
    is_png = tf.strings.substr(head, 0, 4) == b"\x89PNG"
    if channels in (1, 3):
        if bits == 8:
            return decode_picture(image_bytes, index, channels)
        deep = is_png & (tf.strings.substr(head, _DEPTH_AT, 1) == b"\x10")
        return tf.cond(
            deep,
            lambda: _png(image_bytes, channels, bits),
            lambda: tf.cast(decode_picture(image_bytes, index, channels), tf.float32),
        )
    color = tf.strings.substr(head, _COLOR_AT, 1)
    allowed = [bytes([kind]) for kind in _COLORS.get(channels, _TALL)]
    fits = is_png & tf.reduce_any(color == tf.constant(allowed))
    known = tf.debugging.Assert(fits, ["picture", index, _expected(channels, bits)])
    with tf.control_dependencies([known]):
        image_bytes = tf.identity(image_bytes)
    if channels in _COLORS:
        return _png(image_bytes, channels, bits)
    tall = _png(image_bytes, 1, bits)
    count = str(channels).encode()
    first = (len(_TOLD) - 4 + len(count)).to_bytes(4, "big") + _TOLD + count
    told = tf.strings.substr(head, _CHUNK_AT + 4, len(_TOLD)) == _TOLD
    even = (tf.shape(tall)[0] % channels == 0) & (
        ~told | (tf.strings.substr(head, _CHUNK_AT, len(first)) == first)
    )
    whole = tf.debugging.Assert(even, ["picture", index, _expected(channels, bits)])
    with tf.control_dependencies([whole]):
        return unstacked(tf.identity(tall), channels)


def _png(image_bytes: tf.Tensor, channels: int, bits: int) -> tf.Tensor:
    kind = tf.uint16 if bits == 16 else tf.uint8
    image = tf.io.decode_png(image_bytes, channels, kind)
    return of_bits(tf.ensure_shape(image, [None, None, channels]), bits)


def _expected(channels: int, bits: int) -> str:
    text = f"of the request is no picture of {channels} channels: expected "
    if channels in _COLORS:
        return f"{text}an RGBA PNG of {bits} bits"
    return (
        f"{text}a gray PNG of {bits} bits with the channels one above the other, as `convoy "
        "predict` makes it of TIFF and .npy, or ask serving_tensor"
    )

"""Encoded pictures to pixels in the graph, as ingest and training see them; or refused by name.

| kind | how |
|---|---|
| JPEG | by TensorFlow; of four colours (CMYK) refused, as ingest converts it otherwise |
| PNG | by TensorFlow: palettes to their colours, the upper 8 of 16 bits, alpha dropped |
| GIF | its first frame |
| BMP | 24 and 32 bits by TensorFlow; 1, 4 and 8 bits by their palette, here: TensorFlow gives the |
|     | palette's indices for gray levels (2.20); compressed ones and 16 bits are refused |

JPEG and PNG are turned upright as their EXIF says. One channel of a colour picture is what libpng
makes of it, as when a record's PNG is decoded.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.serving import exif

NOT_A_PICTURE = "of the request is not a picture: expected the bytes of a JPEG, PNG, BMP or GIF"
CMYK = "of the request is a JPEG of four colours (CMYK): convert it to RGB"
BMP_KIND = (
    "of the request is a BMP of a kind that is not decoded: expected 1, 4, 8, 24 or 32 bits per "
    "pixel without compression; convert it to PNG"
)
_HEADER = 54  # bytes: file header and the information header that every BMP since 1990 has


def decode_picture(image_bytes: tf.Tensor, index: tf.Tensor, channels: int = 3) -> tf.Tensor:
    """uint8 [H, W, channels] of one encoded picture; `index` is named where it is refused.

    The first bytes are looked at before the decoder does, whose own message (still given for a
    picture that breaks off later) does not say which of the batch it was.
    """
    head = tf.strings.substr(image_bytes, 0, 3)
    is_jpeg, is_png, is_gif = head == b"\xff\xd8\xff", head == b"\x89PN", head == b"GIF"
    is_bmp = tf.strings.substr(image_bytes, 0, 2) == b"BM"
    known = tf.debugging.Assert(
        is_jpeg | is_png | is_gif | is_bmp, ["picture", index, NOT_A_PICTURE]
    )

    def jpeg():
        return _jpeg(image_bytes, index, channels)

    def png():
        return tf.io.decode_png(image_bytes, channels)

    with tf.control_dependencies([known]):
        image = tf.case(
            [
                (is_jpeg, lambda: exif.upright(jpeg(), image_bytes, is_png)),
                (is_gif, lambda: _gif(image_bytes, channels)),
                (is_bmp, lambda: _bmp(image_bytes, index, channels)),
            ],
            default=lambda: exif.upright(png(), image_bytes, is_png),
            exclusive=True,
        )
    return tf.ensure_shape(image, [None, None, channels])


def _jpeg(image_bytes: tf.Tensor, index: tf.Tensor, channels: int) -> tf.Tensor:
    def check():
        colors = tf.io.extract_jpeg_shape(image_bytes)[2]
        return [tf.debugging.Assert(colors != 4, ["picture", index, CMYK])]

    if channels == 1:  # of which the decoder itself would refuse four colours, less plainly
        with tf.control_dependencies(check()):
            return tf.io.decode_image(image_bytes, channels, expand_animations=False)
    image = tf.io.decode_image(image_bytes, channels, expand_animations=False)
    with tf.control_dependencies([image]), tf.control_dependencies(check()):
        return tf.identity(image)


def _gif(image_bytes: tf.Tensor, channels: int) -> tf.Tensor:
    frame = tf.io.decode_image(image_bytes, channels=3, expand_animations=False)
    return _of_channels(tf.ensure_shape(frame, [None, None, 3]), channels)


def _of_channels(image: tf.Tensor, channels: int) -> tf.Tensor:
    """RGB as libpng makes one channel of it."""
    return image if channels == 3 else tf.io.decode_png(tf.io.encode_png(image), channels)


def _bmp(image_bytes: tf.Tensor, index: tf.Tensor, channels: int) -> tf.Tensor:
    length = tf.strings.length(image_bytes)
    whole = tf.debugging.Assert(length >= _HEADER, ["picture", index, NOT_A_PICTURE])
    with tf.control_dependencies([whole]):
        header = tf.cast(tf.io.decode_raw(tf.strings.substr(image_bytes, 0, _HEADER), tf.uint8),
                         tf.int32)  # fmt: skip
    bits, compression = header[28] + 256 * header[29], _number(header, 30)
    by_palette = tf.reduce_any(bits == tf.constant([1, 4, 8])) & (_number(header, 14) >= 40)
    direct = tf.reduce_any(bits == tf.constant([24, 32]))
    check = tf.debugging.Assert(
        (compression == 0) & (by_palette | direct), ["picture", index, BMP_KIND]
    )
    with tf.control_dependencies([check]):
        image = tf.cond(
            by_palette,
            lambda: _of_palette(image_bytes, header, tf.maximum(bits, 1), index),
            lambda: tf.io.decode_bmp(image_bytes)[..., :3],
        )
    return _of_channels(tf.ensure_shape(image, [None, None, 3]), channels)


def _number(header: tf.Tensor, at: int) -> tf.Tensor:
    """int32 of four bytes, least first."""
    return tf.bitcast(tf.cast(header[at : at + 4], tf.uint8), tf.int32)


def _of_palette(image_bytes: tf.Tensor, header, bits, index: tf.Tensor) -> tf.Tensor:
    """[H, W, 3] of a BMP whose pixels are places in its palette; rows are filled up to 4 bytes."""
    width, height = _number(header, 18), tf.abs(_number(header, 22))
    count = _number(header, 46)
    count = tf.where((count > 0) & (count <= 256), count, tf.bitwise.left_shift(1, bits))
    row = (tf.cast(width, tf.int64) * tf.cast(bits, tf.int64) + 31) // 32 * 4
    start, palette_at = _number(header, 10), 14 + _number(header, 14)
    length = tf.cast(tf.strings.length(image_bytes), tf.int64)
    there = (width > 0) & (height > 0) & (palette_at > 0) & (start >= palette_at + 4 * count)
    there &= tf.cast(start, tf.int64) + row * tf.cast(height, tf.int64) <= length
    check = tf.debugging.Assert(there, ["picture", index, "of the request is a damaged BMP"])
    with tf.control_dependencies([check]):
        row = tf.cast(row, tf.int32)
        colors = tf.strings.substr(image_bytes, palette_at, 4 * count)
    colors = tf.reshape(tf.io.decode_raw(colors, tf.uint8), [count, 4])[:, 2::-1]  # from BGR
    packed = tf.io.decode_raw(tf.strings.substr(image_bytes, start, row * height), tf.uint8)
    packed = tf.cast(tf.reshape(packed, [height, row, 1]), tf.int32)
    shifts = tf.range(8 - bits, -1, -bits)  # the first pixel is in the upper bits
    places = tf.bitwise.right_shift(packed, shifts) & (tf.bitwise.left_shift(1, bits) - 1)
    places = tf.reshape(places, [height, -1])[:, :width]
    places = tf.cond(_number(header, 22) > 0, lambda: places[::-1], lambda: places)
    return tf.gather(colors, tf.minimum(places, count - 1))

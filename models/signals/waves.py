"""WAV files to samples, in TensorFlow's own operations: one graph trains and serves.

The kinds are those of data/signals/wav.py, which ingest checks: PCM of 8, 16, 24 and 32 bits in
[-1, 1), floats of 32 and 64 as they are. Of a network of sounds (Signal.rate) channels are averaged
and other rates brought to its own by the Fourier transform, as scipy.signal.resample does it; of
series nothing is changed, and another number of channels is refused.

Seen is the middle: of a longer signal `samples` of them, cut before its rate is changed; a shorter
one has zeros on both sides.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.models.spec import SERIES_RATE, Signal

NOT_A_WAV = (
    "of the request is no WAV file that is read: expected RIFF WAVE with PCM of 8, 16, 24 or 32 "
    "bits or floats of 32 or 64, whole"
)
NOT_A_SOUND = "of the request is a series of numbers: the network hears sounds, which have a rate"
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_TO_THE_END = 0xFFFFFFFF
_LEAST_DEVIATION = 1e-7  # of what is standardised: silence stays 0
# Places of a header are bytes from the file's beginning; -1: there is none.
_NONE = tf.constant(-1, tf.int64)


class Waves(tf.Module):
    """Encoded signals [B] -> [B, samples, channels] float32."""

    def __init__(self, signal: Signal):
        super().__init__(name="waves")
        self.signal = signal

    def __call__(self, encoded: tf.Tensor) -> tf.Tensor:
        return tf.map_fn(
            lambda pair: prepared(*pair, self.signal),
            (encoded, tf.range(tf.size(encoded))),
            fn_output_signature=tf.TensorSpec(self.signal.shape, tf.float32),
        )


def prepared(encoded: tf.Tensor, index: tf.Tensor, signal: Signal) -> tf.Tensor:
    """float32 [samples, channels] of one encoded signal; `index` is named where it is refused."""
    numbers, rate = decode(encoded, index)
    if signal.rate:
        check = tf.debugging.Assert(rate != SERIES_RATE, ["signal", index, NOT_A_SOUND])
        with tf.control_dependencies([check]):
            numbers = tf.identity(numbers)
        numbers = tf.reduce_mean(numbers, axis=1, keepdims=True)
        wanted = (signal.samples * rate + signal.rate - 1) // signal.rate
        numbers = middle(numbers, wanted)
        same = tf.equal(rate, signal.rate)
        numbers = tf.cond(same, lambda: numbers, lambda: resampled(numbers, rate, signal.rate))
    else:
        text = f"of the request: expected {signal.channels} channels per sample, got"
        channels = tf.shape(numbers)[1]
        check = tf.debugging.Assert(
            tf.equal(channels, signal.channels), ["signal", index, text, channels]
        )
        with tf.control_dependencies([check]):
            numbers = tf.identity(numbers)
    numbers = middle(numbers, tf.constant(signal.samples, tf.int64))
    if signal.standardized:
        numbers = standardized(numbers)
    return tf.ensure_shape(padded(numbers, signal.samples), signal.shape)


def middle(numbers: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """[T, C] -> its middle `count` samples, or all of fewer."""
    length = tf.shape(numbers, tf.int64)[0]
    start = tf.maximum(length - count, 0) // 2
    return numbers[start : start + count]


def padded(numbers: tf.Tensor, count: int) -> tf.Tensor:
    """[T <= count, C] -> [count, C] with zeros on both sides, the odd one behind."""
    missing = count - tf.shape(numbers)[0]
    return tf.pad(numbers, [[missing // 2, missing - missing // 2], [0, 0]])


def standardized(numbers: tf.Tensor) -> tf.Tensor:
    """[T, C] -> mean 0 and deviation 1 over time, of each channel; of a constant one, zeros."""
    mean, variance = tf.nn.moments(numbers, axes=[0], keepdims=True)
    return (numbers - mean) / tf.maximum(tf.sqrt(variance), _LEAST_DEVIATION)


def resampled(numbers: tf.Tensor, rate: tf.Tensor, wanted: int) -> tf.Tensor:
    """[T, C] of `rate` samples per second -> [T wanted / rate, C], rounded, at least 1."""
    before = tf.shape(numbers, tf.int64)[0]
    after = tf.maximum((2 * before * wanted + rate) // (2 * rate), 1)
    spectrum = tf.signal.rfft(tf.transpose(numbers))  # [C, T // 2 + 1]
    shared = tf.minimum(before, after)
    kept = spectrum[:, : shared // 2 + 1]
    # An even number's last frequency stands for two, of which the longer signal has both.
    factor = tf.cond(after > before, lambda: 0.5, lambda: 2.0)
    last = tf.equal(tf.range(shared // 2 + 1), shared // 2)
    last &= tf.equal(shared % 2, 0) & tf.not_equal(before, after)
    kept *= tf.cast(tf.where(last, factor, 1.0), tf.complex64)
    missing = after // 2 + 1 - tf.shape(kept, tf.int64)[1]
    length = tf.cast(after, tf.int32)
    signal = tf.signal.irfft(tf.pad(kept, [[0, 0], [0, missing]]), [length])
    scale = tf.cast(after, tf.float32) / tf.cast(before, tf.float32)
    return tf.transpose(signal) * scale


def decode(encoded: tf.Tensor, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(float32 [T, C], samples per second int64) of a WAV file."""
    data = tf.io.decode_raw(encoded, tf.uint8)
    length = tf.size(data, tf.int64)
    first = encoded + bytes(12)  # of 12 bytes and more
    begins = tf.strings.substr(first, 0, 4) == b"RIFF"
    begins &= tf.strings.substr(first, 8, 4) == b"WAVE"
    head, start, stated = tf.cond(begins, lambda: _chunks(encoded, data, length), _nothing)
    header = tf.cond(head >= 0, lambda: data[head : head + 40], lambda: data[:0])
    header = tf.pad(header, [[0, 40 - tf.size(header)]])
    kind, channels, rate = _number(header, 0, 2), _number(header, 2, 2), _number(header, 4, 4)
    bits = _number(header, 14, 2)
    kind = tf.where(kind == _EXTENSIBLE, _number(header, 24, 2), kind)
    width = bits // 8
    pcm = (kind == _PCM) & tf.reduce_any(bits == tf.constant([8, 16, 24, 32], tf.int64))
    floats = (kind == _FLOAT) & tf.reduce_any(bits == tf.constant([32, 64], tf.int64))
    size = tf.where(stated == _TO_THE_END, length - start, stated)
    count = tf.math.divide_no_nan(tf.cast(size, tf.float64), tf.cast(channels * width, tf.float64))
    count = tf.cast(tf.floor(count), tf.int64)
    known = (pcm | floats) & (channels > 0) & (rate > 0) & (count > 0)
    known &= (start >= 0) & (start + size <= length)
    check = tf.debugging.Assert(known, ["signal", index, NOT_A_WAV])
    with tf.control_dependencies([check]):
        width = tf.identity(width)
    raw = tf.reshape(data[start : start + count * channels * width], [-1, width])
    numbers = tf.switch_case(
        tf.where(floats, tf.where(bits == 32, 4, 5), tf.cast(width, tf.int32) - 1),
        [
            lambda: (tf.cast(raw[:, 0], tf.float32) - 128) / 128,
            lambda: _whole(raw, 2),
            lambda: _whole(raw, 3),
            lambda: _whole(raw, 4),
            lambda: tf.bitcast(tf.ensure_shape(raw, [None, 4]), tf.float32),
            lambda: tf.cast(tf.bitcast(tf.ensure_shape(raw, [None, 8]), tf.float64), tf.float32),
        ],
    )
    return tf.reshape(numbers, tf.stack([count, channels])), rate


def _whole(raw: tf.Tensor, width: int) -> tf.Tensor:
    """[N, width] bytes of numbers, least first -> [N] in [-1, 1)."""
    upper = tf.pad(tf.ensure_shape(raw, [None, width]), [[0, 0], [4 - width, 0]])
    return tf.cast(tf.bitcast(upper, tf.int32), tf.float32) / 2.0**31


def _number(header: tf.Tensor, at: int, width: int) -> tf.Tensor:
    """int64 of `width` bytes, least first."""
    places = tf.constant([256**i for i in range(width)], tf.int64)
    return tf.reduce_sum(tf.cast(header[at : at + width], tf.int64) * places)


def _nothing():
    return _NONE, _NONE, tf.constant(0, tf.int64)


def _chunks(encoded: tf.Tensor, data: tf.Tensor, length: tf.Tensor):
    """(start of 'fmt ', start of 'data', bytes that 'data' states): the first of each."""

    def goes_on(at, head, start, stated):
        return (start < 0) & (at + 8 <= length)

    def step(at, head, start, stated):
        name = tf.strings.substr(encoded, at, 4)
        size = _number(data[at : at + 8], 4, 4)
        is_head = (name == b"fmt ") & (head < 0)
        is_data = name == b"data"
        return (
            at + 8 + size + size % 2,  # chunks begin at even places
            tf.where(is_head, at + 8, head),
            tf.where(is_data, at + 8, start),
            tf.where(is_data, size, stated),
        )

    first = (tf.constant(12, tf.int64), *_nothing())
    _, head, start, stated = tf.while_loop(goes_on, step, first, parallel_iterations=1)
    return head, start, stated

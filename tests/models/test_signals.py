"""Networks of sounds and series: their input against SciPy, their outputs against NumPy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from convoy import models
from convoy.data.signals import wav
from convoy.models.signals import spectrogram_cnn, waves
from convoy.models.spec import Signal
from tests.data.test_wav import KINDS, header, with_24_bits, with_odd_chunk, written

DRAW = np.random.default_rng(1)


def decoded(data: bytes):
    numbers, rate = waves.decode(tf.constant(data), tf.constant(0))
    return numbers.numpy(), int(rate)


@pytest.mark.parametrize("kind", [*KINDS, "24", "odd chunk"])
def test_the_graph_decodes_what_ingest_reads(kind):
    """The same bits, eagerly and traced."""
    made = {"24": with_24_bits(), "odd chunk": with_odd_chunk()}
    data = made[kind] if kind in made else written(KINDS[kind][0])
    expected, rate = wav.values(data)
    found, same = decoded(data)
    assert same == rate
    np.testing.assert_array_equal(found, expected)
    traced = tf.function(waves.decode, autograph=False)(tf.constant(data), tf.constant(0))
    np.testing.assert_array_equal(traced[0], expected)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"RIFF",
        b"RIFF0000WAVE",
        b"ID3" + bytes(90),
        header()[:30],
        header(kind=2, bits=4) + bytes(4),
        header(kind=3, bits=16) + bytes(4),
        header(channels=0) + bytes(4),
        header(rate=0) + bytes(4),
        header(size=400) + bytes(4),
        header(size=0),
    ],
)
def test_the_graph_refuses_what_ingest_rejects(data):
    with pytest.raises(tf.errors.InvalidArgumentError, match="no WAV file that is read"):
        decoded(data)
    with pytest.raises(tf.errors.InvalidArgumentError, match="no WAV file that is read"):
        waves.Waves(Signal(8, rate=8000))(tf.constant([written(np.zeros(9, np.int16)), data]))


@pytest.mark.parametrize(("before", "rate"), [(10, 4000), (11, 4000), (12, 16000), (13, 11025)])
def test_other_rates_are_scipys(before, rate):
    signal = np.float32(DRAW.normal(size=(before, 2)))
    after = round(before * 8000 / rate)
    expected = scipy.signal.resample(signal.astype(np.float64), after)
    found = waves.resampled(tf.constant(signal), tf.constant(rate, tf.int64), 8000)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_the_window_by_hand():
    """The middle of what is longer; zeros around what is shorter, the odd one behind."""
    long, short = (np.float32(x)[:, None] for x in ([1, 2, 3, 4, 5], [1, 2]))
    found = waves.Waves(Signal(2))(tf.constant([wav.encode(long), wav.encode(short)]))
    np.testing.assert_array_equal(found[..., 0], [[2, 3], [1, 2]])
    found = waves.Waves(Signal(5))(tf.constant([wav.encode(long), wav.encode(short)]))
    np.testing.assert_array_equal(found[..., 0], [[1, 2, 3, 4, 5], [0, 1, 2, 0, 0]])
    found = waves.Waves(Signal(5, standardized=True))(tf.constant([wav.encode(short)]))
    np.testing.assert_allclose(found[0, :, 0], [0, -1, 1, 0, 0], rtol=1e-6)
    flat = wav.encode(np.full((3, 1), 7, np.float32))
    found = waves.Waves(Signal(3, standardized=True))(tf.constant([flat]))
    np.testing.assert_array_equal(found[0, :, 0], [0, 0, 0])


def test_channels():
    """Of a sound their mean; of series as many as the network has."""
    stereo = wav.encode(np.float32([[1, 3], [0, 1]]), 8000)
    found = waves.Waves(Signal(2, rate=8000))(tf.constant([stereo]))
    np.testing.assert_array_equal(found[0], [[2], [0.5]])
    found = waves.Waves(Signal(2, channels=2))(tf.constant([stereo]))
    np.testing.assert_array_equal(found[0], [[1, 3], [0, 1]])
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected 3 channels"):
        waves.Waves(Signal(2, channels=3))(tf.constant([stereo]))


def test_a_long_sound_is_cut_before_its_rate_is_changed():
    """What is seen of ten minutes costs as much as what is seen of one."""
    times = np.arange(16_000 * 3) / 16_000
    tone = np.float32(np.sin(2 * np.pi * 100 * times))[:, None]
    found = waves.Waves(Signal(800, rate=8000))(tf.constant([wav.encode(tone, 16_000)]))
    middle = tone[24_000 - 800 : 24_000 + 800].astype(np.float64)
    np.testing.assert_allclose(found[0], scipy.signal.resample(middle, 800), atol=1e-5)


def log_mel(x, rate):
    """[columns, 40] of samples [T]: HTK's formula for triangles, each column by its own DFT."""
    window, step = round(0.025 * rate), round(0.010 * rate)
    length = 1 << (window - 1).bit_length()
    x = np.pad(x, length // 2, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    hann = np.pad(hann, [((length - window) // 2, length - window - (length - window) // 2)])
    starts = range(0, len(x) - length + 1, step)
    power = np.array([np.abs(np.fft.rfft(x[i : i + length] * hann)) ** 2 for i in starts])
    mel = 1127 * np.log(1 + np.linspace(0, rate / 2, length // 2 + 1) / 700)
    low, high = (1127 * np.log(1 + f / 700) for f in (20.0, rate / 2))
    edges = np.linspace(low, high, 42)
    bands = [np.interp(mel, edges[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(40)]
    return np.log(power @ np.array(bands).T + 1e-6)


def test_log_mel_is_numpys():
    x = np.float32(DRAW.normal(size=(2, 2048, 1)))
    found = spectrogram_cnn.LogMel(16_000)(x)
    assert found.shape == (2, 13, 40, 1)
    for row, seen in zip(x, found, strict=True):
        expected = log_mel(row[:, 0].astype(np.float64), 16_000)
        np.testing.assert_allclose(seen[..., 0], expected, rtol=1e-3, atol=1e-3)


def test_a_quiet_neighbour_changes_nothing():
    quiet, loud = (np.float32(DRAW.normal(size=(1, 800, 1))) * scale for scale in (1e-6, 1e3))
    layer = spectrogram_cnn.LogMel(8_000)
    both = layer(np.concatenate([quiet, loud]))
    np.testing.assert_allclose(both[:1], layer(quiet), rtol=1e-5)


def test_too_short_a_window():
    with pytest.raises(ValueError, match="expected at least 1024 samples, got 1023"):
        models.build("wave_m5", samples=1023)
    assert models.build("wave_m5", samples=1024).get_layer("pool4").output.shape[1] == 1
    with pytest.raises(ValueError, match="expected at least 4480 samples, got 4000"):
        models.build("cnn_trad_fpool3", samples=4000)
    assert models.build("cnn_trad_fpool3", samples=4480).input.shape[1] == 4480


def test_options():
    """Series bring their own length and channels; `samples` outweighs it; sounds ignore both."""
    task = models.build_task("series_fcn", task="signals", series=(30, 12))
    assert task.info.preprocess == Signal(30, channels=12)
    task = models.build_task("series_fcn", series=(30, 12), samples=20)
    assert task.info.preprocess == Signal(20, channels=12)
    task = models.build_task("wave_m3", series=(30, 12))
    assert task.info.preprocess.shape == (32_000, 1)
    with pytest.raises(ValueError, match="hears samples: leave input_size out"):
        models.build("wave_m3", input_size=(32, 32))
    with pytest.raises(ValueError, match="has no maps by stride"):
        models.build("wave_m3", num_classes=None)
    assert isinstance(models.build("wave_m3", dropout=0.5).get_layer("dropout"),
                      keras.layers.Dropout)  # fmt: skip


def test_a_series_is_no_sound():
    """Its rate of 1 would leave two of a hundred numbers, brought to 16,000."""
    numbers = wav.encode(np.zeros((100, 1), np.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="is a series of numbers"):
        waves.Waves(Signal(16_000, rate=8_000))(tf.constant([numbers]))

"""Damaged .npy, TIFF and 16-bit PNG files are rejected by name or read whole; none crashes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from convoy.data.images import bands, images
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.input import pictures
from convoy.data.sample import BadSample
from tests.data.channel_files import contiguous, npy, pages, planar, png, values
from tests.data.test_fuzz import damaged, limited

FILES = {
    "npy": npy(values(5)),
    "tiff": contiguous(values(5)),
    "planar": planar(values(5)),
    "pages": pages(values(5)),
    "deflate": contiguous(values(5), compression="zlib", predictor=True),
    "tiles": contiguous(values(5), tile=(16, 16)),
    "big tiff": contiguous(values(5), bigtiff=True, byteorder=">"),
    "record": bands.encode(values(5)),
    "rgb png": png(values(3)),
    "rgba png": png(values(4)),
    "gray tiff": contiguous(values(1)),
}


def fuzz(name: str, trials: int, seed: int) -> dict[str, int]:
    """How many were read and rejected."""
    counts = {"read": 0, "rejected": 0}
    for trial in range(trials):
        rng = np.random.default_rng([seed, trial])
        data = damaged(FILES[name], rng)
        channels = [5, 3, 4, 1, None][trial % 5]
        bits = 8 if channels is None else [16, 8][trial // 5 % 2]
        told = []
        with limited(f"{name} trial {trial}"):
            try:
                with wanting(Wanted(channels, bits), lambda *t, told=told: told.append(t)):
                    picture = images.upright(data, 10**6)
            except BadSample as error:
                assert error.reason.isidentifier()  # noqa: PT017
                assert error.detail  # noqa: PT017
                counts["rejected"] += 1
                continue
        counts["read"] += 1
        if channels is None:
            shape = tf.io.decode_image(picture.image).shape
        else:
            decoded = pictures.values(tf.constant(picture.image), channels, bits)
            shape = decoded.shape
            assert decoded.dtype == (tf.uint16 if bits == 16 else tf.uint8)
            assert shape[2] == channels
        assert tuple(shape[:2]) == (picture.height, picture.width)
        assert all(reason.isidentifier() and detail for reason, detail in told)
    return counts


@pytest.mark.parametrize("name", FILES)
def test_damaged_files(name):
    assert fuzz(name, 100, 0)["rejected"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_many_damaged_files(name):
    fuzz(name, 3000, 1)

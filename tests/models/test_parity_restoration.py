"""SRCNN against SciPy's correlations in float64, DBN against PyTorch's functions.

PyTorch's outputs were written by tests/parity/dbn_reference.py.
"""

from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
import tensorflow as tf

from convoy import models
from convoy.models.restoration import color, srcnn
from tests.models.test_parity import GOLDEN, assert_close, fill
from tests.parity import formula
from tests.parity.restoration import EVERY, WIDTHS


def by_scipy(rgb: np.ndarray, weights, whole: bool) -> np.ndarray:
    """[H, W] in float64: each kernel of each map, correlated one by one."""
    maps = color.luma(rgb.astype(np.float64))[None] / 255
    for kernel, bias in zip(weights[::2], weights[1::2], strict=True):
        side = kernel.shape[0] // 2 if whole else 0
        maps = np.pad(maps, [(0, 0), (side, side), (side, side)], mode="edge")
        maps = np.stack([
            sum(
                scipy.signal.correlate2d(x, kernel[:, :, i, o], "valid")
                for i, x in enumerate(maps)
            )
            + bias[o]
            for o in range(kernel.shape[3])
        ])  # fmt: skip
        if kernel.shape[3] > 1:
            maps = np.maximum(maps, 0)
    return maps[0] * 255


@pytest.mark.parametrize("size", [(19, 22), (33, 17)])
@pytest.mark.parametrize("name", ["srcnn_915", "srcnn_935", "srcnn_955"])
def test_srcnn_equals_scipy(name, size):
    """Without padding as it learns, and of whole pictures."""
    model = fill(models.build(name, input_size=size))
    weights = model.get_weights()
    pixels = formula.pictures(1, *size)
    for network, whole in ((model, False), (srcnn.whole(model), True)):
        found = np.asarray(network(tf.constant(pixels)))[0, ..., 0]
        assert_close(found, by_scipy(pixels[0], weights, whole))


@pytest.mark.parametrize("size", [(32, 40), (24, 24)])
@pytest.mark.parametrize("name", ["dbn_quarter", pytest.param("dbn", marks=pytest.mark.slow)])
def test_dbn_equals_pytorch(name, size):
    model = fill(models.build("dbn", input_size=size, width=WIDTHS[name]))
    stack = formula.pictures(1, *size, 15)
    image, frames = stack[..., 6:9], np.concatenate([stack[..., :6], stack[..., 9:]], axis=-1)
    found = np.asarray(model([image, frames], training=False))[0, :: EVERY[0], :: EVERY[1]]
    assert_close(found, np.load(GOLDEN / "restoration.npz")[f"{name}_{size[0]}x{size[1]}"])

"""Y, Cb and Cr of RGB as MATLAB's rgb2ycbcr has them: BT.601, black at 16, white at 235.

Plain arithmetic on the last axis, of NumPy arrays and tensors alike. Values 0..255, not rounded.
Full-range Y, JPEG's, differs: PSNR on it is 1.3 dB lower for one and the same pair.
"""

from __future__ import annotations

import numpy as np

Y = (65.481 / 255, 128.553 / 255, 24.966 / 255)
CB = (-37.797 / 255, -74.203 / 255, 112.0 / 255)
CR = (112.0 / 255, -93.786 / 255, -18.214 / 255)
# The inverse of the rows above: what Y - 16, Cb - 128 and Cr - 128 give of each colour.
RED, GREEN, BLUE = (tuple(map(float, row)) for row in np.linalg.inv([Y, CB, CR]))


def luma(rgb):
    """[..., 3] float -> Y [...], 16..235."""
    return 16.0 + _sum(rgb, Y)


def chroma(rgb):
    """[..., 3] float -> (Cb [...], Cr [...]), 16..240."""
    return 128.0 + _sum(rgb, CB), 128.0 + _sum(rgb, CR)


def channels(y, cb, cr):
    """(R, G, B), each [...]; beyond 0..255 where the three belong to no colour."""
    return tuple(
        row[0] * (y - 16.0) + row[1] * (cb - 128.0) + row[2] * (cr - 128.0)
        for row in (RED, GREEN, BLUE)
    )


def _sum(rgb, factors):
    return rgb[..., 0] * factors[0] + rgb[..., 1] * factors[1] + rgb[..., 2] * factors[2]

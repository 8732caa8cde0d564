"""How close a restored picture is to the true one: PSNR and SSIM as papers since SRCNN have them.

Both on Y of MATLAB's rgb2ycbcr, rounded to whole numbers of 0..255, without `border` pixels on each
side (super-resolution: the scale). PSNR: 20 log10(255 / sqrt(mean square error)). SSIM: Wang 2004
"Image Quality Assessment: From Error Visibility to Structural Similarity", equation 13, with the
paper's window (11 x 11, Gaussian with sigma 1.5), K1 = 0.01, K2 = 0.03, L = 255, the mean over the
windows that lie inside. A data set's number is the mean of its pictures', not that of all pixels.
"""

from __future__ import annotations

import math

import numpy as np

from convoy.models.restoration import color

TAPS, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
# Of equal pictures, whose PSNR is infinite: no mean has a use for that.
MOST = 100.0


class Closeness:
    """Means of PSNR and SSIM, picture by picture; keeps sums alone."""

    def __init__(self):
        self._psnr = self._ssim = 0.0
        self._pictures = self._measured = 0

    def update(self, truth: np.ndarray, found: np.ndarray, border: int = 0) -> float:
        """uint8 [H, W, 3] or gray [H, W] -> PSNR. Raises ValueError for sizes, or no pixel left."""
        one, other = (prepared(pixels, border) for pixels in (truth, found))
        found_psnr = psnr(one, other)
        self._psnr += found_psnr
        self._pictures += 1
        if min(one.shape) >= TAPS:
            self._ssim += ssim(one, other)
            self._measured += 1
        return found_psnr

    def result(self) -> dict:
        """PSNR in dB, SSIM; None without a picture (SSIM: of 11 pixels or more on each side)."""
        return {
            "PSNR": self._psnr / self._pictures if self._pictures else None,
            "SSIM": self._ssim / self._measured if self._measured else None,
            "pictures": self._pictures,
            "too_small_for_SSIM": self._pictures - self._measured,
        }


def prepared(pixels: np.ndarray, border: int) -> np.ndarray:
    """float64 [H - 2 border, W - 2 border]: whole numbers. Raises ValueError."""
    height, width = pixels.shape[:2]
    if min(height, width) <= 2 * border:
        raise ValueError(
            f"expected a picture of more than {2 * border} px on each side, {border} px of each "
            f"border are left out; got {width}x{height}"
        )
    values = pixels.astype(np.float64)
    if values.ndim == 3:
        values = np.floor(color.luma(values) + 0.5)
    return values[border : height - border, border : width - border]


def psnr(truth: np.ndarray, found: np.ndarray) -> float:
    """dB, of values 0..255; 100 at most, which equal pictures have. Raises ValueError."""
    _check(truth, found)
    error = float(np.mean(np.square(truth - found)))
    return min(MOST, 10 * math.log10(255**2 / error)) if error else MOST


def ssim(truth: np.ndarray, found: np.ndarray) -> float:
    """-1..1, of float [H, W] with values 0..255, 11 or more each side. Raises ValueError."""
    _check(truth, found)
    if min(truth.shape) < TAPS:
        raise ValueError(f"SSIM: expected {TAPS} px or more on each side, got {_x(truth)}")
    mean_a, mean_b = blurred(truth), blurred(found)
    variance_a = blurred(truth * truth) - mean_a**2
    variance_b = blurred(found * found) - mean_b**2
    covariance = blurred(truth * found) - mean_a * mean_b
    above = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    below = (mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2)
    return float(np.mean(above / below))


def blurred(values: np.ndarray) -> np.ndarray:
    """[H, W] -> [H - 10, W - 10]: Gaussian means of the windows that lie inside."""
    places = np.arange(TAPS) - TAPS // 2
    weights = np.exp(-(places**2) / (2 * SIGMA**2))
    weights /= weights.sum()
    for axis in (0, 1):
        left = values.shape[axis] - TAPS + 1
        parts = (np.take(values, range(tap, tap + left), axis) for tap in range(TAPS))
        values = sum(weight * part for weight, part in zip(weights, parts, strict=True))
    return values


def _check(truth: np.ndarray, found: np.ndarray) -> None:
    if truth.shape != found.shape:
        raise ValueError(f"expected a restored picture of {_x(truth)} px, got {_x(found)}")


def _x(pixels: np.ndarray) -> str:
    return f"{pixels.shape[1]}x{pixels.shape[0]}"

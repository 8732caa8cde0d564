"""PSNR and SSIM of bicubic enlargement: what a network for super-resolution must be better than.

    python -m tests.bench.bicubic FOLDER [SCALE]

By the papers' steps: Y, sides cut to multiples of the scale, reduced and enlarged without rounding
in between, rounded, borders of SCALE pixels left out. Beside it, of Pillow's 8-bit reduced picture
as `--format super_resolution` writes it.
"""

from __future__ import annotations

import io
import pathlib
import sys

import numpy as np
import PIL.Image
import tensorflow as tf

from convoy.data.sources import super_resolution
from convoy.models.restoration import bicubic
from convoy.pipeline.evaluation.restoration import Closeness, prepared


def listed(folder: str) -> list[pathlib.Path]:
    return sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix != ".txt")


def opened(path: pathlib.Path, scale: int) -> PIL.Image.Image:
    """RGB, its sides cut to multiples of the scale."""
    picture = PIL.Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
    width, height = (side // scale * scale for side in picture.size)
    return picture.crop((0, 0, width, height))


def luma(picture: PIL.Image.Image) -> np.ndarray:
    """float32 [H, W], whole numbers."""
    return prepared(np.asarray(picture), 0).astype(np.float32)


def reduced(path: pathlib.Path, scale: int) -> tuple[np.ndarray, np.ndarray]:
    """(Y float32 [H, W], it reduced, not rounded)."""
    truth = luma(opened(path, scale))
    size = tuple(side // scale for side in truth.shape)
    return truth, bicubic.resize(tf.constant(truth[..., None]), size).numpy()[..., 0]


def enlarged(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    large = bicubic.resize(tf.constant(small[..., None], tf.float32), size).numpy()[..., 0]
    return np.clip(np.floor(large + 0.5), 0, 255).astype(np.uint8)


def main(folder: str, scale: str = "3") -> None:
    factor = int(scale)
    by_paper, of_records = Closeness(), Closeness()
    paths = listed(folder)
    for path in paths:
        truth, small = reduced(path, factor)
        by_paper.update(truth, enlarged(small, truth.shape), factor)
        rounded = luma(super_resolution.shrink(opened(path, factor), factor))
        of_records.update(truth, enlarged(rounded, truth.shape), factor)
    for name, numbers in (("the papers' steps", by_paper), ("records", of_records)):
        found = numbers.result()
        print(f"{name}: PSNR {found['PSNR']:.3f} dB, SSIM {found['SSIM']:.4f}, {len(paths)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])

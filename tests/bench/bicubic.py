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


def luma(picture: PIL.Image.Image) -> np.ndarray:
    return prepared(np.asarray(picture.convert("RGB")), 0)


def enlarged(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    large = bicubic.resize(tf.constant(small[..., None], tf.float32), size).numpy()[..., 0]
    return np.clip(np.floor(large + 0.5), 0, 255).astype(np.uint8)


def main(folder: str, scale: str = "3") -> None:
    factor = int(scale)
    by_paper, of_records = Closeness(factor), Closeness(factor)
    paths = sorted(path for path in pathlib.Path(folder).iterdir() if path.suffix != ".txt")
    for path in paths:
        picture = PIL.Image.open(io.BytesIO(path.read_bytes())).convert("RGB")
        width, height = (side // factor * factor for side in picture.size)
        picture = picture.crop((0, 0, width, height))
        truth = luma(picture)
        small = bicubic.resize(
            tf.constant(truth[..., None], tf.float32), (height // factor, width // factor)
        ).numpy()[..., 0]
        by_paper.update(truth, enlarged(small, truth.shape))
        of_records.update(
            truth, enlarged(luma(super_resolution.shrink(picture, factor)), truth.shape)
        )
    for name, numbers in (("the papers' steps", by_paper), ("records", of_records)):
        found = numbers.result()
        print(f"{name}: PSNR {found['PSNR']:.3f} dB, SSIM {found['SSIM']:.4f}, {len(paths)} files")


if __name__ == "__main__":
    main(*sys.argv[1:])

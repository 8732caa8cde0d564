"""What a network said about one picture, beside the `Sample` that holds the truth."""

from __future__ import annotations

import dataclasses

import numpy as np

from convoy.data.sample import Sample


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """Detections of one picture, in pixels of the picture as it was found."""

    source_id: str
    boxes: np.ndarray  # [D, 4] float32 ymin, xmin, ymax, xmax
    scores: np.ndarray  # [D] float32 0..1, falling
    classes: np.ndarray  # [D] int64


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """Several classes of one picture."""

    scores: np.ndarray  # [K] float32
    chosen: np.ndarray  # [K] bool


@dataclasses.dataclass(frozen=True, eq=False)
class Located:
    """One class and one box of one picture, in pixels of the picture as it was found."""

    scores: np.ndarray  # [K] float32
    box: np.ndarray  # [4] float32 ymin, xmin, ymax, xmax


def to_picture(boxes: np.ndarray, matrix: np.ndarray, sample: Sample) -> np.ndarray:
    """Boxes [..., 4] of the network's input in pixels of the picture, cut at its border.

    matrix [3, 3] maps the picture onto the input (it scales and shifts alone).
    """
    scale = np.array([matrix[1, 1], matrix[0, 0]] * 2)
    shift = np.array([matrix[1, 2], matrix[0, 2]] * 2)
    limit = np.array([sample.height, sample.width] * 2)
    return np.clip((boxes - shift) / scale, 0, limit).astype(np.float32)

"""What a network said about one picture, beside the `Sample` that holds the truth."""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """Detections of one picture, in pixels of the picture as it was found."""

    source_id: str
    boxes: np.ndarray  # [D, 4] float32 ymin, xmin, ymax, xmax
    scores: np.ndarray  # [D] float32 0..1, falling
    classes: np.ndarray  # [D] int64

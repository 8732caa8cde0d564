"""What a detector answered about one picture, beside the `Sample` that holds the truth."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Detections:
    """Detections of one picture, in pixels of the picture as it was found."""

    source_id: str
    boxes: np.ndarray  # [D, 4] float32 ymin, xmin, ymax, xmax
    scores: np.ndarray  # [D] float32 0..1
    classes: np.ndarray  # [D] int64


def detections_of(source_id: str, answer: Mapping[str, np.ndarray]) -> Detections:
    """A served answer (boxes [D, 4], scores, classes, num_detections) without its empty entries."""
    count = int(answer["num_detections"])
    boxes, scores, classes = (answer[name][:count] for name in ("boxes", "scores", "classes"))
    return Detections(source_id, boxes, scores, classes.astype(np.int64))

"""The label map of a record: how many pixels each class has, and what is wrong with it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import PIL.Image

KEY = "image/segmentation/class/encoded"
IGNORE = 255
VALUES = 256


class Pixels:
    """Sums over label maps."""

    def __init__(self):
        self.maps = 0
        self.pixels = np.zeros(VALUES, np.int64)  # by value
        self.pictures = np.zeros(VALUES, np.int64)  # that hold a value

    def add(self, counts: np.ndarray) -> None:
        self.maps += 1
        self.pixels += counts
        self.pictures += counts > 0

    def merge(self, other: Pixels) -> None:
        self.maps += other.maps
        self.pixels += other.pixels
        self.pictures += other.pictures

    def summary(self, labels: Sequence[str]) -> dict[str, Any]:
        """As plain values; {} without label maps. Shares are of the labelled pixels."""
        if not self.maps:
            return {}
        labelled = int(self.pixels[:IGNORE].sum())
        return {
            "label_maps": self.maps,
            "pixels_by_class": {name: int(self.pixels[k]) for k, name in enumerate(labels)},
            "shares": {
                name: float(self.pixels[k] / max(labelled, 1)) for k, name in enumerate(labels)
            },
            "pictures_by_class": {name: int(self.pictures[k]) for k, name in enumerate(labels)},
            "ignored": 1 - labelled / max(int(self.pixels.sum()), 1),
        }


def look(
    values: Mapping[str, list], classes: int
) -> tuple[np.ndarray | None, dict[str, list[str]]]:
    """(pixels by value [256], None where it cannot be read; reason -> details of its faults).

    values: those of a record, by key. classes: how many the label map may hold.
    """
    size = [values.get(f"image/{side}", [0])[0] for side in ("height", "width")]
    try:
        with PIL.Image.open(io.BytesIO(b"".join(values[KEY]))) as picture:
            found = np.asarray(picture)
    except (OSError, ValueError, SyntaxError):
        return None, {"corrupt_label_map": ["does not decode"]}
    if found.ndim != 2 or found.dtype != np.uint8:
        return None, {"corrupt_label_map": ["is no 8-bit gray picture"]}
    faults: dict[str, list[str]] = {}
    if list(found.shape) != size:
        detail = f"has {found.shape[1]}x{found.shape[0]} pixels, the picture {size[1]}x{size[0]}"
        faults["wrong_label_map_size"] = [detail]
    counts = np.bincount(found.ravel(), minlength=VALUES)
    unknown = np.flatnonzero(counts[classes:IGNORE])
    if len(unknown):
        detail = f"holds {unknown[0] + classes}, expected 0 to {classes - 1} or {IGNORE}"
        faults["unknown_pixel"] = [detail]
    if not counts[:IGNORE].any():
        faults["unlabelled_picture"] = ["every pixel is ignored"]
    return counts, faults

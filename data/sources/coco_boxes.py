"""What the boxes of a COCO file are: [x, y, width, height] in pixels, parts of the sides, corners.

COCO's are the first. Azure ML writes parts of the picture's sides; these are read so. Some scripts
write the corners [x1, y1, x2, y2], which read as sides would be wrong in silence: such a file is
refused where it shows. It shows where no box has a second corner left of or above the first, and
most areas are those between corners and not width times height, or most boxes would leave their
picture as sides and all fit in as corners.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

Box = tuple[float, float, float, float]  # as it is written
_LIMIT = 1e9  # numbers beyond are no pixels
_LEAST = 3  # boxes that leave their picture: one or two may be slips of the hand
_KEPT = 5000  # boxes that are looked at with the size of their picture


@dataclasses.dataclass
class Boxes:
    """Counts over the boxes of a file."""

    count: int = 0
    largest: float = 0.0  # number in a box
    fractions: bool = False  # whether a box has any
    backwards: int = 0  # cannot be corners
    as_sides: int = 0  # area is width times height
    as_corners: int = 0  # area is that between the corners, and not the other
    kept: list[tuple[str, Box]] = dataclasses.field(default_factory=list)  # with image ids

    @property
    def relative(self) -> bool:
        """Whether they are parts of the picture's size."""
        return self.count > 0 and self.largest <= 1 and self.fractions

    def add(self, image: str, row: Mapping) -> None:
        """One annotation."""
        box, area = row.get("bbox"), row.get("area")
        if not (isinstance(box, list) and box and all(type(edge) in (int, float) for edge in box)):
            return
        self.count += 1
        self.largest = max(self.largest, *map(abs, box))
        self.fractions |= any(edge % 1 for edge in box)
        if len(box) != 4 or not all(abs(edge) < _LIMIT for edge in box):  # also for NaN
            return
        x, y, a, b = box
        self.backwards += not (a > x and b > y)
        if len(self.kept) < _KEPT:
            self.kept.append((image, (x, y, a, b)))
        if type(area) in (int, float) and 0 < area < _LIMIT**2:
            sides = _near(area, a * b)
            self.as_sides += sides
            self.as_corners += not sides and _near(area, (a - x) * (b - y))

    def corners(self, sizes: Mapping[str, tuple[int, int] | None]) -> str:
        """Why they are corners; empty where they are not. sizes: image id -> (height, width)."""
        if not self.count or self.backwards or self.relative:
            return ""
        if self.as_corners > self.count / 2:
            return f"the areas of {self.as_corners} of {self.count} are those between two corners"
        leave = known = outside = 0
        for image, (x, y, a, b) in self.kept:
            if size := sizes.get(image):
                height, width = size
                known += 1
                leave += x + a > width + 1 or y + b > height + 1
                outside += a > width + 1 or b > height + 1
        if leave >= _LEAST and leave > known / 2 and not outside:
            return f"{leave} of {known} would leave their pictures, and fit in as two corners"
        return ""


def _near(area: float, product: float) -> bool:
    return abs(area - product) <= 0.01 * area

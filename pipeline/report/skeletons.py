"""People drawn by their keypoints: a dot each, and lines where the skeleton is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from convoy.models.pose import skeleton
from convoy.pipeline.report import overlay


def draw(picture: Image.Image, people: np.ndarray, names: Sequence[str]) -> Image.Image:
    """Draws [N, K, (y, x, there)] into `picture`; each person in a colour of its own.

    there: above 0 where the keypoint is; of a truth 1 = hidden, drawn hollow.
    """
    pen, smaller = ImageDraw.Draw(picture), min(picture.size)
    radius, line = max(1, smaller // 120), max(1, smaller // 200)
    bones = skeleton.of(tuple(names)).bones
    for index, person in enumerate(people):
        shade = overlay.color(index)
        places = [(float(x), float(y)) for y, x, _ in person]
        for a, b in bones:
            if person[a, 2] > 0 and person[b, 2] > 0:
                pen.line([places[a], places[b]], fill=shade, width=line)
        for (x, y), there in zip(places, person[:, 2], strict=True):
            if there > 0:
                corners = (x - radius, y - radius, x + radius, y + radius)
                pen.ellipse(corners, fill=None if there == 1 else shade, outline=shade)
    return picture

"""One label map of a picture that is much larger than what the network sees: overlapping tiles.

Ronneberger 2015 (U-Net, section 2 and figure 2): each tile is asked about with its surroundings,
of which its answer says nothing; beyond the picture's border they are its mirror image. With
`views.Tile(height, width, overlap)` the middle of each tile, height - overlap by width - overlap
pixels, is kept, so that every pixel is answered once, with overlap / 2 pixels around it at least.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable

import numpy as np
import PIL.Image

Answer = dict[str, np.ndarray]


def tiled(
    ask: Callable[[np.ndarray], list[Answer]],
    size: tuple[int, int],
    overlap: int,
    classes: int,
    most: int,
) -> Callable[[np.ndarray], list[Answer]]:
    """ask: uint8 [1, *size, 3] -> [{"label_map" [*size] uint8, ...}].

    The answer is {"label_map_bytes": a PNG of the picture's own size, "class_fractions" [classes]}.
    Held at once are the picture, its map and one tile. Raises ValueError for a picture of more than
    `most` tiles.
    """
    margin = overlap // 2
    steps = [side - overlap for side in size]

    def answer(picture: np.ndarray) -> Answer:
        sides = picture.shape[:2]
        counts = [-(-side // step) for side, step in zip(sides, steps, strict=True)]
        if counts[0] * counts[1] > most:
            raise ValueError(
                f"tiles of {size[0]}x{size[1]} pixels that share {overlap}: the picture of "
                f"{sides[0]}x{sides[1]} pixels has {counts[0] * counts[1]:,} of them, more than "
                f"{most:,}: take larger ones, or less overlap"
            )
        labels = np.empty(sides, np.uint8)
        for place in itertools.product(*map(range, counts)):
            first = [index * step for index, step in zip(place, steps, strict=True)]
            rows, columns = (
                mirrored(start - margin, whole, side)
                for start, whole, side in zip(first, size, sides, strict=True)
            )
            (told,) = ask(picture[np.ix_(rows, columns)][None])
            middle = told["label_map"][margin : margin + steps[0], margin : margin + steps[1]]
            target = labels[first[0] : first[0] + steps[0], first[1] : first[1] + steps[1]]
            target[:] = middle[: target.shape[0], : target.shape[1]]
        counted = np.bincount(labels.ravel(), minlength=classes)[:classes]
        encoded = io.BytesIO()
        PIL.Image.fromarray(labels).save(encoded, "PNG")
        return {
            "label_map_bytes": encoded.getvalue(),
            "class_fractions": (counted / labels.size).astype(np.float32),
        }

    return lambda pictures: [answer(picture) for picture in pictures]


def mirrored(first: int, count: int, side: int) -> np.ndarray:
    """[count] int: places first, first + 1, ... of a line of `side` pixels that goes on mirrored.

    The outermost pixel is not repeated: -1 is 1, side is side - 2.
    """
    places = np.arange(first, first + count)
    if side == 1:
        return np.zeros_like(places)
    period = 2 * (side - 1)
    places = places % period
    return np.minimum(places, period - places)

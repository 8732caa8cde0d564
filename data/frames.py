"""The frames beside a picture of a film: which they are, and how they are laid onto it.

A film is a folder of pictures in the order of their names, numbers in them compared as numbers. At
its ends the first and the last picture stand for those that are missing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence

import cv2
import numpy as np
import PIL.Image

from convoy.data.images import images

BESIDE = 2  # on each side
COUNTS = (1, 2 * BESIDE + 1)  # of data.frames: the picture alone, or those beside it as well
ALIGNMENTS = ("none", "homography")
_POINTS = 2000  # that are looked for in a picture
_LEAST = 12  # of them that must agree
_NEAR = 3.0  # pixels that agreeing ones may be off by
_RATIO = 0.75  # of the distances to the best and the second best match
_DIGITS = re.compile(r"(\d+)")


def order(name: str) -> list:
    """A key for sorting: frame2 before frame10."""
    return [int(part) if part.isdigit() else part for part in _DIGITS.split(name)]


def neighbours(index: int, count: int) -> list[int]:
    """The places of the two before and the two behind, within 0..count - 1."""
    offsets = (*range(-BESIDE, 0), *range(1, BESIDE + 1))
    return [min(max(index + offset, 0), count - 1) for offset in offsets]


def laid(frames: Sequence[bytes], picture: bytes, align: str) -> tuple[tuple[bytes, ...], int]:
    """(encoded frames as the network is given them, how many could not be aligned).

    align: "none", or "homography": ORB's points matched, RANSAC; a frame becomes a PNG, what it
    does not show is the picture's own. One without enough points in common stays as it is. A frame
    of another size than the picture is left out: b"" stands for the picture itself.
    """
    size = _size(picture)
    fitting = [frame if _size(frame) == size else b"" for frame in frames]
    if align == "none":
        return tuple(fitting), 0
    target = _pixels(picture)
    done: dict[bytes, bytes | None] = {b"": b"", picture: b""}
    for frame in fitting:
        if frame not in done:
            moved = aligned(_pixels(frame), target)
            done[frame] = None if moved is None else images.encode(moved)
    failed = sum(done[frame] is None for frame in fitting)
    return tuple(frame if done[frame] is None else done[frame] for frame in fitting), failed


def aligned(frame: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """uint8 [H, W, 3] of `frame` seen from where `target` was taken; None where they do not match.

    Pixels that the frame does not show are the target's.
    """
    matrix = _homography(frame, target)
    if matrix is None:
        return None
    height, width = target.shape[:2]
    moved = cv2.warpPerspective(frame, matrix, (width, height), flags=cv2.INTER_LINEAR)
    shown = np.full(frame.shape[:2], 255, np.uint8)
    shown = cv2.warpPerspective(shown, matrix, (width, height), flags=cv2.INTER_LINEAR)
    return np.where((shown == 255)[..., None], moved, target)


def _homography(frame: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """[3, 3] from pixels of the frame to those of the target."""
    detector = cv2.ORB_create(_POINTS)
    found = [
        detector.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
        for pixels in (frame, target)
    ]
    if any(described is None for _, described in found):
        return None
    (ours, one), (theirs, other) = found
    matches = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(one, other, k=2)
    clear = [
        pair[0]
        for pair in matches
        if len(pair) == 2 and pair[0].distance < _RATIO * pair[1].distance
    ]
    if len(clear) < _LEAST:
        return None
    source = np.float32([ours[match.queryIdx].pt for match in clear])
    goal = np.float32([theirs[match.trainIdx].pt for match in clear])
    cv2.setRNGSeed(0)  # RANSAC draws
    matrix, inside = cv2.findHomography(source, goal, cv2.RANSAC, _NEAR)
    return matrix if matrix is not None and int(inside.sum()) >= _LEAST else None


def _size(encoded: bytes) -> tuple[int, int]:
    with PIL.Image.open(io.BytesIO(encoded)) as picture:
        return picture.size


def _pixels(encoded: bytes) -> np.ndarray:
    return np.asarray(PIL.Image.open(io.BytesIO(encoded)).convert("RGB"))

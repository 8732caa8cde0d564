"""Which keypoints a mirrored picture swaps: left and right, by their names or a known layout."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SIDES = (
    re.compile(r"()(?i:(left|right))(.*)"),  # left_eye, LeftEye, lefthand-0, "left eye"
    re.compile(r"()([lLrR])([_\-. A-Z].*)"),  # l_eye, L-Eye, lEye, LEye
    re.compile(r"()([LR])([a-z].*)"),  # Leye
    re.compile(r"(.*[_\-. ])(?i:(left|right|l|r))()"),  # eye_left, eye.R
    re.compile(r"(.*[a-z0-9])(Left|Right|L|R)()"),  # EyeLeft, eyeR
    re.compile(r"(.*[_\-. ])(?i:(left|right|l|r))([_\-. ].*)"),  # upper_left_leg
)

# The 68 points of a face of iBUG 300-W, counted from 0: the jaw from ear to ear, brows, bridge and
# wings of the nose, eyes, outer and inner lips. Left is the left in the picture.
# Layout: https://ibug.doc.ic.ac.uk/resources/300-W/
FACE_68 = (
    *((point, 16 - point) for point in range(8)),
    *((point, 43 - point) for point in range(17, 22)),
    *((31, 35), (32, 34)),
    *((36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)),
    *((48, 54), (49, 53), (50, 52), (59, 55), (58, 56)),
    *((60, 64), (61, 63), (67, 65)),
)


def pairs(names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """(left, right) positions that belong together, by left; points in the middle have none.

    68 points whose names differ in a number alone are taken to be a face's (FACE_68).
    """
    sides = [_by_side(name.strip()) for name in names]
    right = {rest: index for index, (side, rest) in enumerate(sides) if side == "r"}
    swaps = [
        (index, right[rest])
        for index, (side, rest) in enumerate(sides)
        if side == "l" and rest in right
    ]
    paired = {index for pair in swaps for index in pair}
    groups: dict[str, list[int]] = {}
    for index, name in enumerate(names):
        if index not in paired:
            groups.setdefault(re.sub(r"\d+$", "", name.strip()), []).append(index)
    faces = [group for group in groups.values() if len(group) == 68]
    swaps += [(face[left], face[right]) for face in faces for left, right in FACE_68]
    return tuple(sorted(swaps))


def numbered(name: str, count: int) -> tuple[str, ...]:
    """Names for points that have none: name-0, name-1, ..."""
    return tuple(f"{name}-{index}" for index in range(count))


def _by_side(name: str) -> tuple[str, tuple]:
    """("l" | "r" | "", the name without its side)."""
    for kind, pattern in enumerate(_SIDES):
        match = pattern.fullmatch(name)
        if match:
            before, side, after = match.groups()
            return side[0].lower(), (kind, before.lower(), after.lower())
    return "", ()

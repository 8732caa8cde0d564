"""Skeletons: which parts of a body a network finds, and which two of them a limb joins.

A data set has J keypoints by name. The parts that are learnt are these or means of them (COCO names
no neck: it is the mean of the shoulders), and what is answered of a keypoint is a part or, where no
part is that keypoint, the mean of some. Layouts: the 18 parts of COCO and the 15 of MPI in the
order of the authors' Caffe networks, with limbs in the order of their channels
(https://github.com/ZheC/Realtime_Multi-Person_Pose_Estimation); any other set of keypoints is a
chain, each joined to the next in the data set's order.

No TensorFlow: drawings read this, too.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Sequence

# In the order of COCO's annotations, https://cocodataset.org/#keypoints-2020.
COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip"),
    *("left_knee", "right_knee", "left_ankle", "right_ankle"),
)
# In the order of MPII's, as data/sources/mpii.py names them.
MPII = (
    *("right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis"),
    *("thorax", "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder"),
    *("left_shoulder", "left_elbow", "left_wrist"),
)
_ARMS_AND_LEGS = tuple(
    f"{side}_{joint}"
    for joints in (("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle"))
    for side in ("right", "left")
    for joint in joints
)
# 18 parts: part -> the keypoints whose mean it is.
COCO_PARTS = {
    "nose": ("nose",),
    "neck": ("left_shoulder", "right_shoulder"),
    **{name: (name,) for name in _ARMS_AND_LEGS},
    **{f"{side}_{part}": (f"{side}_{part}",) for part in ("eye", "ear")
       for side in ("right", "left")},
}  # fmt: skip
COCO_LIMBS = (
    *((1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16)),
    *((1, 5), (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17)),
)
COCO_REDUNDANT = (9, 13)  # from the shoulders to the ears
# Lines of a drawing, of keypoints: COCO's own "skeleton".
COCO_BONES = (
    *((15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8)),
    *((7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6)),
)
# 15 parts. The chest lies between what MPII calls thorax and pelvis.
MPI_PARTS = {
    "head_top": ("head_top",),
    "neck": ("upper_neck",),
    **{name: (name,) for name in _ARMS_AND_LEGS},
    "chest": ("thorax", "pelvis"),
}
MPI_LIMBS = (
    *((0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 14), (14, 8), (8, 9), (9, 10)),
    *((14, 11), (11, 12), (12, 13)),
)
MPII_BONES = (
    *((0, 1), (1, 2), (2, 6), (3, 6), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (10, 11), (11, 12)),
    *((12, 7), (13, 7), (13, 14), (14, 15)),
)
# What no part is: answered as the mean of these.
MPI_ANSWERS = {
    "pelvis": ("left_hip", "right_hip"),
    "thorax": ("left_shoulder", "right_shoulder"),
    "upper_neck": ("neck",),
}


@dataclasses.dataclass(frozen=True)
class Skeleton:
    """J keypoints, P parts, L limbs."""

    keypoints: tuple[str, ...]  # names of the data set's, in its order
    parts: tuple[str, ...]
    sources: tuple[tuple[int, ...], ...]  # of each part: the keypoints whose mean it is
    answers: tuple[tuple[int, ...], ...]  # of each keypoint: the parts whose mean is answered
    limbs: tuple[tuple[int, int], ...]  # of parts, in the order of the network's channels
    redundant: tuple[int, ...] = ()  # limbs beside a tree of the others: they join, and add nothing
    bones: tuple[tuple[int, int], ...] = ()  # of keypoints: lines to draw; () = points alone

    @property
    def tree(self) -> tuple[int, ...]:
        """The other limbs, so that each begins at the first part or where one before it ended."""
        left = [index for index in range(len(self.limbs)) if index not in self.redundant]
        found: list[int] = []
        reached = {self.limbs[left[0]][0]} if left else set()
        while left:
            follows = next((index for index in left if self.limbs[index][0] in reached), None)
            if follows is None:
                raise ValueError(f"limbs {[self.limbs[index] for index in left]} begin nowhere")
            reached.add(self.limbs[follows][1])
            found.append(follows)
            left.remove(follows)
        return tuple(found)


@functools.lru_cache(maxsize=32)
def of(keypoints: tuple[str, ...], count: int = 0) -> Skeleton:
    """The skeleton of a data set's keypoints.

    keypoints: their names; () = unknown, and `count` of them tells: 17 are COCO's, 16 MPII's. Names
    may be in any order and spelling of case, blanks and hyphens.
    """
    if not keypoints:
        keypoints = {len(COCO): COCO, len(MPII): MPII}.get(count) or tuple(
            f"point-{index}" for index in range(count)
        )
    names = [_plain(name) for name in keypoints]
    if set(names) == set(COCO) and len(names) == len(COCO):
        return _made(keypoints, names, COCO, COCO_PARTS, COCO_LIMBS, COCO_BONES, {}, COCO_REDUNDANT)
    if set(names) == set(MPII) and len(names) == len(MPII):
        return _made(keypoints, names, MPII, MPI_PARTS, MPI_LIMBS, MPII_BONES, MPI_ANSWERS)
    one = tuple((index,) for index in range(len(names)))
    chain = tuple((index, index + 1) for index in range(len(names) - 1))
    return Skeleton(tuple(keypoints), tuple(keypoints), one, one, chain)


def _made(keypoints, names, layout, parts, limbs, bones, answers, redundant=()) -> Skeleton:
    order = list(parts)
    return Skeleton(
        tuple(keypoints),
        tuple(order),
        tuple(tuple(names.index(name) for name in means) for means in parts.values()),
        tuple(tuple(order.index(part) for part in answers.get(name, (name,))) for name in names),
        limbs,
        redundant,
        tuple((names.index(layout[a]), names.index(layout[b])) for a, b in bones),
    )


def is_coco(keypoints: Sequence[str]) -> bool:
    """Whether these are COCO's 17, in any order."""
    return sorted(map(_plain, keypoints)) == sorted(COCO)


def place(keypoints: Sequence[str], name: str) -> int | None:
    """Where a keypoint of this plain name is among others; None where it is not."""
    names = [_plain(each) for each in keypoints]
    return names.index(name) if name in names else None


def _plain(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())

"""MPII human pose as JSON: a list of people, each {image, joints, joints_vis, center, scale}.

Joints are [x, y], 1-based as in the MATLAB file that they come from: 1 is subtracted. joints_vis
(or joints_visible) 1 becomes visibility 2; 0 becomes 1 where the joint lies in the picture, else 0.
The box of a person is the one around the joints. Pictures lie beside the JSON or in `images`;
splits come from the names train.json, valid.json, test.json. People without joints (the test list)
are pictures without objects.

Data: http://human-pose.mpi-inf.mpg.de/
"""

from __future__ import annotations

import itertools
import posixpath

import numpy as np

from convoy.data import keypoints
from convoy.data.files import files, json_stream
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, coco_json, ignore
from convoy.data.sources.split import hashed_split

NAMES = (
    "right_ankle",
    "right_knee",
    "right_hip",
    "left_hip",
    "left_knee",
    "left_ankle",
    "pelvis",
    "thorax",
    "upper_neck",
    "head_top",
    "right_wrist",
    "right_elbow",
    "right_shoulder",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
)
_PERSON = "person"
_PROBE = 5  # files looked into by detect


def detect(tree: files.Tree) -> bool:
    """A JSON list of people with a picture and joints."""
    return any(_is_mpii(tree, name) for name in _json_names(tree)[:_PROBE])


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture that a person is in. Raises SourceError."""
    tree = files.tree(path)
    names = [name for name in _json_names(tree) if _is_mpii(tree, name)]
    if not names:
        raise SourceError(
            f"{tree.root}: expected MPII's JSON, a list of people with image and joints; found none"
        )
    pictures = coco_json.Pictures(tree)
    people: dict[tuple[str, str], list[tuple]] = {}
    rejected = []
    for name in names:
        split, beside = coco_json.split_of(name), posixpath.dirname(name)
        folders = [beside, posixpath.join(beside, "images"), "images", ""]
        for index, person in enumerate(_people(tree, name)):
            joints = _joints(person)
            if joints is None:
                detail = f"{name}: [{index}] has no image, or joints that are not 16 x, y"
                rejected.append((f"{name}#[{index}]", "corrupt_annotation", detail))
                continue
            stated = person["image"]
            picture = pictures.find(stated, folders, split) or coco_json.expected(beside, stated)
            group = split or hashed_split(picture, options.holdout, options.seed)
            people.setdefault((group, picture), []).extend([joints] if joints else [])
    references = [
        Reference(picture, split, tree.where(picture), tuple(joints))
        for (split, picture), joints in sorted(people.items())
    ]
    return Listing(
        tuple(references),
        options.labels or (_PERSON,),
        tuple(sorted(rejected)),
        keypoints=NAMES,
        keypoint_pairs=keypoints.pairs(NAMES),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its people. Raises BadSample."""
    picture = images.load(reference.image, max_pixels)
    objects = Objects(reference, picture, labels, warn)
    for joints in reference.annotation:
        points = np.array(joints, np.float32)
        inside = (points[:, :2] >= 0).all(axis=1)
        inside &= (points[:, 0] < objects.height) & (points[:, 1] < objects.width)
        points[:, 2] = np.where(points[:, 2] > 0, 2, np.where(inside, 1, 0))
        placed = points[points[:, 2] > 0, :2]
        box = (None,) * 4
        if len(placed):
            box = (*map(float, placed.min(axis=0)), *map(float, placed.max(axis=0)))
        objects.add(_PERSON, box, keypoints=points)
    return objects.sample()


def _json_names(tree: files.Tree) -> list[str]:
    return [name for name in tree.names if name.lower().endswith(".json")]


def _is_mpii(tree: files.Tree, name: str) -> bool:
    """Whether the first item of the file's list is a person; reads only so far."""
    try:
        first = next(itertools.islice(json_stream.items(tree.where(name), 1 << 16), 1), None)
    except (json_stream.DamagedJson, OSError):
        return False
    if first is None or first.key or not isinstance(first.value, dict):
        return False
    return isinstance(first.value.get("image"), str) and bool(
        {"joints", "center", "scale"} <= first.value.keys() or "joints_vis" in first.value
    )


def _people(tree: files.Tree, name: str):
    try:
        for item in json_stream.items(tree.where(name)):
            yield item.value
    except (json_stream.DamagedJson, OSError) as error:
        raise SourceError(
            f"{tree.root}: {name}: expected a JSON list, damaged at {error}; fetch it again"
        ) from None


def _joints(person) -> tuple[tuple[float, float, float], ...] | None:
    """(y, x, whether visible) of each joint, 0-based; () where none are given; None if damaged."""
    if not isinstance(person, dict) or not isinstance(person.get("image"), str):
        return None
    joints = person.get("joints")
    visible = person.get("joints_vis", person.get("joints_visible"))
    if joints is None:
        return ()
    try:
        points = np.array(joints, float)
        flags = np.ones(len(NAMES)) if visible is None else np.array(visible, float).reshape(-1)
    except (TypeError, ValueError, OverflowError):
        return None
    if points.shape != (len(NAMES), 2) or flags.shape != (len(NAMES),):
        return None
    if not np.isfinite(points).all() or not (np.abs(points) < 1e9).all():
        return None
    y, x = points[:, 1] - 1, points[:, 0] - 1
    return tuple(zip(y.tolist(), x.tolist(), (flags > 0).astype(float).tolist(), strict=True))

"""Which tasks a data set can serve, the one that is meant most likely first."""

from __future__ import annotations

import numpy as np

from convoy.data.sample import Sample
from convoy.models import tasks
from convoy.pipeline.errors import UsageError
from convoy.pipeline.tools.init.look import Look

ENLARGED = "super_resolution"  # the format of pictures that are their own truth
MOST = 0.5  # part of the samples that must hold what a task learns from


def tasks_of(seen: Look) -> dict[str, str]:
    """{task: what of the data set it learns from}, in the order of preference."""
    found: dict[str, str] = {}
    if seen.part(lambda s: s.text):
        return {"text": "sentences with a class each"}
    if seen.part(lambda s: s.signal):
        return {"signals": "sounds or series with a class each"}
    if seen.part(lambda s: s.target):
        return {"restoration": "pairs of pictures, the second one as the first should be"}
    classes = [len(set(sample.labels.tolist())) for sample in seen.samples]
    one_class = min(classes) == max(classes) == 1
    boxes, points = seen.part(lambda s: len(s.boxes)), _with_keypoints(seen)
    maps, masks = seen.part(lambda s: s.segmentation), seen.part(lambda s: s.masks)
    if points > MOST:
        found["pose"] = f"objects with {len(seen.keypoints)} keypoints"
    if one_class and len(seen.labels) > 1:
        found["classification"] = f"one of {len(seen.labels)} classes per picture"
    if maps > MOST and boxes < MOST:
        found["segmentation"] = f"label pictures of {len(seen.segmentation_labels)} classes"
    if boxes and len(seen.labels):
        found["detection"] = f"boxes of {len(seen.labels)} classes"
    if masks > MOST:
        found["instance"] = "objects with a mask each"
    if maps and "segmentation" not in found:
        found["segmentation"] = f"label pictures of {len(seen.segmentation_labels)} classes"
    several = max(classes) > 1 and maps <= MOST
    if (several or (boxes and seen.objects > 1)) and len(seen.labels) > 1:
        found["multilabel"] = f"several of {len(seen.labels)} classes per picture"
    if boxes and seen.objects == 1 and len(seen.labels) > 1:
        found["localization"] = "one object per picture"
    if 0 < points <= MOST:
        found["pose"] = f"some objects with {len(seen.keypoints)} keypoints"
    if seen.part(lambda s: s.captions):
        found["captioning"] = "captions"
    return found


def chosen(seen: Look, task: str | None) -> tuple[str, dict[str, str]]:
    """(the task of the recipe, all that are possible). Raises UsageError."""
    possible = tasks_of(seen)
    if task is None and possible:
        return next(iter(possible)), possible
    if task in possible:
        return task, possible
    listed = ", ".join(f"{name} ({why})" for name, why in possible.items())
    if task is not None:
        try:
            tasks.row(task)
        except ValueError as error:  # which names the closest one
            raise UsageError(f"--task: {error}") from None
        hint = f"it serves {listed}" if possible else "its samples have no annotation"
        raise UsageError(f"--task {task}: nothing of this data set is learnt so: {hint}")
    one = (
        f", all {len(seen.samples)} that were read have one class" if len(seen.labels) == 1 else ""
    )
    raise UsageError(
        f"{seen.path} was read as {seen.format}: pictures without anything to learn{one}. "
        "docs/data.md shows the layouts of annotations; pictures alone can teach a network to "
        f"enlarge them: --format {ENLARGED}"
    )


def _with_keypoints(seen: Look) -> float:
    """The part of the objects that have a visible keypoint."""
    objects = sum(len(sample.boxes) for sample in seen.samples)
    found = sum(
        int(np.any(sample.keypoints[..., 2] > 0, axis=1).sum())
        for sample in seen.samples
        if sample.keypoints.size
    )
    return found / max(objects, 1)


def with_keypoints(seen: Look) -> tuple[str, ...]:
    """Names of the classes whose objects have keypoints."""
    return tuple(seen.labels[k] for k in sorted({k for s in seen.samples for k in _classes(s)}))


def _classes(sample: Sample) -> set[int]:
    if not sample.keypoints.size:
        return set()
    return set(sample.classes[np.any(sample.keypoints[..., 2] > 0, axis=1)].tolist())

"""A sample with everything that a task may learn, and what each task's model answers about it."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from convoy.data.sample import Sample
from convoy.data.signals import wav

LABELS = ("ant", "bee", "cat")
PROPERTIES = ("size=small", "size=large", "legs=six")


def png(height=60, width=80) -> bytes:
    return encoded(Image.new("RGB", (width, height), (128, 128, 128)))


def encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


# Three quarters of class 0, a quarter of class 2, whose left column nobody labelled.
FOUND = np.zeros((60, 80), np.uint8)
FOUND[:30, 40:] = 2
TRUE = np.where(np.arange(80) == 40, np.uint8(255), FOUND)
RESTORED = np.random.default_rng(0).integers(0, 256, (60, 80, 3)).astype(np.uint8)


def sample(name="p", label=1, image=b"") -> Sample:
    boxes = np.array([[10, 10, 50, 50]], np.float32)
    classes, flags = np.array([label]), np.zeros(1, bool)
    about = {"labels": classes, "boxes": boxes, "classes": classes}
    about |= {"difficult": flags, "crowd": flags, "text": f"sentence {name}"}
    about["signal"] = wav.encode(np.float32([[0], [1], [-1]]))
    about["target"] = encoded(Image.fromarray(RESTORED))
    about["captions"] = ("A bee on a flower.", "Un abeille")
    about["segmentation"] = encoded(Image.fromarray(TRUE))
    mask = np.zeros((60, 80), np.uint8)
    mask[10:50, 10:50] = 1
    about["masks"] = (encoded(Image.fromarray(mask)),)
    about["keypoints"] = np.array([[[12, 20, 2], [30, 11, 1], [0, 0, 0]]], np.float32)
    return Sample(name, "val", image, 60, 80, **about)


BEST = {
    "scores": np.array([0.123456, 0.75, 0.126544], np.float32),
    "class_id": np.int64(1),
    "class_name": b"bee",
}
ANSWERS = {
    **dict.fromkeys(("classification", "text", "signals"), BEST),
    "localization": {**BEST, "box": np.array([10.126, 10, 50, 50.5], np.float32)},
    "multilabel": {
        "scores": np.array([0.6, 0.1, 0.9], np.float32),
        "chosen": np.array([True, False, True]),
        "class_names": np.array([b"cat", b"ant", b""], object),
        "num_labels": np.int32(2),
    },
    "detection": {
        "boxes": np.array([[10, 10, 50, 50], [0, 0, 9.126, 8], [0, 0, 0, 0]], np.float32),
        "scores": np.array([0.87654, 0.25, 0], np.float32),
        "classes": np.array([1, 2, 0]),
        "class_names": np.array([b"bee", b"cat", b""], object),
        "num_detections": np.int32(2),
    },
    "instance": {
        "boxes": np.array([[10, 10, 50, 50], [0, 0, 9.126, 8], [0, 0, 0, 0]], np.float32),
        "scores": np.array([0.87654, 0.25, 0], np.float32),
        "classes": np.array([1, 2, 0]),
        "class_names": np.array([b"bee", b"cat", b""], object),
        "num_detections": np.int32(2),
        "masks": np.stack([np.full((28, 28), value, np.float32) for value in (1.0, 0.6, 0.0)]),
    },
    "pose": {  # of the second person the last keypoint was not found
        "keypoints": np.array(
            [
                [[12, 20, 0.9], [30, 11, 0.8], [40, 41.5, 0.7]],
                [[1.0004, 2, 0.25], [5, 70, 0.5], [0, 0, 0]],
                np.zeros((3, 3)),
            ],
            np.float32,
        ),
        "scores": np.array([0.87654, 0.25, 0], np.float32),
        "num_people": np.int32(2),
        "class_names": np.array([b"ant", b"bee", b"cat"], object),  # where a model is asked
    },
    "segmentation": {
        "label_map_bytes": encoded(Image.fromarray(FOUND)),
        "class_fractions": np.array([0.75, 0, 0.25], np.float32),
        "class_names": np.array([b"ant", b"bee", b"cat"], object),  # where a model is asked
    },
    "restoration": {"image_bytes": encoded(Image.fromarray(RESTORED))},
    "attributes": {
        "scores": np.array([0.25, 0.75, 1.0], np.float32),
        "class_ids": np.array([1, 2]),
        "class_names": np.array([b"size=large", b"legs=six"], object),
    },
    "captioning": {
        "caption": b"a bee on a flower",
        "captions": np.array([b"a bee on a flower", b"a bee", b""], object),
        "scores": np.array([0.123456, 0.01, 0], np.float32),
    },
}

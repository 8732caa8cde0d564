"""What each task answers about one picture, and what lines, JSON and words make of it, by hand."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image


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


BEST = {
    "scores": np.array([0.123456, 0.75, 0.126544], np.float32),
    "class_id": np.int64(1),
    "class_name": b"bee",
}
ANSWERS = {
    "classification": BEST,
    "text": BEST,
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

ROWS = {
    "classification": {"scores": [0.12346, 0.75, 0.12654]},
    "text": {"scores": [0.12346, 0.75, 0.12654]},
    "localization": {"scores": [0.12346, 0.75, 0.12654], "box": [10.13, 10, 50, 50.5]},
    "multilabel": {"scores": [0.6, 0.1, 0.9], "chosen": [0, 2]},
    "detection": {
        "boxes": [[10, 10, 50, 50], [0, 0, 9.13, 8]],
        "scores": [0.8765, 0.25],
        "classes": [1, 2],
    },
    "segmentation": {"fractions": [0.75, 0, 0.25]},
    "restoration": {"height": 60, "width": 80},
    "attributes": {"scores": [0.25, 0.75, 1.0], "classes": [1, 2]},
    "captioning": {
        "caption": "a bee on a flower",
        "captions": ["a bee on a flower", "a bee", ""],
        "scores": [0.1235, 0.01, 0],
    },
    "pose": {
        "keypoints": [
            [[12, 20, 0.9], [30, 11, 0.8], [40, 41.5, 0.7]],
            [[1, 2, 0.25], [5, 70, 0.5], [0, 0, 0]],
        ],
        "scores": [0.8765, 0.25],
    },
}
ROWS["instance"] = ROWS["detection"]
MASKS = [base64.b64encode(bytes([value]) * 784).decode() for value in (255, 153)]
NAMED = {
    "classification": {"class": "bee", "scores": BEST["scores"].tolist()},
    "text": {"class": "bee", "scores": BEST["scores"].tolist()},
    "localization": {
        "class": "bee",
        "scores": BEST["scores"].tolist(),
        "box": ANSWERS["localization"]["box"].tolist(),
    },
    "multilabel": {"classes": ["cat", "ant"], "scores": ANSWERS["multilabel"]["scores"].tolist()},
    "detection": {
        "detections": [
            {"box": [10, 10, 50, 50], "score": float(np.float32(0.87654)), "class": "bee"},
            {"box": [0, 0, float(np.float32(9.126)), 8], "score": 0.25, "class": "cat"},
        ]
    },
    "segmentation": {"classes": {"ant": 0.75, "cat": 0.25}},
    "restoration": {"height": 60, "width": 80},
    "attributes": {
        "properties": {"size": "large", "legs": "six"},
        "scores": [0.25, 0.75, 1.0],
    },
    "captioning": {
        "caption": "a bee on a flower",
        "captions": [
            {"caption": "a bee on a flower", "score": float(np.float32(0.123456))},
            {"caption": "a bee", "score": float(np.float32(0.01))},
        ],
    },
    "pose": {
        "people": [
            {
                "score": float(np.float32(0.87654)),
                "keypoints": {
                    "ant": [12, 20, float(np.float32(0.9))],
                    "bee": [30, 11, float(np.float32(0.8))],
                    "cat": [40, 41.5, float(np.float32(0.7))],
                },
            },
            {
                "score": 0.25,
                "keypoints": {"ant": [float(np.float32(1.0004)), 2, 0.25], "bee": [5, 70, 0.5]},
            },
        ]
    },
}
NAMED["instance"] = {
    "detections": [
        {**found, "mask_28x28": mask}
        for found, mask in zip(NAMED["detection"]["detections"], MASKS, strict=True)
    ]
}
SAID = {
    "classification": "bee 0.75",
    "text": "bee 0.75",
    "localization": "bee 0.75",
    "multilabel": "cat, ant",
    "detection": "",
    "instance": "",
    "segmentation": "ant 75%, cat 25%",
    "restoration": "80x60 px",
    "attributes": "size=large, legs=six",
    "captioning": "a bee on a flower",
    "pose": "2 found",
}

"""What card.json says beside an exported file: enough to use it without Convoy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from convoy.models.resize import LETTERBOX_GRAY
from convoy.models.spec import ModelInfo, Preprocess
from convoy.serving.graphs import SUPPRESSION
from convoy.serving.parts import Parts
from convoy.serving.runtimes.kinds import Kind

FITTED = {
    "stretch": "to height x width by bilinear interpolation, sides scaled alike or not; half-pixel "
    "centres, no antialiasing",
    "crop": "the short side to that of the input divided by crop_pct, bilinear, half-pixel "
    "centres, no antialiasing; then the middle is cut out",
    "letterbox": "as a whole into the input, sides scaled alike, bilinear, half-pixel centres, no "
    f"antialiasing; in the middle, the rest is {LETTERBOX_GRAY}",
}
BOXES = {
    "boxes": "[B, N, 1 or K, 4] ymin, xmin, ymax, xmax in pixels of the input: decoded, before "
    "suppression; of all classes, or of each its own",
    "scores": "[B, N, K] of each box and class, in the order of labels",
}


def card_of(network: Parts, kind: str, row: Kind, told: Mapping[str, Any]) -> dict[str, Any]:
    """told: {"info": ModelInfo, "labels", "limits": of the decoding}."""
    info: ModelInfo = told["info"]
    (image,), outputs = network.network.inputs, network.network.outputs
    suppressed = SUPPRESSION in network.ends
    meanings = BOXES if suppressed else {}
    after = [f"in TensorFlow, before the answer: {', '.join(network.ends)}"] if network.ends else []
    if suppressed:
        after += [
            "boxes of a class below score_threshold are left out; of those of a class that overlap "
            "by more than iou_threshold the best stays; the best max_detections of all stay",
            "boxes are mapped back from the input to the picture and cut to it",
        ]
    return {
        "kind": kind,
        "file": row.file,
        "weights": row.form,
        "network": info.name,
        "task": info.task,
        "labels": list(told["labels"]),
        "input": _input(info, image),
        "outputs": [
            {
                "name": spec.name,
                "shape": list(spec.shape),
                "dtype": spec.dtype.name,
                **({"is": meanings[spec.name]} if spec.name in meanings else {}),
            }
            for spec in outputs
        ],
        "limits": dict(told["limits"]),
        "after": after,
        "share_of_weights": round(network.share, 4),
        "names": network.names._asdict(),
    }


def _input(info: ModelInfo, spec) -> dict[str, Any]:
    looks = info.preprocess
    known = {"name": spec.name, "shape": list(spec.shape), "dtype": spec.dtype.name}
    if not isinstance(looks, Preprocess):
        return known | dataclasses.asdict(looks)
    return known | {
        "layout": "batch, height, width, channels",
        "values": "0 to 255",
        "channels": looks.channel_order if looks.channel_order in ("gray", "bands") else "rgb",
        "resize": looks.resize,
        "resized": FITTED[looks.resize],
        "crop_pct": looks.crop_pct,
        "margin": looks.margin,
        "normalisation": "inside the file: (value * scale - mean) / std, channels in this order",
        "order_inside": looks.channel_order,
        "scale": looks.scale,
        "mean": list(looks.mean),
        "std": list(looks.std),
    }

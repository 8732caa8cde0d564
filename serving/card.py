"""The model card: what is in the SavedModel, as text that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convoy.models.spec import ModelInfo

PICTURE_LIMITS = (
    "- pictures must be upright: EXIF orientation is not read",
    "- of an animated GIF the first frame is looked at",
    "- transparency is ignored",
)
TEXT_LIMITS = (
    "- words that training did not see are all alike",
    "- letters other than a to z and A to Z part words and are lost",
)


def model_card(
    info: ModelInfo,
    report: Mapping[str, Any],
    labels: Sequence[str],
    card: Mapping[str, Any],
) -> str:
    """Markdown; holds nothing that differs from one export of the same network to the next."""
    lines = [
        f"# {info.name}",
        "",
        f"A network for {info.task}: {info.paper} ({info.year}).",
        "",
        "## Data",
        *_rows(card.get("data", {}), "not recorded"),
        "",
        "## Metrics",
        *_rows(card.get("metrics", {}), "not measured"),
        "",
        "## Answers",
        _input(info, report),
        f"- classes ({len(labels)}): {', '.join(labels)}",
    ]
    if info.task == "detection":
        lines += [
            f"- detections below a score of {report['score_threshold']} are not returned",
            f"- non-maximum suppression above an overlap of {report['iou_threshold']}",
            f"- at most {report['max_detections']} detections a picture",
        ]
    lines += [
        f"- scores lie within {report['tolerance']} of the float32 network",
        "",
        "## Limits",
        *(TEXT_LIMITS if info.task == "text" else PICTURE_LIMITS),
        "- the network knows the classes above and nothing else; what it was not trained on gets a"
        " score as well",
    ]
    return "\n".join(lines) + "\n"


def _input(info: ModelInfo, report: Mapping[str, Any]) -> str:
    if info.task == "text":
        return f"- input: sentences, of which the first {info.preprocess.words} words are seen"
    height, width = report["input_size"]
    return f"- input: {height} x {width} pixels, pictures fitted by {info.preprocess.resize!r}"


def _rows(values: Mapping[str, Any], otherwise: str) -> list[str]:
    """Numbers and texts; tables, such as metrics by class, stay in the evaluation's own files."""
    rows = []
    for name, value in values.items():
        if isinstance(value, float):
            rows.append(f"- {name}: {value:.4f}")
        elif isinstance(value, (int, str)):
            rows.append(f"- {name}: {value}")
    return rows or [f"- {otherwise}"]

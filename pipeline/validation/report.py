"""One HTML page about a data set: the verdict, every check, then what the data looks like."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from convoy.pipeline.report import pages, plots
from convoy.pipeline.validation import charts
from convoy.pipeline.validation.checks import REFUSED, WARNING, Check, objects

PROPOSED = "image/object/proposed_"  # and an overlap: see data/statistics/partial.py
ORDER = (REFUSED, WARNING)  # worth reading first


def write_report(
    path: pathlib.Path,
    valid: bool,
    text: str,
    checks: Sequence[Check],
    splits: Mapping[str, Mapping[str, Any]],
    boxes: Mapping[str, np.ndarray],
) -> None:
    """splits: those of statistics.json that are used, the training split first; boxes: theirs."""
    kind, word = ("blessed", "Valid") if valid else ("refused", "Refused")
    verdict = {"kind": kind, "word": word, "summary": text}
    pages.write(path, "validation.html", verdict=verdict, **content(checks, splits, boxes))


def content(
    checks: Sequence[Check],
    splits: Mapping[str, Mapping[str, Any]],
    boxes: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """What a page of a data set shows below its verdict; of no splits, the checks alone."""
    figures = (
        {}
        if not splits
        else {
            "Objects of each class, or pictures where there are no objects": _classes(splits),
            "Pixels of each class": _pixels(splits),
            "Pictures": charts.numbers(splits),
            "Boxes": charts.boxes(boxes),
            "Where objects are": charts.centers(splits),
            "Keypoints": charts.keypoints(next(iter(splits.values()))["keypoint_visibility"]),
        }
    )
    shown = [result for result in checks if result.verdict in ORDER and result.examples]
    return {
        "checks": _checks(checks),
        "examples": {result.name: result.examples for result in shown},
        "splits": list(splits),
        "numbers": _rows(splits),
        "charts": {
            caption: pages.uri(plots.png(figure), "png")
            for caption, figure in figures.items()
            if figure is not None
        },
    }


def _checks(checks: Sequence[Check]) -> dict[str, list]:
    """Rows of the table, the worst first."""
    rank = {verdict: place for place, verdict in enumerate(ORDER)}
    ranked = sorted(checks, key=lambda result: rank.get(result.verdict, len(ORDER)))
    return {
        result.name: [
            result.verdict.upper() if result.verdict in ORDER else result.verdict,
            result.value,
            "none" if result.limit is None else result.limit,
            result.text,
        ]
        for result in ranked
    }


def _classes(splits: Mapping[str, Mapping[str, Any]]):
    key = "objects_by_class" if any(map(objects, splits.values())) else "images_by_class"
    return plots.class_histogram({name: split[key] for name, split in splits.items()})


def _pixels(splits: Mapping[str, Mapping[str, Any]]):
    """None where there are no label maps."""
    counts = {name: split["label_maps"].get("pixels_by_class") for name, split in splits.items()}
    counts = {name: pixels for name, pixels in counts.items() if pixels}
    return plots.class_histogram(counts) if counts else None


def _rows(splits: Mapping[str, Mapping[str, Any]]) -> dict[str, list]:
    """Name of a number -> its value in each split."""
    medians = {
        "width, median": "image/width",
        "height, median": "image/height",
        "bytes per picture, median": "image/bytes",
        "brightness, median": "image/brightness",
        "objects per picture, median": "image/objects",
        "area of a box, median part": "image/object/relative_area",
        "proposals per picture, median": "image/proposals",
        "words per caption, median": "image/caption/words",
        "words per sentence, median": "text/words",
        "samples per signal, median": "signal/samples",
        "samples per second, median": "signal/rate",
    }
    rows = {
        "records": [split["records"] for split in splits.values()],
        "objects": [objects(split) for split in splits.values()],
        "masks": [_total(split, "image/masks") for split in splits.values()],
        "label maps": [split["label_maps"].get("label_maps", 0) for split in splits.values()],
        "captions": [_total(split, "image/captions") for split in splits.values()],
        **{
            flag: [split["flags"][flag] for split in splits.values()]
            for flag in ("difficult", "truncated", "is_crowd")
        },
        **{
            label: [split["numbers"].get(name, {}).get("median") for split in splits.values()]
            for label, name in medians.items()
        },
    }
    for name in sorted({n for split in splits.values() for n in split["numbers"]}):
        if name.startswith(PROPOSED):
            label = f"objects that a proposal overlaps by {name.removeprefix(PROPOSED)}"
            parts = [split["numbers"].get(name, {}).get("mean") for split in splits.values()]
            rows[label] = [None if part is None else round(part, 4) for part in parts]
    return {label: values for label, values in rows.items() if any(values)}


def _total(split: Mapping[str, Any], name: str) -> int:
    numbers = split["numbers"].get(name, {"count": 0})
    return round(numbers["mean"] * numbers["count"]) if numbers["count"] else 0

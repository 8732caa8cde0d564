"""The statistics of all splits as plain values, for people and for the checks of them."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from convoy.data.statistics import keys
from convoy.data.statistics.partial import Partial

# (rows of one or two splits, kind, hashes) -> for each hash the source_ids that have it
Names = Callable[[Sequence[np.ndarray], str, np.ndarray], list[list[str]]]


def files_of(manifest: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(split, record file) of all, in the manifest's order; a shard's number counts them."""
    return [
        (split, name) for split, entry in manifest["splits"].items() for name in entry["shards"]
    ]


def summary(
    records: pathlib.Path, manifest: Mapping[str, Any], splits: Mapping[str, Partial]
) -> dict[str, Any]:
    """As `overview`, of a folder of records."""
    paths = {i: str(records / name) for i, (_, name) in enumerate(files_of(manifest))}
    return overview(manifest, splits, functools.partial(keys.names, paths=paths))


def overview(
    manifest: Mapping[str, Any], splits: Mapping[str, Partial], names: Names
) -> dict[str, Any]:
    """The statistics as plain values: {"labels", "splits": {..}, "shared": {"train+val": {..}}}."""
    return {
        "labels": list(manifest["labels"]),
        "segmentation_labels": list(manifest.get("segmentation_labels", ())),
        # What the ingest told of, see data.sample.Told.
        "told": {key: list(manifest.get(key, ())) for key in ("unused", "ambiguous")},
        "splits": {name: _split(partial, manifest, names) for name, partial in splits.items()},
        "shared": {
            f"{first}+{second}": _shared(splits, first, second, names)
            for i, first in enumerate(splits)
            for second in list(splits)[i + 1 :]
        },
    }


def _split(partial: Partial, manifest: Mapping[str, Any], names: Names) -> dict[str, Any]:
    labels, points = manifest["labels"], list(manifest.get("keypoints", ()))
    objects = partial.words.get("image/object/class/text", {})
    repeated = keys.repeated(partial.rows)[: keys.EXAMPLES]
    visibility: dict[str, list[int]] = {}
    for (index, visible), count in sorted(partial.visibility.items()):
        name = points[index] if index < len(points) else f"keypoint {index}"
        visibility.setdefault(name, [0, 0, 0])[min(max(visible, 0), 2)] += count
    flags = ("difficult", "truncated", "is_crowd")
    totals = {flag: partial.numbers.get(f"image/object/{flag}") for flag in flags}
    return {
        "records": partial.records,
        "features": {
            name: {
                "kinds": dict(feature.kinds),
                "records": feature.lengths.count,
                "values": feature.lengths.total,
            }
            for name, feature in sorted(partial.features.items())
        },
        "images_by_class": _by_label(partial.images_by_class, labels),
        "objects_by_class": _by_label(objects, labels),
        "flags": {flag: int(numbers.sum) if numbers else 0 for flag, numbers in totals.items()},
        "numbers": {name: values.summary() for name, values in sorted(partial.numbers.items())},
        "label_maps": partial.label_maps.summary(manifest.get("segmentation_labels", ())),
        "keypoint_visibility": visibility,  # name -> [not labelled, hidden, visible]
        "centers": partial.centers.tolist(),  # rows from the top, columns from the left
        "problems": {
            reason: {
                "count": problem.count,
                "records": problem.records,
                "examples": problem.examples,
            }
            for reason, problem in sorted(partial.problems.items())
        },
        "copies": {
            "records": keys.copies(partial.rows),
            "examples": names([partial.rows], "image", repeated),
        },
    }


def _by_label(counts: Mapping[str, int], labels: Sequence[str]) -> dict[str, int]:
    """Every label in its order, then names that are no label."""
    unknown = sorted(set(counts) - set(labels))
    return {name: counts.get(name, 0) for name in (*labels, *unknown)}


def _shared(splits: Mapping[str, Partial], first: str, second: str, names: Names):
    rows = [splits[first].rows, splits[second].rows]
    hashes = keys.shared(*rows)
    examples = {kind: names(rows, kind, hashes[kind][: keys.EXAMPLES]) for kind in hashes}
    return {
        **{kind: len(common) for kind, common in hashes.items()},
        "records": {
            name: keys.touched(part, hashes)
            for name, part in zip((first, second), rows, strict=True)
        },
        "examples": examples,
    }

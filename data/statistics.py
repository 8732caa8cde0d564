"""Statistics of a split, in one pass over its records, without TensorFlow.

Two forms of the same numbers: a plain dict for people and reports, and tensorflow-metadata's
DatasetFeatureStatistics, which TFDV and Facets show.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from data import example, tfrecord

BINS = 10


def collect(paths: Iterable[str], labels: Sequence[str]) -> dict[str, Any]:
    """Numbers of one split. Box areas are parts of their picture, aspects are width / height."""
    columns: dict[str, list[float]] = {
        name: [] for name in ("height", "width", "image_bytes", "objects", "box_area", "box_aspect")
    }
    classes = {"images_by_class": collections.Counter(), "objects_by_class": collections.Counter()}
    flags = collections.Counter({"difficult": 0, "truncated": 0, "crowd": 0})
    for path in paths:
        for record in tfrecord.read(path):
            sample = example.decode(record)
            columns["height"].append(sample.height)
            columns["width"].append(sample.width)
            columns["image_bytes"].append(len(sample.image))
            columns["objects"].append(len(sample.boxes))
            sizes = sample.boxes[:, 2:].astype(np.float64) - sample.boxes[:, :2]
            area = sizes.prod(axis=1) / (sample.height * sample.width)
            columns["box_area"] += area.tolist()
            columns["box_aspect"] += (sizes[:, 1] / np.maximum(sizes[:, 0], 1e-9)).tolist()
            classes["images_by_class"].update({*sample.labels.tolist(), *sample.classes.tolist()})
            classes["objects_by_class"].update(sample.classes.tolist())
            for name in flags:
                flags[name] += int(getattr(sample, name).sum())
    return {
        "records": len(columns["height"]),
        **{
            kind: {name: counts[index] for index, name in enumerate(labels)}
            for kind, counts in classes.items()
        },
        "flags": dict(flags),
        "numbers": {name: _summary(values) for name, values in columns.items()},
    }


def to_proto(splits: Mapping[str, Mapping[str, Any]]):
    """The statistics of all splits as a tensorflow-metadata DatasetFeatureStatisticsList."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    result = statistics_pb2.DatasetFeatureStatisticsList()
    kinds = statistics_pb2.FeatureNameStatistics
    for split, numbers in splits.items():
        dataset = result.datasets.add(name=split, num_examples=numbers["records"])
        for name, summary in numbers["numbers"].items():
            feature = dataset.features.add(type=kinds.FLOAT)
            feature.path.step.append(name)
            _common(feature.num_stats.common_stats, numbers["records"], summary["count"])
            if summary["count"]:
                _fill_numeric(feature.num_stats, summary)
        for name in ("images_by_class", "objects_by_class"):
            feature = dataset.features.add(type=kinds.STRING)
            feature.path.step.append(name)
            counts = sorted(numbers[name].items(), key=lambda item: (-item[1], item[0]))
            total = sum(numbers[name].values())
            _common(feature.string_stats.common_stats, numbers["records"], total)
            feature.string_stats.unique = sum(count > 0 for _, count in counts)
            for rank, (label, count) in enumerate(counts):
                feature.string_stats.rank_histogram.buckets.add(
                    low_rank=rank, high_rank=rank, label=label, sample_count=count
                )
    return result


def _summary(values: Sequence[float]) -> dict[str, Any]:
    """Count and, unless it is 0, min, max, mean, std, median and a histogram of equal bins."""
    if not values:
        return {"count": 0}
    array = np.asarray(values, np.float64)
    counts, edges = np.histogram(array, bins=BINS)
    return {
        "count": len(array),
        "min": float(array.min()),
        "max": float(array.max()),
        "mean": float(array.mean()),
        "std": float(array.std()),
        "median": float(np.median(array)),
        "histogram": {"edges": edges.tolist(), "counts": counts.tolist()},
    }


def _common(stats, records: int, values: int) -> None:
    stats.num_non_missing = records
    stats.tot_num_values = values
    stats.avg_num_values = values / records if records else 0.0


def _fill_numeric(stats, summary: Mapping[str, Any]) -> None:
    stats.mean, stats.std_dev = summary["mean"], summary["std"]
    stats.min, stats.median, stats.max = summary["min"], summary["median"], summary["max"]
    histogram = stats.histograms.add()  # of type STANDARD: bins of equal width
    edges, counts = summary["histogram"]["edges"], summary["histogram"]["counts"]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        histogram.buckets.add(low_value=low, high_value=high, sample_count=count)

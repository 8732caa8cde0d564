"""Statistics as tensorflow-metadata's DatasetFeatureStatisticsList, which TFDV and Facets show.

Features are named by their key in the records; those that are worked out of them are marked as
derived by Convoy. What no field of the message fits lies in custom_stats.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import statistics_pb2

from convoy.data.statistics.numbers import Numbers
from convoy.data.statistics.partial import DERIVED, Feature, Partial

_KINDS = statistics_pb2.FeatureNameStatistics
_TYPES = {"int64": _KINDS.INT, "float": _KINDS.FLOAT, "bytes": _KINDS.BYTES}
DERIVER = "convoy"


def to_proto(
    splits: Mapping[str, Partial], summary: Mapping[str, Any]
) -> statistics_pb2.DatasetFeatureStatisticsList:
    """One dataset per split. `summary` is that of `summary.summary`."""
    result = statistics_pb2.DatasetFeatureStatisticsList()
    for split, partial in splits.items():
        dataset = result.datasets.add(name=split, num_examples=partial.records)
        for name, feature in sorted(partial.features.items()):
            _stored(dataset.features.add(), name, feature, partial)
        for name in sorted(DERIVED.keys() & partial.numbers.keys()):
            if partial.numbers[name].count:
                _derived(dataset.features.add(), name, partial.numbers[name], partial.records)
        _custom(dataset, summary["splits"][split])
    return result


def _stored(target, name: str, feature: Feature, partial: Partial) -> None:
    """A feature that records hold."""
    target.path.step.append(name)
    (kind, _), *_ = feature.kinds.most_common(1)
    words = partial.words.get(name)
    target.type = _KINDS.STRING if words else _TYPES[kind]
    if words:
        stats = target.string_stats
        _rank(stats, words)
        stats.avg_length = feature.sizes.sum / max(feature.sizes.count, 1)
    elif kind == "bytes":
        stats = target.bytes_stats
        if feature.sizes.count:
            sizes = feature.sizes.summary()
            stats.avg_num_bytes = sizes["mean"]
            stats.min_num_bytes, stats.max_num_bytes = sizes["min"], sizes["max"]
    else:
        stats = target.num_stats
        if name in partial.numbers:
            _numeric(stats, partial.numbers[name])
    lengths = feature.lengths
    _common(stats.common_stats, partial.records, lengths)


def _derived(target, name: str, numbers: Numbers, records: int) -> None:
    target.path.step.append(name)
    target.type = _KINDS.FLOAT
    target.validation_derived_source.deriver_name = DERIVER
    common = target.num_stats.common_stats
    common.num_non_missing, common.tot_num_values = records, numbers.count
    _numeric(target.num_stats, numbers)


def _common(common, records: int, lengths: Numbers) -> None:
    common.num_non_missing = lengths.count
    common.num_missing = records - lengths.count
    common.tot_num_values = lengths.total
    common.min_num_values, common.max_num_values = lengths.lowest or 0, lengths.highest or 0
    common.avg_num_values = lengths.total / max(lengths.count, 1)
    _quantiles(common.num_values_histogram, lengths.summary())


def _numeric(stats, numbers: Numbers) -> None:
    summary = numbers.summary()
    if not summary["count"]:
        return
    stats.mean, stats.std_dev, stats.num_zeros = summary["mean"], summary["std"], summary["zeros"]
    stats.min, stats.median, stats.max = summary["min"], summary["median"], summary["max"]
    bars = stats.histograms.add(type=statistics_pb2.Histogram.STANDARD, num_nan=numbers.bad)
    edges, counts = summary["histogram"]["edges"], summary["histogram"]["counts"]
    for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
        bars.buckets.add(low_value=low, high_value=high, sample_count=count)
    _quantiles(stats.histograms.add(num_nan=numbers.bad), summary)


def _quantiles(target, summary: Mapping[str, Any]) -> None:
    target.type = statistics_pb2.Histogram.QUANTILES
    edges = summary.get("quantiles", ())
    for low, high in itertools.pairwise(edges):
        share = summary["count"] / (len(edges) - 1)
        target.buckets.add(low_value=low, high_value=high, sample_count=share)


def _rank(stats, counts: Mapping[str, int]) -> None:
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    stats.unique = len(ranked)
    for rank, (label, count) in enumerate(ranked):
        stats.rank_histogram.buckets.add(
            low_rank=rank, high_rank=rank, label=label, sample_count=count
        )
        if rank < 10:
            stats.top_values.add(value=label, frequency=count)


def _custom(dataset, summary: Mapping[str, Any]) -> None:
    """Problems, copies, box centres and keypoints, on the feature that they are about."""
    features = {feature.path.step[0]: feature for feature in dataset.features}
    places = {
        "image/encoded": {"copies": summary["copies"]["records"]},
        "image/source_id": {n: problem["count"] for n, problem in summary["problems"].items()},
    }
    for name, numbers in places.items():
        for key, value in numbers.items():
            if name in features:
                features[name].custom_stats.add(name=key, num=value)
    texts = {
        "image/object/bbox/ymin": ("centers", summary["centers"]),
        "image/object/keypoint/visibility": ("visibility", summary["keypoint_visibility"]),
        "image/segmentation/class/encoded": ("label_maps", summary["label_maps"]),
    }
    for name, (key, value) in texts.items():
        if name in features:
            features[name].custom_stats.add(name=key, str=json.dumps(value))

"""Comparators of a schema: how far a distribution is from another split's or an earlier run's."""

from __future__ import annotations

import dataclasses

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from convoy.pipeline.validation import distance
from convoy.pipeline.validation.infer import common_of

_TYPES = anomalies_pb2.DriftSkewInfo.Measurement
NORMS = {
    "jensen_shannon_divergence": _TYPES.JENSEN_SHANNON_DIVERGENCE,
    "infinity_norm": _TYPES.L_INFTY,
}


@dataclasses.dataclass(frozen=True)
class Measured:
    """One feature of two data sets, compared as its comparator asks."""

    feature: str
    norm: str  # of NORMS
    value: float  # a Jensen-Shannon divergence is what is left above chance
    threshold: float
    largest: str  # the name whose part changed most, or ""


def compare(
    schema: schema_pb2.Schema,
    comparator: str,
    first: statistics_pb2.DatasetFeatureStatistics,
    second: statistics_pb2.DatasetFeatureStatistics,
    threshold: float | None = None,
) -> list[Measured]:
    """comparator: "drift_comparator" or "skew_comparator"; threshold replaces the schema's own."""
    stats = [{f.path.step[0]: f for f in dataset.features} for dataset in (first, second)]
    measured = []
    for feature in schema.feature:
        limits = getattr(feature, comparator)
        if not all(feature.name in side for side in stats):
            continue
        both = [side[feature.name] for side in stats]
        counts = _counts(*both)
        for norm in NORMS:
            if counts and limits.HasField(norm):
                limit = getattr(limits, norm).threshold if threshold is None else threshold
                value, largest = _measure(norm, *counts, *map(_records, both))
                named = largest if both[0].HasField("string_stats") else ""
                measured.append(Measured(feature.name, norm, value, limit, named))
    return measured


def record(result: anomalies_pb2.Anomalies, measured: list[Measured], field: str) -> None:
    """Adds the measurements to the message; field: drift_measurements or skew_measurements."""
    for item in measured:
        info = next((i for i in result.drift_skew_info if i.path.step[0] == item.feature), None)
        if info is None:
            info = result.drift_skew_info.add()
            info.path.step.append(item.feature)
        getattr(info, field).add(type=NORMS[item.norm], value=item.value, threshold=item.threshold)


def _counts(first, second) -> tuple[dict[str, float], dict[str, float]] | None:
    """The same feature's counts in both: of names, or of numbers in common bins."""
    sides = first, second
    if all(side.HasField("string_stats") for side in sides):
        ranks = [side.string_stats.rank_histogram.buckets for side in sides]
        return tuple({bucket.label: bucket.sample_count for bucket in rank} for rank in ranks)
    if all(side.HasField("num_stats") and side.num_stats.histograms for side in sides):
        return distance.rebinned(*(side.num_stats.histograms[0] for side in sides))
    return None


def _records(stats) -> int:
    """Independent samples: the objects of one picture are not."""
    return min(common_of(stats).num_non_missing, common_of(stats).tot_num_values)


def _measure(norm: str, first, second, *records: int) -> tuple[float, str]:
    sums = [max(sum(side.values()), 1e-300) for side in (first, second)]
    changes = {
        name: abs(first.get(name, 0) / sums[0] - second.get(name, 0) / sums[1])
        for name in sorted({*first, *second})
    }
    largest = max(changes, key=changes.get, default="")
    if norm == "infinity_norm":
        return distance.infinity_norm(first, second), largest
    present = sum(first.get(name, 0) + second.get(name, 0) > 0 for name in changes)
    excess = distance.jensen_shannon(first, second) - distance.by_chance(present, *records)
    return max(0.0, excess), largest

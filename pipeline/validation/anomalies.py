"""Statistics against a schema: what tensorflow-metadata calls anomalies.

Of the schema these parts are looked at: presence, type, value_count, int_domain, float_domain,
string_domain (also by name, with distribution_constraints.min_domain_mass), image_domain,
dataset_constraints.min_examples_count. Comparators are for drift.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from convoy.pipeline.validation.infer import common_of

INFO = anomalies_pb2.AnomalyInfo
_STATS = statistics_pb2.FeatureNameStatistics
_FITTING = {
    schema_pb2.INT: (_STATS.INT,),
    schema_pb2.FLOAT: (_STATS.FLOAT,),
    schema_pb2.BYTES: (_STATS.BYTES, _STATS.STRING),
}
_OPTIONAL = (schema_pb2.DEPRECATED, schema_pb2.PLANNED, schema_pb2.ALPHA, schema_pb2.DISABLED)
BAD_PICTURES = ("corrupt_image", "wrong_size", "missing_size")  # problems of records


def find(
    dataset: statistics_pb2.DatasetFeatureStatistics,
    schema: schema_pb2.Schema,
    problems: Mapping[str, Any],
    result: anomalies_pb2.Anomalies,
) -> None:
    """Adds the anomalies of one split. problems: its part of statistics.json."""
    stats = {feature.path.step[0]: feature for feature in dataset.features}
    constraints = schema.dataset_constraints
    if dataset.num_examples < constraints.min_examples_count:
        text = f"{dataset.num_examples} records, expected {constraints.min_examples_count} or more"
        _add(result, "records", dataset.name, INFO.DATASET_LOW_NUM_EXAMPLES, "Few records", text)
    for feature in schema.feature:
        if feature.lifecycle_stage in (*_OPTIONAL, schema_pb2.VALIDATION_DERIVED):
            continue
        feature_stats = stats.get(feature.name)
        if feature_stats is None:
            if feature.presence.min_count or feature.presence.min_fraction:
                kind = INFO.SCHEMA_MISSING_COLUMN
                _add(result, feature.name, dataset.name, kind, "Missing", "no record has it")
            continue
        faults = [
            *_shape(feature, feature_stats, dataset.num_examples),
            *_numbers(feature, feature_stats),
            *_strings(feature, feature_stats, schema),
            *_pictures(feature, problems, dataset.num_examples),
        ]
        for kind, short, long in faults:
            _add(result, feature.name, dataset.name, kind, short, long)
    expected = {feature.name for feature in schema.feature}
    for name in sorted(stats.keys() - expected):
        if not stats[name].HasField("validation_derived_source"):
            long, kind = "the schema does not know it", INFO.SCHEMA_NEW_COLUMN
            _add(result, name, dataset.name, kind, "New feature", long, INFO.WARNING)


def errors(result: anomalies_pb2.Anomalies) -> list[str]:
    """One line for each feature with an anomaly that is more than a warning."""
    return [
        f"{name}: {info.description}"
        for name, info in sorted(result.anomaly_info.items())
        if info.severity == INFO.ERROR
    ]


def _shape(feature, stats, records: int):
    common = common_of(stats)
    if stats.type not in _FITTING.get(feature.type, (stats.type,)):
        expected = schema_pb2.FeatureType.Name(feature.type)
        yield INFO.UNEXPECTED_DATA_TYPE, "Type", f"expected {expected}"
    part = common.num_non_missing / max(records, 1)
    if part < feature.presence.min_fraction:
        text = f"{part:.4g} of the records have it, expected {feature.presence.min_fraction:.4g}"
        yield INFO.FEATURE_TYPE_LOW_FRACTION_PRESENT, "Missing in records", text
    elif common.num_non_missing < feature.presence.min_count:
        text = f"{common.num_non_missing} records have it, expected {feature.presence.min_count}"
        yield INFO.FEATURE_TYPE_LOW_NUMBER_PRESENT, "Missing in records", text
    low, high = feature.value_count.min, feature.value_count.max
    if feature.HasField("value_count") and common.min_num_values < low:
        text = f"{common.min_num_values} values in a record, expected {low} or more"
        yield INFO.FEATURE_TYPE_LOW_NUMBER_VALUES, "Too few values", text
    if feature.HasField("value_count") and 0 < high < common.max_num_values:
        text = f"{common.max_num_values} values in a record, expected {high} or fewer"
        yield INFO.FEATURE_TYPE_HIGH_NUMBER_VALUES, "Too many values", text


def _numbers(feature, feature_stats):
    kind = feature.WhichOneof("domain_info")
    if kind not in ("int_domain", "float_domain") or not feature_stats.HasField("num_stats"):
        return
    domain, stats = getattr(feature, kind), feature_stats.num_stats
    if not stats.histograms:
        return
    types = {
        "int_domain": (INFO.INT_TYPE_SMALL_INT, INFO.INT_TYPE_BIG_INT),
        "float_domain": (INFO.FLOAT_TYPE_SMALL_FLOAT, INFO.FLOAT_TYPE_BIG_FLOAT),
    }[kind]
    if domain.HasField("min") and stats.min < domain.min:
        yield types[0], "Out of domain", f"{stats.min:g}, expected {domain.min:g} or more"
    if domain.HasField("max") and stats.max > domain.max:
        yield types[1], "Out of domain", f"{stats.max:g}, expected {domain.max:g} or less"
    if stats.histograms[0].num_nan:
        yield INFO.FLOAT_TYPE_HAS_NAN, "Not finite", f"{stats.histograms[0].num_nan} values"


def _strings(feature, stats, schema):
    kind = feature.WhichOneof("domain_info")
    if kind == "domain":
        named = {domain.name: domain.value for domain in schema.string_domain}
        allowed = set(named.get(feature.domain, ()))
    elif kind == "string_domain":
        allowed = set(feature.string_domain.value)
    else:
        return
    buckets = stats.string_stats.rank_histogram.buckets
    unexpected = {b.label: b.sample_count for b in buckets if b.label not in allowed}
    total = sum(bucket.sample_count for bucket in buckets)
    least = feature.distribution_constraints.min_domain_mass  # 1 where it is not set
    if unexpected and 1 - sum(unexpected.values()) / total < least:
        listed = ", ".join(
            f"{name!r} ({count:g})" for name, count in sorted(unexpected.items())[:10]
        )
        text = f"values that the domain lacks: {listed}"
        yield INFO.ENUM_TYPE_UNEXPECTED_STRING_VALUES, "Unexpected values", text


def _pictures(feature, problems, records: int):
    least = feature.image_domain.minimum_supported_image_fraction
    if feature.WhichOneof("domain_info") != "image_domain" or not records:
        return
    bad = {name: problems[name] for name in BAD_PICTURES if name in problems}
    part = 1 - sum(problem["records"] for problem in bad.values()) / records
    if part < least:
        first = "; ".join(f"{name}: {': '.join(p['examples'][0])}" for name, p in bad.items())
        text = f"{part:.4g} of the pictures are sound, expected {least:.4g}; {first}"
        yield INFO.LOW_SUPPORTED_IMAGE_FRACTION, "Bad pictures", text


def _add(result, name, split, kind, short, long, severity=INFO.ERROR) -> None:
    info = result.anomaly_info[name]
    if not info.path.step:
        info.path.step.append(name)
        info.severity = severity
    text = f"{split}: {long}"
    info.severity = max(info.severity, severity)
    info.short_description = short if len(info.reason) == 0 else "Several faults"
    info.description = f"{info.description}; {text}" if info.description else text
    info.reason.add(type=kind, short_description=short, description=text)

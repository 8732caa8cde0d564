"""The schema that the statistics of a training split suggest: a first draft, to edit by hand.

Facts of the records' format (a picture has one height) come from the format; what is this data
set's own (its classes, which lists it has) from the statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from convoy.data.example import FEATURES
from convoy.data.statistics.proto import DERIVER

CLASSES = "classes"  # the string domain of class names
MAX_DRIFT = 0.15  # Jensen-Shannon divergence in bits, beyond chance, from the last valid run
MAX_SKEW = 0.3  # the same between the training split and those that judge
COMPARED = (  # also those whose drift matters though no record holds them
    "image/class/text",
    "image/object/class/text",
    "image/brightness",
    "image/aspect",
    "image/object/relative_area",
)
_FLAGS = ("image/object/difficult", "image/object/truncated", "image/object/is_crowd")
_BOUNDS = {  # what the format allows; None = no bound. Boxes have a limit of their own.
    "image/height": (1, None),
    "image/width": (1, None),
    "image/object/keypoint/visibility": (0, 2),
    **dict.fromkeys(_FLAGS, (0, 1)),
}
_LABELS = ("image/class/label", "image/object/class/label")
_NAMES = ("image/class/text", "image/object/class/text")
_STATS = statistics_pb2.FeatureNameStatistics
_TYPES = {
    _STATS.INT: schema_pb2.INT,
    _STATS.FLOAT: schema_pb2.FLOAT,
    _STATS.STRING: schema_pb2.BYTES,
    _STATS.BYTES: schema_pb2.BYTES,
}


def infer(
    dataset: statistics_pb2.DatasetFeatureStatistics, labels: Sequence[str]
) -> schema_pb2.Schema:
    """A schema that this dataset meets; class names are the whole label map's."""
    schema = schema_pb2.Schema()
    schema.string_domain.add(name=CLASSES, value=labels)
    constraints = schema.dataset_constraints
    constraints.min_examples_count = 1
    constraints.num_examples_drift_comparator.min_fraction_threshold = 0.5
    for stats in dataset.features:
        name = stats.path.step[0]
        feature = schema.feature.add(name=name, type=_TYPES[stats.type])
        if stats.HasField("validation_derived_source"):
            feature.lifecycle_stage = schema_pb2.VALIDATION_DERIVED
            feature.validation_derived_source.deriver_name = DERIVER
        else:
            _shape(feature, common_of(stats))
            _domain(feature, len(labels))
        if name in COMPARED:
            feature.drift_comparator.jensen_shannon_divergence.threshold = MAX_DRIFT
            if name in _NAMES or name == "image/object/relative_area":
                feature.skew_comparator.jensen_shannon_divergence.threshold = MAX_SKEW
    return schema


def common_of(stats: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.CommonStatistics:
    """Presence and lengths, wherever the kind of the feature keeps them."""
    return getattr(stats, stats.WhichOneof("stats")).common_stats


def _shape(feature: schema_pb2.Feature, common: statistics_pb2.CommonStatistics) -> None:
    """Presence and number of values: single values in all records, lists in at least some."""
    single = FEATURES.get(feature.name, ("", None))[1] == 1 and common.max_num_values <= 1
    feature.presence.min_count = 1
    if single and not common.num_missing:
        feature.presence.min_fraction = 1.0
    feature.value_count.min = 1
    if single:
        feature.value_count.max = 1


def _domain(feature: schema_pb2.Feature, classes: int) -> None:
    name = feature.name
    low, high = (0, classes - 1) if name in _LABELS else _BOUNDS.get(name, (None, None))
    if feature.type == schema_pb2.INT and low is not None:
        feature.int_domain.min = low
        if high is not None:
            feature.int_domain.max = high
    if name in _NAMES:
        feature.domain = CLASSES
        feature.distribution_constraints.min_domain_mass = 1.0
    if name == "image/format":
        feature.string_domain.value.extend(["jpeg", "png"])
    if name == "image/encoded":
        feature.image_domain.minimum_supported_image_fraction = 1.0

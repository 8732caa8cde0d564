"""The inferred schema, and statistics held against schemas."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from convoy.pipeline.components import example_validator, schema_gen
from convoy.pipeline.validation import anomalies
from tests.components.test_statistics import (
    LABELS,
    edited,
    encoded,
    generate,
    sample,
    write_records,
)


@pytest.fixture(scope="module")
def statistics(tmp_path_factory):
    """train: 6 good records, 1 without objects; val: 3 with a fault each, 1 good."""
    top = tmp_path_factory.mktemp("schema")
    train = encoded([sample(i) for i in range(6)] + [sample(6, objects=0)])
    good, first, second, third = encoded([sample(i) for i in range(10, 14)])
    val = [
        good,
        edited(first, image__object__class__text=[b"cow", b"cow"]),
        edited(second, image__object__difficult=[0, 3], image__encoded=[b"no picture"]),
        edited(third, image__key__sha256=[]),
    ]
    folder = write_records(top / "records", {"train": [train], "val": [val]})
    generate(folder, top / "statistics")
    return top / "statistics"


@pytest.fixture(scope="module")
def schema(statistics, tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    schema_gen.run({"statistics": statistics}, schema_gen.Params(train="train"), out)
    return example_validator.read_schema(out)


def found(statistics, schema, split="val", problems=None):
    result = anomalies_pb2.Anomalies()
    anomalies.find(schema_gen.dataset(statistics, split), schema, problems or {}, result)
    return result


def feature(schema, name):
    return next(one for one in schema.feature if one.name == name)


def test_what_is_inferred(schema):
    height = feature(schema, "image/height")
    assert height.type == schema_pb2.INT
    assert (height.presence.min_fraction, height.value_count.min, height.value_count.max) == (
        1,
        1,
        1,
    )
    assert height.int_domain.min == 1
    edge = feature(schema, "image/object/bbox/ymin")
    assert edge.type == schema_pb2.FLOAT
    assert (edge.presence.min_fraction, edge.presence.min_count) == (0, 1)  # one picture has none
    assert edge.value_count.max == 0  # any number
    text = feature(schema, "image/object/class/text")
    assert (text.type, text.domain) == (schema_pb2.BYTES, "classes")
    assert list(schema.string_domain[0].value) == list(LABELS)
    assert text.drift_comparator.jensen_shannon_divergence.threshold == 0.15
    assert text.skew_comparator.jensen_shannon_divergence.threshold == 0.3
    label = feature(schema, "image/object/class/label")
    assert (label.int_domain.min, label.int_domain.max) == (0, 1)
    assert feature(schema, "image/encoded").HasField("image_domain")
    light = feature(schema, "image/brightness")
    assert light.lifecycle_stage == schema_pb2.VALIDATION_DERIVED
    assert not light.HasField("presence")


def test_the_split_it_was_made_of_fits(statistics, schema):
    assert not found(statistics, schema, "train").anomaly_info


def test_each_fault_is_an_anomaly(statistics, schema):
    problems = {"corrupt_image": {"records": 1, "count": 1, "examples": [["a", "does not decode"]]}}
    info = found(statistics, schema, problems=problems).anomaly_info
    kinds = {name: [reason.type for reason in one.reason] for name, one in info.items()}
    assert kinds == {
        "image/object/class/text": [anomalies.INFO.ENUM_TYPE_UNEXPECTED_STRING_VALUES],
        "image/object/difficult": [anomalies.INFO.INT_TYPE_BIG_INT],
        "image/encoded": [anomalies.INFO.LOW_SUPPORTED_IMAGE_FRACTION],
        "image/key/sha256": [anomalies.INFO.FEATURE_TYPE_LOW_FRACTION_PRESENT],
    }
    told = info["image/object/class/text"].description
    assert told == "val: values that the domain lacks: 'cow' (2)"
    assert "0.75 of the pictures are sound, expected 1; corrupt_image: a: does not decode" in (
        info["image/encoded"].description
    )


@pytest.mark.parametrize(
    ("edit", "name", "kind"),
    [
        (
            "feature { name: 'text/string' presence { min_count: 1 } }",
            "text/string",
            "SCHEMA_MISSING_COLUMN",
        ),
        ("feature { name: 'image/width' type: FLOAT }", "image/width", "UNEXPECTED_DATA_TYPE"),
        (
            "feature { name: 'image/width' int_domain { max: 59 } }",
            "image/width",
            "INT_TYPE_BIG_INT",
        ),
        (
            "feature { name: 'image/width' int_domain { min: 61 } }",
            "image/width",
            "INT_TYPE_SMALL_INT",
        ),
        (
            "feature { name: 'image/object/area' float_domain { max: 1.5 } }",
            "image/object/area",
            "FLOAT_TYPE_BIG_FLOAT",
        ),
        (
            "feature { name: 'image/object/area' value_count { max: 1 } }",
            "image/object/area",
            "FEATURE_TYPE_HIGH_NUMBER_VALUES",
        ),
        ("dataset_constraints { min_examples_count: 8 }", "records", "DATASET_LOW_NUM_EXAMPLES"),
        (
            "feature { name: 'image/format' string_domain { value: 'png' } }",
            "image/format",
            "ENUM_TYPE_UNEXPECTED_STRING_VALUES",
        ),
    ],
)
def test_schemas_written_by_hand(statistics, edit, name, kind):
    info = found(statistics, text_format.Parse(edit, schema_pb2.Schema()), "train").anomaly_info
    assert [reason.type for reason in info[name].reason] == [anomalies.INFO.Type.Value(kind)]
    assert info[name].severity == anomalies.INFO.ERROR


def test_a_feature_the_schema_does_not_know_is_a_warning(statistics):
    result = found(statistics, schema_pb2.Schema(), "train")
    assert "image/height" in result.anomaly_info
    assert "image/brightness" not in result.anomaly_info  # derived
    assert anomalies.errors(result) == []


def test_the_mass_outside_a_domain_that_is_allowed(statistics, schema):
    loose = schema_pb2.Schema.FromString(schema.SerializeToString())
    feature(loose, "image/object/class/text").distribution_constraints.min_domain_mass = 0.7
    name = "image/object/class/text"  # 2 of 8 are cows
    assert name not in found(statistics, loose).anomaly_info
    feature(loose, name).distribution_constraints.min_domain_mass = 0.8
    assert name in found(statistics, loose).anomaly_info


def test_mistakes_in_a_schema_are_explained(statistics, tmp_path):
    path = tmp_path / "schema.pbtxt"
    path.write_text("feature { nam: 'a' }")
    with pytest.raises(ValueError, match=r"schema\.pbtxt: not a schema in text format: 1:11"):
        example_validator.read_schema(path)
    with pytest.raises(
        ValueError, match="split 'test' is not in the statistics; they hold train, val"
    ):
        schema_gen.run({"statistics": statistics}, schema_gen.Params(train="test"), tmp_path)

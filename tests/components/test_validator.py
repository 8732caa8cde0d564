"""The verdict on data: what each check finds, and what the run folder keeps."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from convoy.data.statistics.partial import BOX
from convoy.models.spec import Preprocess
from convoy.pipeline import cli, errors, steps
from convoy.pipeline.components import example_validator, schema_gen
from convoy.pipeline.config import Model, Validate, parse
from convoy.pipeline.validation import checks, distance, priors
from tests.components.test_statistics import (
    LABELS,
    edited,
    encoded,
    generate,
    sample,
    write_records,
)

GOOD = {"train": range(40), "val": range(100, 120)}


def records(top, name="records", **changed):
    """Folder of records: split -> samples or serialized records; GOOD where nothing is said."""
    splits = {split: [sample(i) for i in numbers] for split, numbers in GOOD.items()} | changed
    parts = {
        split: [[one if isinstance(one, bytes) else encoded([one])[0] for one in content]]
        for split, content in splits.items()
    }
    return write_records(top / name, parts)


def validate(top, limits=None, before=None, model=None, classes=True, **changed) -> dict:
    """validation.json of records; `before` is an earlier result's statistics folder."""
    generate(records(top, **changed), top / "statistics")
    schema_gen.run({"statistics": top / "statistics"}, schema_gen.Params(train="train"), top)
    inputs = {"statistics": top / "statistics", "schema": top}
    inputs |= {"validated": before} if before else {}
    params = example_validator.Params(
        train="train", judges=("val",), limits=limits or Validate(), model=model, classes=classes
    )
    example_validator.run(inputs, params, top / "out")
    return json.loads((top / "out" / "validation.json").read_text())


def verdicts(told) -> dict:
    """name -> verdict of the checks that are not ok."""
    return {c["name"]: c["verdict"] for c in told["checks"] if c["verdict"] != "ok"}


def value(told, name):
    return next(check["value"] for check in told["checks"] if check["name"] == name)


def test_good_data_is_valid(tmp_path):
    told = validate(tmp_path)
    assert told["valid"], told["summary"]
    assert verdicts(told) == {}
    result = anomalies_pb2.Anomalies.FromString((tmp_path / "out" / "anomalies.pb").read_bytes())
    assert not result.anomaly_info
    skewed = {info.path.step[0]: info.skew_measurements[0] for info in result.drift_skew_info}
    assert skewed["image/object/class/text"].threshold == 0.3
    page = (tmp_path / "out" / "report.html").read_text()
    assert "<strong>Valid.</strong>" in page
    assert "leakage train → val" in page
    assert page.count("data:image/png") == 4  # classes, pictures, boxes, centres
    assert "http" not in page.replace("http://www.w3.org", "")


def test_pictures_of_train_in_val_are_leakage(tmp_path):
    leaked = [dataclasses.replace(sample(i), source_id=f"other/{i}") for i in range(3)]
    told = validate(tmp_path, val=[sample(i) for i in range(100, 117)] + leaked)
    assert value(told, "leakage train → val") == 3 / 20
    assert not told["valid"]
    assert "leakage train → val: 0.15 is over 0.01 (3 of 20 records of val" in told["summary"]
    assert "other/0 = pictures/0000" in told["summary"]
    assert "REFUSED" in (tmp_path / "out" / "report.html").read_text()
    loose = validate(tmp_path, Validate(max_leakage=None), val=[*leaked, sample(100)])
    assert loose["valid"]
    assert verdicts(loose)["leakage train → val"] == "warning"


def test_other_classes_in_val_are_skew(tmp_path):
    cats, dogs = np.zeros(2, np.int64), np.ones(2, np.int64)
    changed = {
        "train": [sample(i, classes=cats) for i in range(40)],
        "val": [sample(i, classes=dogs) for i in range(100, 120)],
    }
    told = validate(tmp_path, **changed)
    name = "skew train → val: image/object/class/text"
    chance = 1 / (8 * math.log(2)) * (1 / 40 + 1 / 20)
    assert value(told, name) == pytest.approx(1 - chance)  # nothing in common: 1 bit
    assert verdicts(told)[name] == "refused"
    assert verdicts(told)["classes without an example in train"] == "warning"
    assert validate(tmp_path, Validate(max_skew=1.0), **changed)["valid"]


def test_drift_from_the_last_valid_run(tmp_path):
    validate(tmp_path / "before")
    before = tmp_path / "before" / "statistics"
    assert verdicts(validate(tmp_path / "same", before=before)) == {}
    renamed = validate(tmp_path / "renamed", before=_renamed(before, tmp_path / "valid"))
    assert not any(check["name"].startswith("drift") for check in renamed["checks"])
    small = [sample(i, boxes=sample(i).boxes / 16) for i in range(200, 215)]
    told = validate(tmp_path / "other", Validate(max_skew=1.0), before=before, train=small)
    assert verdicts(told)["drift: image/object/relative_area"] == "refused"
    assert value(told, "drift: records lost") == pytest.approx(1 - 15 / 40)
    assert verdicts(told)["drift: records lost"] == "refused"
    result = anomalies_pb2.Anomalies.FromString(
        (tmp_path / "other" / "out" / "anomalies.pb").read_bytes()
    )
    drifted = {i.path.step[0]: i.drift_measurements for i in result.drift_skew_info}
    assert drifted["image/object/relative_area"][0].value > 0.15


def _renamed(statistics, out):
    """The same statistics, of splits of other names."""
    found = statistics_pb2.DatasetFeatureStatisticsList.FromString(
        (statistics / "stats.pb").read_bytes()
    )
    for dataset in found.datasets:
        dataset.name = f"old {dataset.name}"
    out.mkdir()
    (out / "stats.pb").write_bytes(found.SerializeToString())
    return out


def test_bad_boxes_and_records_are_refused_with_their_names(tmp_path):
    wide = edited(encoded([sample(50)])[0], image__object__bbox__xmax=[1.5, 1.2])
    cow = edited(encoded([sample(51)])[0], image__object__class__text=[b"cow", b"cow"])
    told = validate(tmp_path, train=[*(sample(i) for i in range(40)), wide, cow])
    assert value(told, "boxes of train") == 2 / 84
    assert value(told, "records of train") == 1 / 42
    assert verdicts(told) == {
        "boxes of train": "refused",
        "records of train": "refused",
        "schema": "refused",  # cow is no class
    }
    assert "pictures/0050: outside_box" in told["summary"]
    assert "pictures/0051: wrong_label" in told["summary"]


def test_pictures_without_objects(tmp_path):
    empty = [sample(i, objects=0) for i in range(40, 100)]
    told = validate(tmp_path, train=[sample(0), *empty, *map(sample, range(1, 15))])
    assert value(told, "empty pictures of train") == 60 / 75
    assert verdicts(told)["empty pictures of train"] == "warning"
    told = validate(tmp_path, train=[sample(0), *empty])
    assert verdicts(told)["empty pictures of train"] == "refused"


def test_copies_and_imbalance_are_remarked(tmp_path):
    train = [sample(i, classes=np.zeros(2, np.int64)) for i in range(30)]
    train.append(sample(30, classes=np.array([0, 1])))
    train += [dataclasses.replace(train[0], source_id=f"again {i}") for i in range(3)]
    told = validate(tmp_path, Validate(max_skew=1.0), train=train)
    assert value(told, "copies in train") == 3 / 34
    assert verdicts(told)["copies in train"] == "warning"
    assert verdicts(told)["imbalance of train"] == "warning"
    assert value(told, "imbalance of train") == 67
    limited = Validate(max_skew=1.0, max_copies=0.05, max_imbalance=5)
    assert verdicts(validate(tmp_path, limited, train=train))["imbalance of train"] == "refused"
    assert "imbalance of train" not in verdicts(
        validate(tmp_path, limited, classes=False, train=train)
    )


# --- numbers -----------------------------------------------------------------------------------


def test_distances_by_hand():
    first, second = {"a": 3, "b": 1}, {"a": 10, "b": 10}
    assert distance.infinity_norm(first, second) == pytest.approx(0.25)
    # P = 3/4, 1/4; Q = 1/2, 1/2; M = 5/8, 3/8
    left = 0.75 * math.log2(0.75 / 0.625) + 0.25 * math.log2(0.25 / 0.375)
    right = 0.5 * math.log2(0.5 / 0.625) + 0.5 * math.log2(0.5 / 0.375)
    assert distance.jensen_shannon(first, second) == pytest.approx((left + right) / 2)
    assert distance.jensen_shannon(first, {"a": 30, "b": 10}) == 0
    assert distance.jensen_shannon({"a": 1}, {"b": 5}) == pytest.approx(1)
    assert distance.by_chance(2, 0, 5) == 1


def test_chance_is_what_two_samples_of_one_distribution_have():
    rng = np.random.default_rng(0)
    part = rng.dirichlet(np.full(20, 5.0))

    def draw(size):
        return {str(i): int(n) for i, n in enumerate(rng.multinomial(size, part))}

    pairs = [(draw(400), draw(1500)) for _ in range(300)]
    found = np.mean([distance.jensen_shannon(*pair) for pair in pairs])
    assert found == pytest.approx(distance.by_chance(20, 400, 1500), rel=0.1)


def test_histograms_are_compared_on_common_edges():
    first, second, point = (statistics_pb2.Histogram() for _ in range(3))
    first.buckets.add(low_value=0, high_value=4, sample_count=8)
    second.buckets.add(low_value=2, high_value=3, sample_count=5)
    second.buckets.add(low_value=3, high_value=6, sample_count=3)
    a, b = distance.rebinned(first, second)  # edges 0 2 3 4 6
    assert list(a.values()) == [4, 2, 2, 0]
    assert list(b.values()) == [0, 5, 1, 2]
    point.buckets.add(low_value=3, high_value=3, sample_count=7)
    a, b = distance.rebinned(point, second)
    assert (sum(a.values()), sum(b.values())) == (7, 8)


@pytest.mark.parametrize(
    ("resize", "expected"),
    [
        ("stretch", [[25, 25, 50, 50], [0, 0, 100, 100]]),
        ("letterbox", [[25, 37.5, 50, 50], [0, 25, 100, 75]]),
        # Not scaled; of the height the middle half is seen.
        ("crop", [[0, 25, 50, 50], [0, 0, 100, 100]]),
    ],
)
def test_boxes_in_the_networks_input(resize, expected):
    """A picture of 200 x 100 (height, width) in an input of 100 x 100."""
    boxes = np.array([(0, 0.25, 0.25, 0.5, 0.5, 200, 100), (1, 0, 0, 1, 1, 200, 100)], BOX)
    found = priors.in_input(boxes, Preprocess(size=(100, 100), resize=resize))
    np.testing.assert_allclose(found, expected)


def test_priors_that_fit_and_priors_that_do_not(tmp_path):
    """64 x 64: the smallest prior has a side of 6.4 px; boxes of 1 px reach none."""
    model = Model(name="ssd_mobilenet_v1", input_size=(64, 64), width=0.25)
    spots = np.array([[0.1, 0.1, 0.9, 0.9], [0.5, 0.5, 0.51, 0.51]])
    boxes = np.array([(i, *box, 100, 100) for i, box in enumerate(spots)], BOX)
    found = priors.reach(boxes, model, LABELS)
    assert (found.boxes, found.unmatched, found.threshold, found.size) == (2, 1, 0.5, (64, 64))
    assert found.unmatched_side_px == pytest.approx(0.64, rel=1e-3)
    check = checks.of_priors("net", found, Validate(max_unmatched=0.4))
    assert (check.verdict, check.value) == ("refused", 0.5)
    assert priors.reach(boxes[:0], model, LABELS) is None
    np.testing.assert_allclose(
        priors.best_iou(np.float32([[0, 0, 2, 2]]), np.float32([[0, 0, 2, 1], [1, 1, 3, 3]])), 0.5
    )


# --- the run folder ----------------------------------------------------------------------------


def convoy(capsys, *words) -> tuple[int, dict]:
    code = cli.main(["convoy", "validate", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_records_without_a_recipe(tmp_path, capsys):
    """The schema belongs to the user; valid data is kept, refused data is not."""
    out = tmp_path / "out"
    good = records(tmp_path, "good")
    code, result = convoy(capsys, "--records", good, "-o", out)
    assert code == errors.OK
    assert result["validation"]["valid"]
    assert (out / "validation.html").exists()
    kept = (out / "validated" / "stats.pb").read_bytes()
    code, result = convoy(capsys, "--records", good, "-o", out)
    assert result["cached"] == ["example_gen", *steps.CHECKS]

    schema = out / "schema.pbtxt"
    schema.write_text(schema.read_text().replace('value: "dog"', 'value: "wolf"'))
    mine = schema.read_text()
    code, result = convoy(capsys, "--records", good, "-o", out)
    assert code == errors.REFUSED
    assert "values that the domain lacks: 'dog'" in result["error"]
    assert f"Report: {out / 'validation.html'}" in result["error"]
    assert schema.read_text() == mine
    schema.unlink()
    fewer = records(tmp_path, "fewer", train=[sample(i) for i in range(9)])
    code, result = convoy(capsys, "--records", fewer, "-o", out)
    assert code == errors.REFUSED
    assert "drift: records lost: 0.775 is over 0.5" in result["error"]
    assert (out / "validated" / "stats.pb").read_bytes() == kept
    more = records(tmp_path, "more", train=[sample(i) for i in range(50)])
    assert convoy(capsys, "--records", more, "-o", out)[0] == errors.OK
    assert (out / "validated" / "stats.pb").read_bytes() != kept


def test_which_splits_play_which_part(tmp_path, capsys):
    folder = records(tmp_path, trainval=[sample(i) for i in (*range(40), *range(100, 120))])
    code, result = convoy(capsys, "--records", folder, "-o", tmp_path / "out")
    assert code == errors.OK  # trainval holds train and val, and judges nothing
    words = ("--set", "data.train=trainval")
    code, result = convoy(capsys, "--records", folder, "-o", tmp_path / "other", *words)
    assert code == errors.REFUSED
    assert "leakage trainval → val: 1 is over 0.01" in result["error"]
    path = tmp_path / "mine" / "schema.pbtxt"
    words = ("--set", f"validate.schema={path}")
    assert convoy(capsys, "--records", folder, "-o", tmp_path / "third", *words)[0] == errors.OK
    assert path.exists()
    assert not (tmp_path / "third" / "schema.pbtxt").exists()


def test_data_is_checked_where_it_is_asked_for_and_in_a_whole_run():
    assert not {*steps.CHECKS} & {*steps.needed("trainer"), *steps.needed("evaluator")}
    assert steps.needed("example_validator") == ["example_gen", *steps.CHECKS]
    assert steps.needed("pusher") == list(steps.NAMES)


def test_params_of_a_recipe():
    raw = {"name": "a", "task": "detection", "data": {"train": "trainval", "test": "test"}}
    params = example_validator.params_of(parse(raw | {"validate": {"schema": "mine.pbtxt"}}))
    assert (params.train, params.judges) == ("trainval", ("test",))
    assert params.model.name == "ssd_mobilenet_v1"
    assert params.limits == Validate()  # the schema is an input: its content counts, not its name
    assert params.classes
    raw |= {"task": "captioning", "model": {"name": "show_and_tell"}}
    assert not example_validator.params_of(parse(raw)).classes
    same = parse({"name": "a", "task": "classification", "data": {"train": "val", "test": "val"}})
    assert example_validator.params_of(same).judges == ()
    assert example_validator.params_of(same).model is None

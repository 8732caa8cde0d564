"""The page of runs: drift between two data sets by hand, versions, metrics over trainings."""

from __future__ import annotations

import json

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from convoy.pipeline.look import timeline
from tests.look.asking import LINES, Asked, write_run


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CONVOY_CACHE", str(tmp_path / "cache"))


def write_statistics(folder, started: str, counts: dict[str, int]) -> None:
    stats = statistics_pb2.DatasetFeatureStatisticsList()
    split = stats.datasets.add(name="train", num_examples=100)
    feature = split.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
    feature.path.step.append("label")
    common = feature.string_stats.common_stats
    common.num_non_missing = common.tot_num_values = 100
    for rank, (label, count) in enumerate(counts.items()):
        feature.string_stats.rank_histogram.buckets.add(
            low_rank=rank, high_rank=rank, label=label, sample_count=count
        )
    folder.mkdir(parents=True)
    (folder / "stats.pb").write_bytes(stats.SerializeToString())
    (folder / "run.json").write_text(json.dumps({"started": started}))


def test_drift_by_hand(tmp_path):
    """Half were bees, then nine of ten: 0.4 more, over the limit of 0.3."""
    run = write_run(tmp_path / "birds")
    store = run / "artifacts"
    write_statistics(store / "statistics_gen" / "second00", "2026-02", {"ant": 10, "<bee>": 90})
    write_statistics(store / "statistics_gen" / "first000", "2026-01", {"ant": 50, "<bee>": 50})
    schema = schema_pb2.Schema()
    feature = schema.feature.add(name="label")
    feature.drift_comparator.infinity_norm.threshold = 0.3
    (store / "schema_gen" / "s").mkdir(parents=True)
    (store / "schema_gen" / "s" / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    asked = Asked(run)
    ((row,), faults) = timeline.drifts(asked.context.places)
    assert faults == []
    assert row["value"] == pytest.approx(0.4)
    assert (row["from"], row["to"], row["over"]) == ("first000", "second00", True)
    assert row["largest"] == "<bee>"  # of equal changes the first by name
    text = asked.get("/runs").text
    assert "0.4000 over" in text
    assert "&lt;bee&gt;" in text
    (store / "schema_gen" / "s" / "schema.pbtxt").write_text("no schema {")
    assert "its statistics cannot be compared" in asked.get("/runs").text


def test_versions_and_metrics(tmp_path):
    """The first training was pushed as version 3 and withdrawn, the second is version 4."""
    run = write_run(write_run(tmp_path / "birds"), LINES, name="k22")
    base = run / "served" / "birds"
    for number, training in ((4, "tk22"),):
        extra = base / str(number) / "assets.extra"
        extra.mkdir(parents=True)
        (extra / "source.json").write_text(json.dumps({"trainer": training}))
    record = {"3": {"identity": "x", "trainer": "tk1"}}
    (base / "withdrawn.json").write_text(json.dumps(record))
    asked = Asked(run)
    text = asked.get("/runs").text
    assert "version 4" in text
    assert "version 3, withdrawn" in text
    assert "Refused: &lt;b&gt;AP50&lt;/b&gt; is low." in text
    told = asked.get("/api/runs").json
    assert [point["pushed"] for point in told["points"]] == [[-3], [4]]
    assert told["metrics"][0] == "AP50"
    assert [point["values"] for point in told["points"]] == [{"AP50": 0.5, "top1": 0.25}] * 2


def test_what_is_certain_of_few_classes_is_no_curve(tmp_path):
    """Of five classes each is among the best five, of six it is not."""
    run = write_run(tmp_path / "birds")
    for count, shown in ((5, {"top1"}), (6, {"top1", "top5"})):
        told = {"top1": 0.5, "top5": 1.0, "per_class": {f"c{n}": {} for n in range(count)}}
        (path,) = run.glob("artifacts/evaluator/*/metrics.json")
        path.write_text(json.dumps(told))
        (point,) = Asked(run).get("/api/runs").json["points"]
        assert set(point["values"]) == shown


def test_steps_are_folders_of_the_store(tmp_path):
    run = write_run(tmp_path / "birds")
    (run / "artifacts/.lock").touch()
    (run / "artifacts/runs.jsonl").touch()
    (run / "artifacts/pusher").mkdir()
    found = dict(timeline._steps(run))
    assert sorted(found) == ["evaluator", "example_gen", "pusher", "trainer"]
    assert found["pusher"] == "not begun"
    (run / "artifacts/evaluator/k1.partial").mkdir()
    (run / "artifacts/evaluator/k1.partial/half").touch()
    (run / "artifacts/evaluator/k1/run.json").unlink()
    assert dict(timeline._steps(run))["evaluator"] == "0 finished, 1 begun, not finished"

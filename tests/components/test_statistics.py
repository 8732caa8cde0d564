"""Statistics of records: merged parts equal one pass, numbers equal NumPy's, faults are found."""

from __future__ import annotations

import dataclasses
import hashlib
import json

import numpy as np
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from convoy.data import example, tfrecord
from convoy.data.ingest.shards import IngestError
from convoy.data.sample import Sample
from convoy.data.statistics import keys
from convoy.data.statistics.looks import look
from convoy.data.statistics.partial import BOXES, Partial, describe
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.components import statistics_gen
from tests.data import build

LABELS = ("cat", "dog")


def sample(index: int, objects: int = 2, **changes) -> Sample:
    """A picture of 40 x 60 with boxes; everything follows from the index."""
    rng = np.random.default_rng(index)
    corner = rng.uniform(0, 20, (objects, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 20, (objects, 2))], axis=1)
    found = Sample(
        source_id=f"pictures/{index:04d}",
        split="train",
        image=build.picture(seed=index),
        height=40,
        width=60,
        boxes=boxes.astype(np.float32),
        classes=rng.integers(0, 2, objects),
        difficult=np.zeros(objects, bool),
        truncated=np.arange(objects) % 2 == 0,
        crowd=np.zeros(objects, bool),
    )
    return dataclasses.replace(found, **changes)


def encoded(samples) -> list[bytes]:
    return [example.encode(one, LABELS) for one in samples]


def edited(record: bytes, **lists) -> bytes:
    """The record with other values under some keys; `__` stands for `/`."""
    message = example._EXAMPLE.FromString(record)
    for name, values in lists.items():
        key = name.replace("__", "/")
        message.features.feature[key].Clear()
        target = getattr(message.features.feature[key], f"{example.FEATURES[key][0]}_list")
        target.value.extend(values)
    return message.SerializeToString(deterministic=True)


def write_records(folder, splits: dict[str, list[list[bytes]]], labels=LABELS):
    """A folder as ExampleGen leaves it: split -> shards -> records."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {}
    for split, parts in splits.items():
        names = [f"{split}-{i:05d}-of-{len(parts):05d}.tfrecord" for i in range(len(parts))]
        for name, records in zip(names, parts, strict=True):
            with open(folder / name, "wb") as file:
                for record in records:
                    tfrecord.write(file, record)
        told[split] = {"shards": names, "records": sum(map(len, parts)), "objects": 0}
    write_json(folder / "manifest.json", {"labels": list(labels), "splits": told, "rejected": {}})
    return folder


def generate(records, out, **params) -> dict:
    statistics_gen.run({"examples": records}, statistics_gen.Params(**params), out)
    return json.loads((out / "statistics.json").read_text())


def test_parts_merge_into_one_pass_in_any_order(tmp_path):
    """Through Beam: three shards or one, on one worker, two threads or two processes."""
    records = encoded([sample(i, objects=i % 4) for i in range(30)])
    parts = [records[:7], records[7:8], records[8:]]
    told = []
    dealt = (("one", [records], "threading"), ("three", parts, "threading"))
    for name, shards, mode in (*dealt, ("back", parts[::-1], "processing")):
        folder = write_records(tmp_path / name, {"train": shards})
        beam = (
            f"--direct_num_workers={min(len(shards), 2)}",
            f"--direct_running_mode=multi_{mode}",
        )
        told.append(generate(folder, tmp_path / f"{name}.out", beam=beam))
    assert told[0] == told[1] == told[2]
    outputs = [tmp_path / f"{name}.out" for name in ("one", "three", "back")]
    assert len({(out / "stats.pb").read_bytes() for out in outputs}) == 1
    kept = [np.load(out / "boxes.npz")["train"] for out in outputs]
    assert len(kept[0]) == sum(i % 4 for i in range(30))
    np.testing.assert_array_equal(kept[0], kept[1])
    np.testing.assert_array_equal(kept[0], kept[2])


def test_statistics_are_those_of_the_samples(tmp_path):
    samples = [sample(i, objects=1 + i % 3) for i in range(12)]
    folder = write_records(tmp_path / "in", {"train": [encoded(samples)], "val": [[]]})
    told = generate(folder, tmp_path / "out")["splits"]["train"]
    boxes = np.concatenate([one.boxes for one in samples])
    sides = boxes[:, 2:] - boxes[:, :2]
    numbers = told["numbers"]
    assert told["records"] == 12
    assert numbers["image/objects"]["mean"] == 2.0
    assert numbers["image/objects"]["max"] == 3
    assert numbers["image/width"]["min"] == numbers["image/width"]["max"] == 60
    assert numbers["image/channels"]["mean"] == 3
    assert numbers["image/bytes"]["mean"] == np.mean([len(one.image) for one in samples])
    areas = sides.prod(axis=1) / (40 * 60)
    assert numbers["image/object/relative_area"]["mean"] == pytest.approx(areas.mean(), rel=1e-5)
    aspects = sides[:, 1] / sides[:, 0]
    assert numbers["image/object/aspect"]["max"] == pytest.approx(aspects.max(), rel=1e-4)
    classes = np.concatenate([one.classes for one in samples])
    assert told["objects_by_class"] == {"cat": (classes == 0).sum(), "dog": (classes == 1).sum()}
    held = [{*one.classes.tolist()} for one in samples]
    assert told["images_by_class"] == {
        name: sum(index in one for one in held) for index, name in enumerate(LABELS)
    }
    truncated = sum(one.truncated.sum() for one in samples)
    assert told["flags"] == {"difficult": 0, "truncated": truncated, "is_crowd": 0}
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2 / (40, 60)
    expected, *_ = np.histogram2d(*centers.T, bins=10, range=((0, 1), (0, 1)))
    assert told["centers"] == expected.astype(int).tolist()
    assert told["features"]["image/object/bbox/ymin"] == {
        "kinds": {"float": 12}, "records": 12, "values": len(boxes),
    }  # fmt: skip
    assert (told["problems"], told["copies"]["records"]) == ({}, 0)


def test_brightness_is_of_the_picture():
    gray = np.zeros((100, 50), np.uint8)
    gray[:50] = 200
    seen = look(build.encoded(build.PIL.Image.fromarray(gray), "PNG"))
    assert (seen.height, seen.width, seen.channels) == (100, 50, 1)
    assert (seen.brightness, seen.contrast) == (pytest.approx(100), pytest.approx(100))
    jpeg = look(build.encoded(build.PIL.Image.new("RGB", (1600, 800), (50, 50, 50)), "JPEG"))
    assert (jpeg.height, jpeg.width, jpeg.channels) == (800, 1600, 3)
    assert jpeg.brightness == pytest.approx(50, abs=1)
    assert look(b"\xff\xd8 no picture") is None


def test_keypoints_captions_sentences_and_masks(tmp_path):
    points = np.zeros((2, 3, 3), np.float32)
    points[0, :, 2] = (2, 1, 0)
    points[1, :, 2] = (2, 2, 0)
    mask = build.encoded(build.PIL.Image.new("L", (60, 40)), "PNG")
    person = sample(0, keypoints=points, masks=(mask, mask), captions=("a cat", "two words more"))
    sentence = Sample("line 1", "train", b"", 0, 0, labels=np.array([1]), text="not bad at all")
    told = describe(encoded([person, sentence]), LABELS)
    assert dict(told.visibility) == {(0, 2): 2, (1, 1): 1, (1, 2): 1, (2, 0): 2}
    assert told.numbers["image/masks"].total == 2
    assert (told.numbers["image/captions"].total, told.numbers["image/caption/words"].total) == (
        2,
        5,
    )
    assert told.numbers["text/words"].summary()["mean"] == 4
    assert told.problems == {}
    assert told.images_by_class["dog"] >= 1


def test_faults_are_counted_and_named():
    good, *others = encoded([sample(i) for i in range(6)])
    edges = {f"image__object__bbox__{edge}": [0.2, 0.5] for edge in ("ymin", "xmin")}
    records = [
        good,
        edited(
            others[0],
            **edges,
            image__object__bbox__ymax=[0.2, 1.5],
            image__object__bbox__xmax=[0.3, 0.9],
        ),
        edited(others[1], image__object__class__text=[LABELS[sample(2).classes[0]].encode()]),
        edited(others[2], image__encoded=[b"no picture"]),
        edited(others[3], image__height=[41]),
        edited(
            others[4],
            image__object__class__label=[0, 7],
            image__object__class__text=[b"cat", b"cow"],
        ),
    ]
    told = describe(records, LABELS).problems
    assert {name: (found.count, found.records) for name, found in told.items()} == {
        "degenerate_box": (1, 1),
        "outside_box": (1, 1),
        "ragged_objects": (1, 1),
        "corrupt_image": (1, 1),
        "wrong_size": (1, 1),
        "wrong_label": (1, 1),
    }
    assert told["outside_box"].examples[0][0] == "pictures/0001"
    assert told["wrong_label"].examples == (("pictures/0005", "label 7 is called 'cow'"),)
    assert told["wrong_size"].examples[0][1] == "states 41 x 60, the picture has 40 x 60"


def test_the_sample_of_boxes_is_bounded_and_fair():
    """1,000 objects a picture: of the boxes in the left and the right half as many are kept."""
    many = [sample(i, objects=1000) for i in range(6)]
    kept = describe(encoded(many), LABELS).boxes
    assert len(kept) == BOXES
    left = np.concatenate([one.boxes for one in many])[:, 1] < 10 / 1
    expected = left.mean()
    assert abs((kept["xmin"] * 60 < 10).mean() - expected) < 0.03
    crowd = describe(encoded([sample(0, crowd=np.array([True, False]))]), LABELS)
    assert len(crowd.boxes) == 1  # what training leaves out is left out here


def test_copies_and_leaks_are_named(tmp_path):
    train = [sample(i) for i in range(4)]
    again = dataclasses.replace(train[1], source_id="pictures/again")
    moved = dataclasses.replace(train[2], source_id="pictures/moved", split="val")
    named = dataclasses.replace(sample(9), source_id=train[3].source_id, split="val")
    folder = write_records(
        tmp_path / "in",
        {
            "train": [encoded([*train[:3], again]), encoded(train[3:])],
            "val": [encoded([sample(7), moved, named])],
        },
    )
    told = generate(folder, tmp_path / "out")
    assert told["splits"]["train"]["copies"] == {
        "records": 1, "examples": [["pictures/0001", "pictures/again"]],
    }  # fmt: skip
    shared = told["shared"]["train+val"]
    assert (shared["image"], shared["source"]) == (1, 1)
    assert shared["records"] == {"train": 2, "val": 2}
    assert shared["examples"]["image"] == [["pictures/0002", "pictures/moved"]]
    assert shared["examples"]["source"] == [["pictures/0003", "pictures/0003"]]


def test_what_stands_for_a_record():
    content = build.picture()
    stated = hashlib.sha256(content).hexdigest().encode()
    told = keys.of_record(content, stated, b"a.jpg", "0:0")
    assert told == (keys.hash64(content), keys.hash64(b"a.jpg"))
    assert keys.of_record(content, b"", b"a.jpg", "0:0") == told
    assert keys.of_record(content, b"x" * 64, b"a.jpg", "0:0") == told
    assert keys.of_record(content, stated, b"", "0:0") == (told[0], told[0])
    assert keys.of_record(b"", b"", b"a.jpg", "0:0") == (told[1], told[1])
    first, second = (keys.of_record(b"", b"", b"", place) for place in ("0:0", "0:1"))
    assert first != second


def test_records_without_a_source_and_names_that_are_no_text_share_nothing(tmp_path):
    nameless = [edited(one, image__source_id=[]) for one in encoded(map(sample, range(4)))]
    first, second, third = encoded(map(sample, range(4, 7)))
    train = [*nameless[:2], edited(first, image__source_id=[b"\xff.jpg"])]
    val = [*nameless[2:], edited(second, image__source_id=[b"\xfe.jpg"])]
    folder = write_records(tmp_path / "in", {"train": [train], "val": [val], "test": [[third]]})
    told = generate(folder, tmp_path / "out")
    assert {name: pair["records"] for name, pair in told["shared"].items()} == {
        "train+val": {"train": 0, "val": 0},
        "train+test": {"train": 0, "test": 0},
        "val+test": {"val": 0, "test": 0},
    }


def test_the_proto_holds_the_same(tmp_path):
    samples = [sample(i) for i in range(5)]
    folder = write_records(tmp_path / "in", {"train": [encoded(samples)]})
    told = generate(folder, tmp_path / "out")["splits"]["train"]
    proto = statistics_pb2.DatasetFeatureStatisticsList.FromString(
        (tmp_path / "out" / "stats.pb").read_bytes()
    )
    (dataset,) = proto.datasets
    assert (dataset.name, dataset.num_examples) == ("train", 5)
    features = {feature.path.step[0]: feature for feature in dataset.features}
    assert {"image/encoded", "image/object/bbox/ymin", "image/brightness"} <= features.keys()
    assert features["image/brightness"].HasField("validation_derived_source")
    assert not features["image/height"].HasField("validation_derived_source")
    text = features["image/object/class/text"].string_stats
    assert (text.common_stats.num_non_missing, text.common_stats.tot_num_values) == (5, 10)
    counts = {b.label: b.sample_count for b in text.rank_histogram.buckets}
    assert counts == {k: v for k, v in told["objects_by_class"].items() if v}
    height = features["image/height"].num_stats
    assert (height.min, height.max, height.mean, height.std_dev) == (40, 40, 40, 0)
    kinds = statistics_pb2.Histogram
    assert [histogram.type for histogram in height.histograms] == [kinds.STANDARD, kinds.QUANTILES]
    assert sum(bucket.sample_count for bucket in height.histograms[1].buckets) == 5
    custom = {c.name: c for c in features["image/object/bbox/ymin"].custom_stats}
    assert json.loads(custom["centers"].str) == told["centers"]


def test_nothing_is_something(tmp_path):
    told = generate(write_records(tmp_path / "in", {"train": [[]]}), tmp_path / "out")
    assert told["splits"]["train"]["records"] == 0
    assert told["splits"]["train"]["objects_by_class"] == {"cat": 0, "dog": 0}
    empty = Partial()
    empty.merge(describe([], LABELS))
    assert empty.records == 0


def test_damaged_records_are_one_clear_message(tmp_path):
    folder = write_records(tmp_path / "in", {"train": [encoded([sample(0)])]})
    path = next(folder.glob("*.tfrecord"))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(IngestError, match=r"train-00000-of-00001.tfrecord.*file ends"):
        generate(folder, tmp_path / "out")
    path.unlink()
    with pytest.raises(IngestError, match=r"no such file, but manifest\.json lists it"):
        generate(folder, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="run `convoy ingest` first"):
        generate(tmp_path / "nothing", tmp_path / "out")

"""Folders of records, and what comes back of them, for the tests of exports."""

import dataclasses
import io
import json

import numpy as np
import PIL.Image

from convoy.data import example, labels, tfrecord
from convoy.data.images import images
from convoy.data.sample import Sample
from tests.data import build

LABELS = ("zebra", "person", "tv/monitor")  # not in the order of their names
ACTIONS = ("jumping", "running")
HEIGHT, WIDTH = 40, 60


def png(values):
    return images.encode(np.asarray(values, np.uint8))


def rectangle(ymin, xmin, ymax, xmax):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[ymin:ymax, xmin:xmax] = 255
    return mask


def plain(source_id="VOC2007/000001", split="train", seed=0, **more):
    fields = {
        "boxes": np.array([[0, 0, 40, 60], [4.25, 10.5, 20.015625, 33]], np.float32),
        "classes": np.array([1, 0]),
        "labels": np.array([0, 1]),
        "difficult": np.array([True, False]),
        "truncated": np.array([False, True]),
        "crowd": np.array([False, False]),
        **more,
    }
    return Sample(source_id, split, build.picture(seed=seed), HEIGHT, WIDTH, **fields)


def rich():
    """Everything that VOC holds."""
    values = np.zeros((HEIGHT, WIDTH), np.uint8)
    values[4:20, 10:33], values[3, 9:34] = 1, 255
    return plain(
        "déjà vu/猫 1.jpeg",
        seed=1,
        views=("Frontal", ""),
        masks=(png(rectangle(30, 40, 40, 60)), png(rectangle(4, 10, 20, 33))),
        segmentation=png(values),
        actions=np.array([[1, 0], [-1, -1]]),
        part_boxes=np.array([[1, 2, 9.5, 8], [3, 3, 6, 6]], np.float32),
        part_names=("head", "hand"),
        part_owners=np.array([0, 0]),
    )


def write(folder, samples, names=LABELS, **manifest):
    """A folder of records as ingest leaves it, two shards a split."""
    folder.mkdir(parents=True)
    splits = {}
    for split in dict.fromkeys(sample.split for sample in samples):
        own = [sample for sample in samples if sample.split == split]
        shards = [f"{split}-0000{i}-of-00002.tfrecord" for i in range(2)]
        for shard, part in zip(shards, (own[::2], own[1::2]), strict=True):
            with open(folder / shard, "wb") as file:
                for sample in part:
                    tfrecord.write(file, example.encode(sample, names))
        splits[split] = {"shards": shards, "records": len(own)}
    labels.write(folder / "labels.txt", names)
    told = {"schema_version": example.SCHEMA_VERSION, "splits": splits, **manifest}
    (folder / "manifest.json").write_text(json.dumps(told))
    return folder


def pixels(data):
    return np.asarray(PIL.Image.open(io.BytesIO(data)))


def assert_same(found, wanted, *but):
    """Every field, but those named; ids apart."""
    for field in dataclasses.fields(Sample):
        one, other = getattr(found, field.name), getattr(wanted, field.name)
        if field.name in (*but, "source_id"):
            continue
        if field.name == "masks":
            assert len(one) == len(other)
            for a, b in zip(one, other, strict=True):
                np.testing.assert_array_equal(pixels(a), pixels(b))
        elif field.name == "segmentation" and other:
            np.testing.assert_array_equal(pixels(one), pixels(other))
        elif isinstance(other, np.ndarray):
            np.testing.assert_array_equal(one, other, field.name)
        else:
            assert one == other, field.name


def read_back(reader, folder):
    listing = reader.scan(folder)
    warned = []
    found = [
        reader.read(r, listing.labels, warn=lambda *told: warned.append(told))
        for r in listing.references
    ]
    assert warned == []
    return listing, found

"""Records -> another format -> its reader: what the format can hold comes back."""

import dataclasses
import json
import tracemalloc

import numpy as np
import pytest
import yaml
from pycocotools.coco import COCO

from convoy.data import masks
from convoy.data.exports import ExportError, stem
from convoy.data.images import images
from convoy.data.sample import Sample
from convoy.data.sources import coco, detect, yolo
from convoy.pipeline import cli
from convoy.pipeline.tools import convert
from tests.data.exported import LABELS, assert_same, pixels, plain, png, read_back, rectangle, write

# --- COCO ------------------------------------------------------------------------------------


def coco_sample():
    return plain(
        "a/b.png",
        "val",
        crowd=np.array([False, True]),
        masks=(png(rectangle(30, 40, 40, 60)), png(rectangle(4, 10, 20, 33))),
        areas=np.array([200, 368], np.float32),
        keypoints=np.array([[[3, 4.5, 2], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], np.float32),
        captions=("zwei Öfen", 'say "a"'),
    )


def test_coco_by_pycocotools(tmp_path, capsys):
    samples = [plain(), coco_sample()]
    folder = write(tmp_path / "records", samples, keypoints=["nose", "tail"])
    result = convert.run(folder, "coco", tmp_path / "coco")
    assert result["dropped"] == {"difficult": 2, "truncated": 2}
    rows = COCO(str(tmp_path / "coco" / "annotations" / "instances_val.json"))
    (row,) = rows.imgs.values()
    assert row == {"id": 1, "file_name": "a_b.jpg", "height": 40, "width": 60}
    assert (tmp_path / "coco" / "val" / "a_b.jpg").read_bytes() == samples[1].image
    first, second = rows.loadAnns(rows.getAnnIds())
    assert first["bbox"] == [0, 0, 60, 40]
    assert second["bbox"] == [10.5, 4.25, 22.5, 15.765625]
    assert (first["area"], first["iscrowd"], second["iscrowd"]) == (200, 0, 1)
    for row, mask in zip((first, second), samples[1].masks, strict=True):
        np.testing.assert_array_equal(rows.annToMask(row), pixels(mask) // 255)
        again = masks.from_rle(row["segmentation"], 40, 60)
        np.testing.assert_array_equal(again, pixels(mask) // 255)
    assert (first["keypoints"], first["num_keypoints"]) == ([4.5, 3, 2, 0, 0, 0], 1)
    assert (second["keypoints"], second["num_keypoints"]) == ([0] * 6, 0)
    assert [(c["id"], c["name"]) for c in rows.dataset["categories"]] == [
        (1, "zebra"),
        (2, "person"),
        (3, "tv/monitor"),
    ]
    assert rows.cats[2]["keypoints"] == ["nose", "tail"]
    assert rows.cats[2]["skeleton"] == []
    assert "keypoints" not in rows.cats[1]
    captions = COCO(str(tmp_path / "coco" / "annotations" / "captions_val.json"))
    assert [row["caption"] for row in captions.anns.values()] == ["zwei Öfen", 'say "a"']
    plain_set = COCO(str(tmp_path / "coco" / "annotations" / "instances_train.json"))
    assert [row["area"] for row in plain_set.anns.values()] == [2400, 22.5 * 15.765625]
    names = sorted(path.name for path in (tmp_path / "coco" / "annotations").iterdir())
    assert names == ["captions_val.json", "instances_train.json", "instances_val.json"]


# --- YOLO ------------------------------------------------------------------------------------


def test_yolo_by_hand(tmp_path):
    """[4.25, 10.5, 20.015625, 33] of 40 x 60: centre (12.1328125, 21.75), 15.765625 x 22.5."""
    samples = [
        plain(),
        plain(
            "b",
            "val",
            boxes=np.zeros((0, 4), np.float32),
            classes=np.zeros(0, int),
            difficult=np.zeros(0, bool),
            truncated=np.zeros(0, bool),
            crowd=np.zeros(0, bool),
        ),
    ]
    result = convert.run(write(tmp_path / "records", samples), "yolo", tmp_path / "yolo")
    assert result["dropped"] == {"difficult": 1, "picture_labels": 2, "truncated": 1}
    root = tmp_path / "yolo"
    lines = (root / "labels" / "train" / "VOC2007_000001.txt").read_text().splitlines()
    assert lines[0] == "1 0.5000000000 0.5000000000 1.0000000000 1.0000000000"
    label, *numbers = lines[1].split()
    assert label == "0"
    wanted = [21.75 / 60, 12.1328125 / 40, 22.5 / 60, 15.765625 / 40]
    np.testing.assert_allclose(np.array(numbers, float), wanted, atol=1e-9, rtol=0)
    assert (root / "labels" / "val" / "b.txt").read_text() == ""
    assert (root / "images" / "val" / "b.jpg").read_bytes() == samples[1].image
    told = yaml.safe_load((root / "data.yaml").read_text("utf-8"))
    assert told == {
        "train": "images/train",
        "val": "images/val",
        "nc": 3,
        "names": dict(enumerate(LABELS)),
    }


def test_yolo_gives_back_every_box(tmp_path):
    samples = [plain("a"), plain("b", seed=1), plain("c/d", "val", seed=2)]
    samples = [dataclasses.replace(s, difficult=np.zeros(2, bool)) for s in samples]
    samples = [dataclasses.replace(s, truncated=np.zeros(2, bool)) for s in samples]
    result = convert.run(write(tmp_path / "records", samples), "yolo", tmp_path / "yolo")
    assert result["dropped"] == {}
    assert detect(tmp_path / "yolo") == "yolo"
    listing, found = read_back(yolo, tmp_path / "yolo")
    assert listing.labels == LABELS
    assert [r.split for r in listing.references] == ["train", "train", "val"]
    for one, other in zip(found, samples, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-5, rtol=0)
        assert_same(one, other, "boxes", "areas")


def test_yolo_never_reaches_outside(tmp_path):
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 39, (500, 2))
    high = np.minimum(low + rng.uniform(0.1, 60, (500, 2)), [40, 60])
    low[:, 1] = rng.uniform(0, 1, 500)
    boxes = np.concatenate([low, high], 1).astype(np.float32)
    none = np.zeros(500, bool)
    sample = plain(
        boxes=boxes, classes=np.ones(500, int), difficult=none, truncated=none, crowd=none
    )
    convert.run(write(tmp_path / "records", [sample]), "yolo", tmp_path / "yolo")
    path = tmp_path / "yolo" / "labels" / "train" / "VOC2007_000001.txt"
    lines = path.read_text().splitlines()
    _, x, y, width, height = np.array([line.split() for line in lines], float).T
    found = np.stack([y - height / 2, x - width / 2, y + height / 2, x + width / 2], 1)
    assert found.min() >= -1e-12
    assert found.max() <= 1 + 1e-12
    np.testing.assert_allclose(found * [40, 60, 40, 60], boxes, atol=5e-6, rtol=0)


# --- all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_names_stay_apart(tmp_path, to):
    ids = [
        "a/b.jpg",
        "a_b.png",
        "a b",
        "a/b#aug1",
        "../é",
        ".hidden",
        "",
        "x" * 400 + "1",
        "x" * 400,
    ]
    ids += ["\udcff", "\x07"]
    samples = [plain(name, seed=index) for index, name in enumerate(ids)]
    convert.run(write(tmp_path / "records", samples), to, tmp_path / "out")
    found = [p for p in (tmp_path / "out").rglob("*.jpg")]
    assert {path.read_bytes() for path in found} == {sample.image for sample in samples}
    assert len(found) == len(ids)
    assert not any(path.name.startswith(".") for path in found)


def test_stems():
    assert stem("VOC2007/000005") == "VOC2007_000005"
    assert stem("train/café 1.JPEG") == "train_café_1"
    assert stem("v1.5") == "v1.5"
    assert (stem(""), stem("/"), stem(".a")) == ("_", "__", "_.a")


def test_refusals(tmp_path, capsys):
    folder = write(tmp_path / "records", [plain()])
    (tmp_path / "there").mkdir()
    with pytest.raises(ExportError, match="already exists"):
        convert.run(folder, "yolo", tmp_path / "there")
    with pytest.raises(ExportError, match="expected a folder of records"):
        convert.run(tmp_path / "there", "yolo", tmp_path / "out")
    text = Sample("t", "train", b"", 0, 0, text="words", labels=np.array([0]))
    with pytest.raises(ExportError, match="expected a picture"):
        convert.run(write(tmp_path / "texts", [text]), "coco", tmp_path / "out")
    (folder / "train-00001-of-00002.tfrecord").unlink()
    with pytest.raises(ExportError, match="1 of 2 are missing"):
        convert.run(folder, "voc", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["records", "texts", "there"]


def test_the_verb(tmp_path, capsys):
    folder = write(tmp_path / "records", [plain()])
    words = [
        "convoy",
        "convert",
        str(folder),
        "--to",
        "yolo",
        "-o",
        str(tmp_path / "out"),
        "--json",
    ]
    assert cli.main(words) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert json.loads(last) == {
        "output": str(tmp_path / "out"),
        "format": "yolo",
        "records": {"train": 1},
        "dropped": {"difficult": 1, "truncated": 1},
    }
    assert lines[0] == "dropped: 1 difficult, which yolo cannot hold"
    assert cli.main(words) == 1
    assert cli.main(["convoy", "convert", str(folder), "-o", "x"]) == 2
    assert cli.main([*words[:4], "png", *words[5:]]) == 2


@pytest.mark.parametrize("to", ["coco", "voc", "yolo"])
def test_pictures_are_not_held_in_memory(tmp_path, to):
    """Records of 20 kB each: 120 of them are 2.4 MB."""
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)

    def peak(count):
        sample = dataclasses.replace(plain(), image=images.encode(noise))
        samples = [dataclasses.replace(sample, source_id=f"{i}") for i in range(count)]
        folder = write(tmp_path / f"records{count}", samples)
        tracemalloc.start()
        convert.run(folder, to, tmp_path / f"out{count}")
        told = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return told

    peak(2)  # imports and caches
    assert peak(130) < peak(10) + 500_000


def test_coco_gives_back_every_field(tmp_path):
    samples = [plain(), plain("b", views=("", "")), coco_sample()]
    folder = write(tmp_path / "records", samples, keypoints=["nose", "tail"])
    convert.run(folder, "coco", tmp_path / "coco")
    listing, found = read_back(coco, tmp_path / "coco")
    assert (listing.labels, listing.keypoints) == (LABELS, ("nose", "tail"))
    assert [r.split for r in listing.references] == ["train", "train", "val"]
    for one, other in zip(found, samples, strict=True):
        other = dataclasses.replace(
            other, views=(), difficult=one.difficult, truncated=one.truncated
        )
        assert_same(one, other, "areas", *(() if len(other.keypoints) else ("keypoints",)))
        areas = [200, 368] if other.masks else [2400, 22.5 * 15.765625]
        np.testing.assert_array_equal(one.areas, areas)
        assert not one.keypoints.any() or len(other.keypoints)

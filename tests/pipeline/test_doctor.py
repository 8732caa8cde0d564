"""`convoy doctor`: every finding on sets whose faults are known, and the repaired copy."""

import hashlib
import io
import json

import numpy as np
import PIL.Image
import pytest

from convoy.data.files import files
from convoy.data.sources import coco, folder
from convoy.pipeline import cli
from convoy.pipeline.tools.doctor import examine
from convoy.pipeline.tools.doctor.limits import Limits
from tests.data import build, channel_files


def run(capfd, *words):
    """(exit code, the JSON of the last line, standard error)."""
    code = cli.main(["convoy", "doctor", *map(str, words), "--json"])
    out, err = capfd.readouterr()
    return code, json.loads(out.splitlines()[-1]), err


def rows(result):
    return {row["name"]: row for row in result["checks"]}


def digest(root):
    return {p: hashlib.sha256(p.read_bytes()).digest() for p in root.rglob("*") if p.is_file()}


def half(data):
    image = PIL.Image.open(io.BytesIO(data))
    return build.encoded(image.resize((image.width // 2, image.height // 2)), "JPEG")


@pytest.fixture
def classes(tmp_path):
    """Two classes, of which some pictures are wrong in each way that the doctor knows."""
    content = {f"train/cat/{i}.jpg": build.picture(seed=i) for i in range(6)}
    content |= {f"train/dog/{i}.jpg": build.picture(seed=10 + i) for i in range(4)}
    content |= {f"val/cat/{i}.jpg": build.picture(seed=20 + i) for i in range(3)}
    content |= {
        "train/cat/copy.jpg": build.picture(seed=1),  # of train/cat/1.jpg
        "val/cat/leak.jpg": build.picture(seed=2),  # of train/cat/2.jpg
        "train/dog/2.jpg": build.picture(80, 120, seed=12),
        "val/cat/small.jpg": half(build.picture(80, 120, seed=12)),
        "train/dog/same.jpg": build.picture(seed=4),  # of train/cat/4.jpg
        "train/cat/broken.jpg": b"\xff\xd8\xff nothing",
    }
    return build.written(tmp_path / "set", content)


def test_findings_of_classes(classes, tmp_path, capfd):
    code, result, err = run(capfd, classes, "--html", tmp_path / "page.html")
    found = rows(result)
    assert code == 3
    assert "checks are over their limits" in err
    assert result["exit_code"] == 3
    assert result["clean"] is False
    assert (result["format"], result["train"]) == ("folder", "train")
    assert result["splits"] == {"train": 12, "val": 5}
    assert result["pictures"] == {"found": 18, "in_records": 17, "rejected": 1, "unused": 0}
    values = {
        "rejected": 1 / 18,
        "leakage train → val": 1 / 5,
        "copies in train": 2 / 12,
        "alike: train → val": 1 / 5,
        "alike in train": 0,
        "classes without an example in train": 0,
        "classes without an example in val": 1 / 2,
        "imbalance of train": 7 / 5,
        # cat/4 and dog/same are the same, dog/2 and val/cat/small alike.
        "suspects: pictures alike with other classes": 4 / 17,
    }
    assert {name: found[name]["value"] for name in values} == pytest.approx(values)
    refused = {name for name, row in found.items() if row["verdict"] == "refused"}
    assert refused == {
        "rejected",
        "leakage train → val",
        "copies in train",
        "alike: train → val",
        "suspects: pictures alike with other classes",
    }
    assert found["alike: train → val"]["examples"] == [
        "train: train/dog/2.jpg ~ val: val/cat/small.jpg"
    ]
    assert found["leakage train → val"]["examples"] == ["train/cat/2.jpg = val/cat/leak.jpg"]
    page = (tmp_path / "page.html").read_text()
    assert page.count("data:image/jpeg") == 8  # four groups of two
    assert "train: train/dog/same.jpg (dog)" in page


def test_limits_are_flags(classes, capfd):
    relaxed = {"max_rejected": 0.1, "max_leakage": 0.2, "max_copies": 0.2, "max_near": 0.2,
               "max_suspects": 0.3}  # fmt: skip
    flags = [f"--{name}={value}" for name, value in relaxed.items()]
    code, result, _ = run(capfd, classes, *flags)
    assert code == 0
    assert result["clean"] is True
    assert result["limits"]["max_near"] == 0.2
    assert run(capfd, classes, *flags, "--max_imbalance=1.3")[0] == 3


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nowhere"], "nowhere: no such folder or archive"),
        ([], "expected one folder or archive"),
        ([".", "--max_near=2"], "--max_near: expected 0 to 1, got 2"),
        ([".", "--max_nera=0.1"], "did you mean --max_near?"),
    ],
)
def test_wrong_usage(words, text, capfd):
    code, result, err = run(capfd, *words)
    assert (code, result["exit_code"]) == (2, 2)
    assert text in err


def test_what_no_reader_takes_is_a_finding(tmp_path, capfd):
    build.written(tmp_path / "set", {"a.bin": "x"})
    code, result, _ = run(capfd, tmp_path / "set", "--html", tmp_path / "page.html")
    assert code == 3
    assert "no known layout" in rows(result)["readable"]["text"]
    assert "no known layout" in (tmp_path / "page.html").read_text()


def test_the_repaired_copy_of_classes_is_clean(classes, tmp_path, capfd):
    before = digest(classes)
    code, result, _ = run(capfd, classes, "--fix", tmp_path / "out")
    assert code == 3  # of DIR
    assert digest(classes) == before
    fixed = result["fix"]
    assert (fixed["format"], fixed["samples"]) == ("folder", {"train": 8, "val": 5})
    assert fixed["not_held"] == {}
    listed = json.loads((tmp_path / "out" / "changes.json").read_text())["changes"]
    assert {(row["source_id"], row["reason"]) for row in listed} == {
        ("train/cat/broken.jpg", "corrupt_image"),
        ("train/cat/copy.jpg", "copy"),  # 1.jpg is the first
        ("train/cat/2.jpg", "copy"),  # what judges stays
        ("train/cat/4.jpg", "contradiction"),
        ("train/dog/same.jpg", "contradiction"),
    }
    again = rows(run(capfd, tmp_path / "out" / "data")[1])
    for name in ("rejected", "leakage train → val", "copies in train"):
        assert again[name]["value"] == 0
    assert again["alike: train → val"]["value"] == 1 / 5  # for people
    listing = folder.scan(tmp_path / "out" / "data")
    kept = {r.source_id: files.read(r.image) for r in listing.references}
    assert kept["val/cat/val_cat_leak.jpg"] == build.picture(seed=2)
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


BOXES = {  # xmin, ymin, xmax, ymax, as VOC: 1-based, inclusive
    "1": [("cat", (1, 1, 20, 20)), ("dog", (30, 10, 50, 30))],
    "2": [("cat", (11, 11, 30, 30)), ("cat", (11, 11, 30, 30))],  # twice
    "3": [("cat", (11, 11, 30, 30)), ("dog", (11, 11, 30, 30))],  # which?
    "4": [("dog", (41, 21, 70, 30)), ("cat", (5, 5, 5, 9))],  # reaches outside; has no area
    "5": [("cat", (5, 5, 7, 30)), ("dog", (1, 1, 60, 40))],  # tiny; huge
}


@pytest.fixture
def boxes(tmp_path):
    content = {}
    for name, objects in BOXES.items():
        xml = "".join(build.xml_object(label, box) for label, box in objects)
        content[f"Annotations/{name}.xml"] = build.annotation(xml)
        content[f"JPEGImages/{name}.jpg"] = build.picture(seed=int(name))
    content["ImageSets/Main/train.txt"] = "1\n2\n3\n4\n5\n"
    return build.written(tmp_path / "voc", content)


def test_findings_of_boxes(boxes, capfd):
    code, result, _ = run(capfd, boxes)
    found = rows(result)
    assert code == 3
    assert result["warnings"] == {"clipped_box": 1, "empty_box": 1}
    values = {
        "left out: empty_box": 1 / 10,
        "changed: clipped_box": 1,
        "tiny boxes of train": 1 / 9,
        "huge boxes of train": 1 / 9,
        "suspects: boxes of other classes on each other": 1 / 5,
        "suspects: objects that are there twice": 1 / 5,
        "rejected": 0,
    }
    assert {name: found[name]["value"] for name in values} == pytest.approx(values)
    (tiny,) = found["tiny boxes of train"]["examples"]
    assert tiny.endswith("5: 3 x 26 pixels, 3.250% of it")
    (other,) = found["suspects: boxes of other classes on each other"]["examples"]
    assert other.endswith("3: objects 0 (cat) and 1 (dog), IoU 1.000")
    assert found["tiny boxes of train"]["verdict"] == "refused"
    assert found["huge boxes of train"]["verdict"] == "warning"


def test_the_repaired_copy_of_boxes(boxes, tmp_path, capfd):
    _, result, _ = run(capfd, boxes, "--fix", tmp_path / "out")
    assert result["fix"]["format"] == "coco"
    assert result["fix"]["changed"] == {
        "object left out or changed: clipped_box": 1,
        "object left out or changed: empty_box": 1,
        "object left out: twice": 1,
    }
    listing = coco.scan(tmp_path / "out" / "data")
    read = [coco.read(reference, listing.labels) for reference in listing.references]
    assert listing.labels == ("cat", "dog")
    found = [
        [(listing.labels[c], *box) for c, box in zip(s.classes, s.boxes.tolist(), strict=True)]
        for s in read
    ]
    assert found == [  # ymin, xmin, ymax, xmax from 0
        [("cat", 0, 0, 20, 20), ("dog", 9, 29, 30, 50)],
        [("cat", 10, 10, 30, 30)],
        [("cat", 10, 10, 30, 30), ("dog", 10, 10, 30, 30)],
        [("dog", 20, 40, 30, 60)],
        [("cat", 4, 4, 30, 7), ("dog", 0, 0, 40, 60)],
    ]


def test_label_maps_are_repaired_as_voc(tmp_path, capfd):
    content = {}
    for index in range(3):
        values = np.zeros((40, 60), np.uint8)
        values[10:20, 10:30] = 1
        content[f"images/{index}.jpg"] = build.picture(seed=index)
        content[f"labels/{index}.png"] = build.encoded(PIL.Image.fromarray(values), "PNG")
    content["images/copy.jpg"], content["labels/copy.png"] = list(content.values())[:2]
    build.written(tmp_path / "set", content)
    _, result, _ = run(capfd, tmp_path / "set", "--fix", tmp_path / "out")
    assert result["fix"]["format"] == "voc"
    assert sum(result["fix"]["samples"].values()) == 3
    assert len(list((tmp_path / "out/data/SegmentationClass").iterdir())) == 3


def test_where_a_copy_cannot_be_written(classes, tmp_path, capfd):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    for out, text in ((classes / "out", "never changed"), (tmp_path / "full", "exists")):
        code, _, err = run(capfd, classes, "--fix", out)
        assert code == 1
        assert text in err
    assert sorted(p.name for p in (tmp_path / "full").iterdir()) == ["a"]


def test_a_picture_of_several_classes_has_no_folder(tmp_path, capfd):
    table = {"labels.csv": "path,label\n0.jpg,a|b\n1.jpg,a\n"}
    pictures = {f"{i}.jpg": build.picture(seed=i) for i in range(2)}
    build.written(tmp_path / "set", table | pictures)
    code, _, err = run(capfd, tmp_path / "set", "--fix", tmp_path / "out")
    assert code == 1
    assert "0.jpg has 2 classes and no boxes" in err
    assert not (tmp_path / "out").exists()


def test_a_set_of_sentences(tmp_path):
    lines = {f"{name}.txt": "".join(f"{name} {i}\n" for i in range(9)) for name in ("pos", "neg")}
    build.written(tmp_path / "set", lines)
    result = examine.run(str(tmp_path / "set"), limits=Limits(max_missing=1))
    assert result["format"] == "text"
    assert sum(result["splits"].values()) == 18
    assert result["alike"] == []


def test_pictures_without_any_class_are_clean(tmp_path, capfd):
    content = {f"train/{i}.png": build.picture(seed=i, kind="PNG") for i in range(3)}
    build.written(tmp_path / "set", content)
    code, result, _ = run(capfd, tmp_path / "set")
    assert (code, result["format"]) == (0, "pictures")
    assert not any("class" in name for name in rows(result))


def test_pictures_of_many_channels(tmp_path, capfd):
    """As the advice of a rejected picture says; a copy of them has no format to be in."""
    for name in ("a", "b"):
        for number in range(3):
            array = np.random.default_rng([number, ord(name)]).integers(0, 60000, (40, 48, 5))
            build.saved(
                tmp_path / name / f"{number}.npy", channel_files.npy(array.astype(np.uint16))
            )
    code, result, _ = run(capfd, tmp_path)
    assert (code, result["rejected"]) == (3, 6)
    code, result, _ = run(capfd, tmp_path, "--channels", 5, "--bits", 16)
    assert result["pictures"] == {"found": 6, "in_records": 6, "rejected": 0, "unused": 0}
    assert "rejected" not in {
        row["name"] for row in result["checks"] if row["verdict"] == "refused"
    }
    for words, said in (
        (("--bits", 16), "needs --channels"),
        (("--channels", 0), "expected 1 to 256"),
        (("--channels", 5, "--fix", tmp_path / "out"), "writes 8-bit"),
    ):
        code, result, err = run(capfd, tmp_path, *words)
        assert code == 2
        assert said in err


def test_signals_have_no_repaired_copy(tmp_path, capfd):
    """Nothing is written for them as if it were pictures."""
    for number in range(4):
        build.saved(
            tmp_path / "set" / "ab"[number % 2] / f"{number}.npy",
            channel_files.npy(np.float32([number, 2, 3])),
        )
    code, result, _ = run(capfd, tmp_path / "set")
    assert (code, result["format"]) == (0, "signals")
    code, result, err = run(capfd, tmp_path / "set", "--fix", tmp_path / "out")
    assert code == 1
    assert "signals have no repaired form" in err
    assert not (tmp_path / "out").exists()

import collections
import io
import shutil

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, yolo
from tests.data import build
from tests.data.build import written

ROWS = "1 0.5 0.5 0.5 0.25\n0 0.1 0.2 0.2 0.4 0.9\n"  # of 60 x 40 (width x height)
BOXES = [[15, 15, 25, 45], [0, 0, 16, 12]]  # ymin xmin ymax xmax


def all_samples(root, options=Options()):
    listing = yolo.scan(root, options)
    warned = collections.Counter()
    samples = [
        yolo.read(r, listing.labels, warn=lambda reason, _: warned.update([reason]))
        for r in listing.references
    ]
    return listing, samples, dict(warned)


def one(tmp_path, rows, **more):
    content = {"images/a.jpg": build.picture(), "labels/a.txt": rows, **more}
    written(tmp_path, {"classes.txt": "cat\ndog\n", **content})
    _, (sample,), warned = all_samples(tmp_path)
    return sample, warned


LAYOUTS = {
    "images and labels": (
        "data.yaml",
        "path: ../datasets/pets\ntrain: images/train\nval: images/val\nnames: [cat, dog]\n",
        [("images/train/a.jpg", "labels/train/a.txt"), ("images/val/b.jpg", "labels/val/b.txt")],
    ),
    "by folders alone": (
        "classes.txt",
        "cat\r\ndog\r\n\r\n",
        [("images/train/a.jpg", "labels/train/a.txt"), ("images/val/b.jpg", "labels/val/b.txt")],
    ),
    "roboflow": (
        "data.yaml",
        "train: ../train/images\nval: ../valid/images\nnc: 2\nnames:\n- cat\n- dog\n",
        [
            ("train/images/a.jpg", "train/labels/a.txt"),
            ("valid/images/b.JPG", "valid/labels/b.txt"),
        ],
    ),
    "beside, in a folder": (
        "pets/pets.yaml",
        "train: /home/x/pets/one\nval: [/home/x/pets/two]\nnames: {0: cat, 1: dog}\n",
        [("pets/one/a.png", "pets/one/a.txt"), ("pets/two/b.jpg", "pets/two/b.txt")],
    ),
    "labels in another tree": (
        "obj.names",
        "cat\ndog\n",
        [("pictures/train/a.jpg", "labels/a.txt"), ("pictures/val/b.jpg", "labels/b.txt")],
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path, layout):
    name, text, pairs = LAYOUTS[layout]
    content = {name: text, pairs[0][1]: ROWS, pairs[1][1]: "\ufeff1 0.5 0.5 1 1\r\n\r\n"}
    for picture, _ in pairs:
        content[picture] = build.picture()
    written(tmp_path, content)
    assert detect(tmp_path) == "yolo"
    listing, samples, warned = all_samples(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert [(r.split, r.source_id) for r in listing.references] == [
        ("train", pairs[0][0]),
        ("val", pairs[1][0]),
    ]
    np.testing.assert_allclose(samples[0].boxes, BOXES, atol=1e-5)
    assert samples[0].classes.tolist() == [1, 0]
    np.testing.assert_array_equal(samples[1].boxes, [[0, 0, 40, 60]])
    assert (warned, listing.rejected, listing.notes) == ({"sixth_number": 1}, (), ())


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_archives(tmp_path, kind):
    content = {"train/images/a.jpg": build.picture(), "train/labels/a.txt": ROWS}
    written(tmp_path / "set", {**content, "data.yaml": "train: train/images\nnames: [cat, dog]\n"})
    path = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "set")
    assert detect(path) == "yolo"
    _, (sample,), _ = all_samples(path)
    np.testing.assert_allclose(sample.boxes, BOXES, atol=1e-5)
    assert (sample.source_id, sample.split) == ("train/images/a.jpg", "train")


@pytest.mark.parametrize("config", ["darknet", "yaml", "lists"])
def test_lists_of_pictures(tmp_path, config):
    content = {
        "data/obj/a.jpg": build.picture(),
        "data/obj/a.txt": ROWS,
        "data/obj/b.jpg": build.picture(),
        "data/obj/unused.jpg": build.picture(),
        "data/train.txt": "/content/data/obj/a.jpg\r\ndata/obj/b.jpg\ndata/obj/gone.jpg\n",
        "data/test.txt": "./obj/b.jpg\n",
    }
    if config == "darknet":
        content["data/obj.data"] = (
            "classes = 2\ntrain  = data/train.txt\nvalid = /x/data/test.txt\nnames = data/obj.names"
        )
        content["data/obj.names"] = "cat\ndog\n"
    elif config == "yaml":
        content["pets.yml"] = "train: data/train.txt\nval: data/test.txt\nnames: [cat, dog]\n"
    else:
        content["data/classes.txt"] = "cat\ndog\n"
    written(tmp_path, content)
    assert detect(tmp_path) == "yolo"
    listing = yolo.scan(tmp_path)
    held = "test" if config == "lists" else "val"
    assert [(r.split, r.source_id) for r in listing.references] == sorted(
        [
            ("train", "data/obj/a.jpg"),
            ("train", "data/obj/b.jpg"),
            ("train", "data/obj/gone.jpg"),
            (held, "data/obj/b.jpg"),
        ]
    )
    assert any("1 pictures are in no split" in note for note in listing.notes)
    (gone,) = (r for r in listing.references if "gone" in r.source_id)
    with pytest.raises(BadSample, match="missing_image"):
        yolo.read(gone, listing.labels)


def test_pictures_without_objects(tmp_path):
    content = {f"images/{name}.jpg": build.picture() for name in "abc"}
    written(tmp_path, {**content, "labels/a.txt": ROWS, "labels/b.txt": "", "labels/x.txt": ROWS})
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("0", "1")  # nothing names them
    assert {s.source_id: len(s.boxes) for s in samples} == {
        "images/a.jpg": 2,
        "images/b.jpg": 0,
        "images/c.jpg": 0,
    }
    assert [row[:2] for row in listing.rejected] == [("labels/x.txt", "missing_image")]
    assert listing.notes == ("1 pictures have no label file: taken to have no objects",)


def test_outlines_give_masks_and_boxes(tmp_path):
    """A rectangle of 6..30 x 10..20 pixels in a picture of 60 x 40, beside a box without mask."""
    rows = "1 0.1 0.25 0.5 0.25 0.5 0.5 0.1 0.5\n0 0.5 0.5 0.5 0.5\n"
    sample, warned = one(tmp_path, rows)
    np.testing.assert_allclose(sample.boxes, [[10, 6, 20, 30], [10, 15, 30, 45]], atol=1e-5)
    wanted = np.zeros((40, 60), np.uint8)
    wanted[10:20, 6:30] = 255
    found = [np.asarray(PIL.Image.open(io.BytesIO(mask))) for mask in sample.masks]
    np.testing.assert_array_equal(found[0], wanted)
    assert not found[1].any()
    assert sample.areas.tolist() == [240, 600]
    assert warned == {}


def test_outline_that_reaches_outside(tmp_path):
    sample, warned = one(tmp_path, "0 -0.5 0.25 0.5 0.25 0.5 0.5 -0.5 0.5\n")
    np.testing.assert_array_equal(sample.boxes, [[10, 0, 20, 30]])
    assert sample.areas.tolist() == [300]
    assert warned == {"clipped_box": 1}


def test_values_at_and_beyond_the_border(tmp_path):
    rows = (
        "0 0.500001 0.5 1.000000 1.0\n"  # rounding: not worth a warning
        "0 0.9 0.5 0.4 0.5\n"  # reaches outside
        "0 1.5 0.5 0.4 0.5\n"  # outside
        "0 0.5 0.5 0 0.5\n"  # nothing
        "2 0.5 0.5 0.1 0.1\n"  # no such class
    )
    sample, warned = one(tmp_path, rows)
    np.testing.assert_allclose(sample.boxes, [[0, 0, 40, 60], [10, 42, 30, 60]], atol=1e-4)
    assert sample.boxes.max() <= 60
    assert warned == {"clipped_box": 1, "outside_box": 1, "empty_box": 1, "unknown_class": 1}


@pytest.mark.parametrize(
    "row",
    ["0 0.5 0.5 0.5", "cat 0.5 0.5 0.5 0.5", "0 0.5 x 0.5 0.5", "0 nan 0.5 0.5 0.5", "0",
     "0.5 0.5 0.5 0.5 0.5", "-1 0.5 0.5 0.5 0.5", "0 1 1 1 1 1 1 1", "0,0.5,0.5,0.5,0.5",
     "inf 0.5 0.5 0.5 0.5", "\udcff\0"],
)  # fmt: skip
def test_damaged_lines_are_rejected_with_their_number(tmp_path, row):
    data = f"0 0.5 0.5 0.5 0.5\n\n{row}\n".encode("utf-8", "surrogateescape")
    with pytest.raises(BadSample, match=r"corrupt_annotation.*a\.txt line 3"):
        one(tmp_path, data)


def test_one_bad_line_in_a_good_set(tmp_path):
    """The set is read; the picture, whose objects are not all known, is rejected."""
    content = {f"{i}.jpg": build.picture(seed=i) for i in range(4)}
    content |= {f"{i}.txt": "0 0.5 0.5 0.5 0.5\n" for i in range(4)}
    content["0.txt"] = "0 0.5 0.5 0.5 0.5\n0 0.5 0.5 O.5 0.5\n"
    assert detect(written(tmp_path, content)) == "yolo"
    listing = yolo.scan(tmp_path)
    bad = []
    for reference in listing.references:
        try:
            yolo.read(reference, listing.labels)
        except BadSample as error:
            bad.append((reference.source_id, error.reason))
    assert bad == [("0.jpg", "corrupt_annotation")]


def test_keypoints(tmp_path):
    """Of 60 x 40: (0.5, 0.25) is y 10, x 30; the second is not labelled."""
    text = "train: images\nnames: [person]\nkpt_shape: [2, 3]\nflip_idx: [1, 0]\n"
    rows = "0 0.5 0.5 0.5 0.5 0.5 0.25 2 0 0 0\n"
    content = {"images/a.jpg": build.picture(), "labels/a.txt": rows, "data.yaml": text}
    assert detect(written(tmp_path, content)) == "yolo"
    listing, (sample,), _ = all_samples(tmp_path)
    assert (listing.keypoints, listing.keypoint_pairs) == (("0", "1"), ((0, 1),))
    np.testing.assert_array_equal(sample.keypoints, [[[10, 30, 2], [0, 0, 0]]])
    np.testing.assert_array_equal(sample.boxes, [[10, 15, 30, 45]])
    (tmp_path / "labels" / "a.txt").write_text("0 0.5 0.5 0.5 0.5 0.5 0.25 2\n")
    with pytest.raises(BadSample, match=r"line 1.*2 keypoints of 3"):
        all_samples(tmp_path)


def test_labels_choose_or_rename(tmp_path):
    content = {"images/a.jpg": build.picture(), "labels/a.txt": ROWS, "classes.txt": "cat\ndog\n"}
    written(tmp_path, content)
    listing, (sample,), warned = all_samples(tmp_path, Options(labels=("dog",)))
    assert (listing.labels, sample.classes.tolist()) == (("dog",), [0])
    assert warned == {"unknown_class": 1, "sixth_number": 1}
    listing, (sample,), _ = all_samples(tmp_path, Options(labels=("Katze", "Hund")))
    assert (listing.labels, sample.classes.tolist()) == (("Katze", "Hund"), [1, 0])
    with pytest.raises(SourceError, match="1 names"):
        yolo.scan(tmp_path, Options(labels=("Katze",)))


def test_names_stay_as_they_are_written(tmp_path):
    content = {"images/é 猫.jpg": build.picture(), "labels/é 猫.txt": ROWS}
    content["data.yaml"] = "train: images\nnames:\n  0: no\n  2: 007\n"
    listing, (sample,), _ = all_samples(written(tmp_path, content))
    assert listing.labels == ("no", "1", "007")
    assert sample.classes.tolist() == [1, 0]


@pytest.mark.parametrize(
    "text",
    ["names: [a, [b]]\n", "names: 3\n", "names: {x: cat}\n", "names: [a\n", "names: []\n",
     "names: {-1: cat}\n", "names: {999999999: cat}\n", "names: [a]\nkpt_shape: x\n"],
)  # fmt: skip
def test_damaged_yaml_is_explained(tmp_path, text):
    content = {"images/a.jpg": build.picture(), "labels/a.txt": ROWS, "data.yaml": text}
    with pytest.raises(SourceError, match=r"data\.yaml"):
        yolo.scan(written(tmp_path, content))


def test_damaged_list_is_explained(tmp_path):
    content = {"images/a.jpg": build.picture(), "labels/a.txt": ROWS, "classes.txt": b"\xff\xfea"}
    with pytest.raises(SourceError, match=r"classes\.txt is damaged text"):
        yolo.scan(written(tmp_path, content))


def test_yaml_runs_nothing(tmp_path):
    trap = f"names: !!python/object/apply:os.mkdir ['{tmp_path}/trapped']\n"
    content = {"images/a.jpg": build.picture(), "labels/a.txt": ROWS, "data.yaml": trap}
    all_samples(written(tmp_path, content))
    assert not (tmp_path / "trapped").exists()


def test_other_folders(tmp_path):
    with pytest.raises(SourceError, match="found no picture"):
        yolo.scan(tmp_path)
    written(tmp_path, {"a.jpg": build.picture(), "a.txt": "a sentence about the picture"})
    assert not yolo.detect(yolo.files.tree(tmp_path))
    (tmp_path / "a.txt").write_text("0 120 80 40 30\n")  # pixels
    assert not yolo.detect(yolo.files.tree(tmp_path))
    (tmp_path / "a.txt").unlink()
    with pytest.raises(SourceError, match="no names of classes"):
        yolo.scan(tmp_path)

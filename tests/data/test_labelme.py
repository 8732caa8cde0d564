import base64
import collections
import io
import json
import math
import os
import pathlib

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, labelme
from tests.data import build

DATA = pathlib.Path(os.environ.get("CONVOY_TEST_DATA", "/nonexistent"))
SQUARE = [[2, 3], [8, 3], [8, 9], [2, 9]]


def shape(label, points=SQUARE, kind="polygon", **more):
    return {"label": label, "points": points, "shape_type": kind, "group_id": None, **more}


def write(path, *shapes, picture="a.jpg", size=(40, 60), **more):
    """The JSON of one picture, at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"version": "5.0.1", "flags": {}, "shapes": list(shapes), "imagePath": picture}
    told |= {"imageData": None, "imageHeight": size[0], "imageWidth": size[1], **more}
    path.write_text(json.dumps(told))
    return path


def samples(root, options=Options()):
    """(listing, source_id -> sample, what was warned of)."""
    listing = labelme.scan(root, options)
    warned = collections.Counter()
    found = {
        r.source_id: labelme.read(r, listing.labels, warn=lambda reason, _: warned.update([reason]))
        for r in listing.references
    }
    return listing, found, dict(warned)


def one(root, *shapes, picture=None, options=Options(), **more):
    (root / "a.jpg").write_bytes(picture or build.picture(40, 60))
    write(root / "a.json", *shapes, **more)
    _, found, warned = samples(root, options)
    return found["a.jpg"], warned


def unpacked(png):
    return np.asarray(PIL.Image.open(io.BytesIO(png)))


def png_of(mask):
    return base64.b64encode(build.encoded(PIL.Image.fromarray(mask), "PNG")).decode()


def test_polygon_rectangle_and_circle(tmp_path):
    sample, warned = one(
        tmp_path,
        shape("cat"),
        shape("dog", [[30, 20], [25.5, 10]], "rectangle"),  # any two corners
        shape("ball", [[40, 20], [46, 28]], "circle"),  # center and a point at a distance of 10
        shape("_background_"),
        shape("__ignore__"),
    )
    wanted = [[3, 2, 9, 8], [10, 25.5, 20, 30], [10, 30, 30, 50]]
    np.testing.assert_allclose(sample.boxes, wanted, rtol=1e-6)
    assert sample.classes.tolist() == [1, 2, 0]  # ball, cat, dog
    first, second, third = map(unpacked, sample.masks)
    mask = np.zeros((40, 60), np.uint8)
    mask[3:9, 2:8] = 255
    np.testing.assert_array_equal(first, mask)
    assert set(np.unique(second[10:20, 26:30])) == {255}
    assert (third > 0).sum() == pytest.approx(100 * math.pi, rel=0.03)
    assert warned == {}


def test_rectangles_alone_have_no_masks(tmp_path):
    sample, _ = one(tmp_path, shape("a", [[1, 2], [5, 9]], "rectangle"))
    assert (sample.masks, len(sample.areas)) == ((), 0)
    np.testing.assert_array_equal(sample.boxes, [[2, 1, 9, 5]])


def test_a_group_is_one_object(tmp_path):
    far = [[20, 20], [24, 20], [24, 30], [20, 30]]
    sample, warned = one(
        tmp_path,
        shape("cat", group_id=1),
        shape("cat", far, group_id=1),
        shape("cat", group_id=2),
        shape("dog", far, group_id=1),
        shape("cat", [[50, 30], [55, 35]], "rectangle", group_id=1),
    )
    np.testing.assert_array_equal(sample.boxes, [[3, 2, 35, 55], [3, 2, 9, 8], [20, 20, 30, 24]])
    assert sample.areas.tolist() == [36 + 40 + 25, 36, 40]
    assert warned == {}


def test_mask_shape(tmp_path):
    """Corners are pixels, the last one included: [10, 5] to [13, 7] is a mask of 3 x 4."""
    mask = np.array([[0, 1, 1, 0], [1, 1, 1, 1], [0, 1, 1, 0]], bool)
    sample, warned = one(
        tmp_path,
        shape("cat", [[10, 5], [13, 7]], "mask", mask=png_of(mask)),
        shape("cat", [[58, 38], [61, 40]], "mask", mask=png_of(mask)),  # over the border
        shape("cat", [[-1, -1], [2, 1]], "mask", mask=png_of(mask)),
    )
    wanted = np.zeros((40, 60), np.uint8)
    wanted[5:8, 10:14] = mask * 255
    np.testing.assert_array_equal(unpacked(sample.masks[0]), wanted)
    wanted[:] = 0
    wanted[38:40, 58:60] = mask[:2, :2] * 255
    np.testing.assert_array_equal(unpacked(sample.masks[1]), wanted)
    wanted[:] = 0
    wanted[:2, :3] = mask[1:, 1:] * 255
    np.testing.assert_array_equal(unpacked(sample.masks[2]), wanted)
    np.testing.assert_array_equal(sample.boxes, [[5, 10, 8, 14], [38, 58, 40, 60], [0, 0, 2, 3]])
    assert warned == {"clipped_box": 2}


def test_what_cannot_be_used_is_counted(tmp_path):
    mask = png_of(np.ones((3, 4), bool))
    corners = [[10, 5], [13, 7]]
    sample, warned = one(
        tmp_path,
        shape("cat"),
        shape("lane", [[1, 1], [5, 5]], "line"),
        shape("lane", SQUARE, "linestrip"),
        shape("lane", [[1, 1]], "point"),
        shape("cat", [[1, 1], [5, 5]]),
        shape("cat", [[1, 1], [5, "x"], [3, 3]]),
        shape("cat", [[1, 1], [5, 5], [math.nan, 3]]),
        shape("cat", "x"),
        shape("cat", [[1, 1]], "rectangle"),
        shape("cat", [[1, 1], [5, 5], [1e15, 3]]),
        shape("cat", corners, "mask", mask="?"),
        shape("cat", corners, "mask"),
        shape("cat", [[10, 5], [20, 7]], "mask", mask=mask),
        shape("cat", corners, "mask", mask=base64.b64encode(b"no picture").decode()),
        shape("cat", [[1, 1], [1e15, 5]], "rectangle"),
        shape(None),
        shape("cat", [[1, 1], [1, 1]], "rectangle"),
    )
    assert labelme.scan(tmp_path).labels == ("cat",)
    np.testing.assert_array_equal(sample.boxes, [[3, 2, 9, 8], [1, 1, 5, 60]])
    assert warned == {
        "unsupported_shape": 3,
        "bad_segmentation": 10,
        "clipped_box": 1,
        "unknown_class": 1,
        "empty_box": 1,
    }


def test_labels_and_flags_of_a_shape(tmp_path):
    told = [
        shape("a", flags={"difficult": True}),
        shape("b"),
        shape("c", flags={"truncated": True}),
    ]
    sample, warned = one(tmp_path, *told, options=Options(labels=("c", "a")))
    assert sample.classes.tolist() == [1, 0]
    assert sample.difficult.tolist() == [True, False]
    assert sample.truncated.tolist() == [False, True]
    assert warned == {"unknown_class": 1}


def test_flags_are_classes_where_there_are_no_shapes(tmp_path):
    for name, flags in [
        ("a", {"cat": True, "dog": False, "__ignore__": False}),
        ("b", {"cat": True, "dog": True}),
        ("c", {}),
    ]:
        (tmp_path / f"{name}.jpg").write_bytes(build.picture())
        write(tmp_path / f"{name}.json", picture=f"{name}.jpg", flags=flags)
    listing, found, _ = samples(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert [found[f"{n}.jpg"].labels.tolist() for n in "abc"] == [[0], [0, 1], []]
    write(tmp_path / "c.json", shape("tree"), picture="c.jpg")
    listing, found, _ = samples(tmp_path)
    assert listing.labels == ("tree",)
    assert found["a.jpg"].labels.tolist() == []
    assert any("flags" in note for note in listing.notes)


def test_picture_inside_of_the_json(tmp_path):
    data = build.picture(40, 60)
    write(tmp_path / "a.json", shape("cat"), imageData=base64.b64encode(data).decode())
    assert detect(tmp_path) == "labelme"
    _, found, warned = samples(tmp_path)
    assert found["a.json"].image == data
    assert (found["a.json"].boxes.tolist(), warned) == ([[3, 2, 9, 8]], {})
    write(tmp_path / "a.json", shape("cat"), imageData="no base64")
    with pytest.raises(BadSample, match="corrupt_image"):
        samples(tmp_path)


@pytest.mark.parametrize(
    ("json_name", "told", "picture"),
    [
        ("a.json", "wrong.jpg", "a.png"),
        ("a.json", None, "a.png"),
        ("a.json", "b.png", "b.png"),
        ("json/a.json", "..\\images\\b.png", "images/b.png"),
        ("json/a.json", "wrong.png", "images/a.png"),
        ("json/a.json", "/home/me/b.png", "images/b.png"),
        ("train/été.json", "été.PNG", "train/été.PNG"),
    ],
)
def test_where_the_picture_is_looked_for(tmp_path, json_name, told, picture):
    (tmp_path / picture).parent.mkdir(exist_ok=True)
    (tmp_path / picture).write_bytes(build.picture(kind="PNG"))
    write(tmp_path / json_name, shape("cat"), picture=told)
    listing, found, _ = samples(tmp_path)
    assert [r.source_id for r in listing.references] == [picture]
    assert len(found[picture].boxes) == 1


def test_splits_by_folder_or_hash(tmp_path):
    for folder in ("train", "valid"):
        write(tmp_path / folder / "test_1.json", shape("cat"), picture="test_1.jpg")
        (tmp_path / folder / "test_1.jpg").write_bytes(build.picture())
    found = [(r.split, r.source_id) for r in labelme.scan(tmp_path).references]
    assert found == [("train", "train/test_1.jpg"), ("val", "valid/test_1.jpg")]


def test_files_around_and_damage(tmp_path):
    (tmp_path / "a.jpg").write_bytes(build.picture())
    (tmp_path / "c.jpg").write_bytes(build.picture())
    write(tmp_path / "a.json", shape("cat"))
    write(tmp_path / "b.json", shape("cat"))  # of the same picture
    write(tmp_path / "d.json", shape("cat"), picture="d.jpg")  # not there
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "latin.json").write_bytes(b'{"shapes": [], "imagePath": "\xe9"}')
    listing = labelme.scan(tmp_path)
    assert [(name, reason) for name, reason, _ in listing.rejected] == [
        ("b.json", "duplicate_annotation"),
        ("broken.json", "corrupt_annotation"),
        ("latin.json", "corrupt_annotation"),
    ]
    assert listing.notes == (
        "1 JSON files are not labelme's: left out",
        "1 pictures have no JSON file: left out",
    )
    missing = next(r for r in listing.references if r.source_id == "d.jpg")
    with pytest.raises(BadSample, match="missing_image"):
        labelme.read(missing, listing.labels)
    with pytest.raises(SourceError, match="labelme"):
        labelme.scan(build.classes(tmp_path / "other", {"a": 1}))


@pytest.mark.parametrize(
    ("size", "wanted"),
    [((40, 60), [[2, 31, 8, 37]]), ((60, 40), [[3, 2, 9, 8]])],
)
def test_turned_picture(tmp_path, size, wanted):
    """EXIF 6, stored 40x60 (H x W): the upright x is 40 - stored y, the upright y is stored x."""
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    picture = build.picture(40, 60, exif=exif)
    sample, _ = one(tmp_path, shape("cat"), picture=picture, size=size)
    np.testing.assert_array_equal(sample.boxes, wanted)


def test_byte_order_mark(tmp_path):
    (tmp_path / "a.jpg").write_bytes(build.picture())
    path = write(tmp_path / "a.json", shape("cat"))
    path.write_text(path.read_text(), encoding="utf-8-sig")
    assert detect(tmp_path) == "labelme"
    assert len(samples(tmp_path)[1]["a.jpg"].boxes) == 1


@pytest.mark.skipif(not (DATA / "labelme_voc_coco").is_dir(), reason="no labelme_voc_coco")
def test_examples_of_labelme():
    root = DATA / "labelme_voc_coco"
    for name, objects, masks in [
        ("instance_segmentation", 12, 12),
        ("semantic_segmentation", 16, 16),
        ("bbox_detection", 9, 0),
    ]:
        _, found, _ = samples(root / name / "data_annotated")
        assert len(found) == 3
        assert sum(len(sample.boxes) for sample in found.values()) == objects
        assert sum(len(sample.masks) for sample in found.values()) == masks
    listing, found, _ = samples(root / "classification" / "data_annotated")
    assert listing.labels == ("cat", "dog")
    assert [sample.labels.tolist() for _, sample in sorted(found.items())] == [[0], [1]]

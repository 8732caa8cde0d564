import collections
import io
import json
import math

import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, via
from tests.data import build

RECT = {"name": "rect", "x": 10, "y": 5, "width": 20, "height": 15}
POLYGON = {"name": "polygon", "all_points_x": [2, 8, 8, 2], "all_points_y": [3, 3, 9, 9]}


def region(shape=RECT, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def entry(name, *regions, numbered=False, **attributes):
    told = {str(i): r for i, r in enumerate(regions)} if numbered else list(regions)
    return {"filename": name, "size": 99, "regions": told, "file_attributes": attributes}


def write(path, *entries, project=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {f"{e['filename']}99": e for e in entries}
    if project is not None:
        told = {
            "_via_settings": {"core": project},
            "_via_img_metadata": told,
            "_via_attributes": {},
        }
    path.write_text(json.dumps(told))
    for name in {e["filename"] for e in entries}:
        if "/" not in name:
            (path.parent / name).write_bytes(build.picture(40, 60))
    return path


def samples(root, options=Options()):
    """(listing, source_id -> sample, what was warned of)."""
    listing = via.scan(root, options)
    warned = collections.Counter()
    found = {
        r.source_id: via.read(r, listing.labels, warn=lambda reason, _: warned.update([reason]))
        for r in listing.references
    }
    return listing, found, dict(warned)


def unpacked(png):
    return np.asarray(PIL.Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("numbered", [False, True])
@pytest.mark.parametrize("project", [None, {"default_filepath": ""}])
def test_shapes_of_both_versions(tmp_path, numbered, project):
    closed = {"name": "polyline", "all_points_x": [0, 4, 4, 0], "all_points_y": [0, 0, 4, 0]}
    regions = [
        region(RECT, name="cat"),
        region(POLYGON, name="dog"),
        region({"name": "circle", "cx": 30, "cy": 20, "r": 10}, name="cat"),
        region({"name": "ellipse", "cx": 30, "cy": 20, "rx": 10, "ry": 5}, name="cat"),
        region(closed, name="cat"),
    ]
    write(tmp_path / "a.json", entry("a.jpg", *regions, numbered=numbered), project=project)
    assert detect(tmp_path) == "via"
    listing, found, warned = samples(tmp_path)
    sample = found["a.jpg"]
    wanted = [[5, 10, 20, 30], [3, 2, 9, 8], [10, 20, 30, 40], [15, 20, 25, 40], [0, 0, 4, 4]]
    np.testing.assert_allclose(sample.boxes, wanted, atol=1e-5)
    assert listing.labels == ("cat", "dog")
    assert sample.classes.tolist() == [0, 1, 0, 0, 0]
    mask = np.zeros((40, 60), np.uint8)
    mask[5:20, 10:30] = 255
    np.testing.assert_array_equal(unpacked(sample.masks[0]), mask)
    assert sample.areas[1] == 36
    assert sample.areas[3] == pytest.approx(math.pi * 50, rel=0.05)
    assert (warned, listing.notes) == ({}, ())


def test_turned_ellipse(tmp_path):
    told = {"name": "ellipse", "cx": 30, "cy": 20, "rx": 10, "ry": 5, "theta": math.pi / 2}
    write(tmp_path / "a.json", entry("a.jpg", region(told)))
    np.testing.assert_allclose(samples(tmp_path)[1]["a.jpg"].boxes, [[10, 25, 30, 35]], atol=1e-5)


def test_rects_alone_have_no_masks_and_no_attribute_is_an_object(tmp_path):
    write(tmp_path / "a.json", entry("a.jpg", region()), entry("b.jpg"))
    listing, found, _ = samples(tmp_path)
    assert listing.labels == ("object",)
    assert (found["a.jpg"].masks, found["a.jpg"].classes.tolist()) == ((), [0])
    assert found["b.jpg"].boxes.shape == (0, 4)  # a picture without regions is kept


@pytest.mark.parametrize(
    ("rows", "labels", "classes"),
    [
        ([{"kind": "b"}, {"kind": "a"}], ("a", "b"), [1, 0]),
        ([{"color": "red", "Label": "x"}, {"color": "blue", "Label": "y"}], ("x", "y"), [0, 1]),
        ([{"type": "t", "name": "n", "zoo": "z"}], ("n",), [0]),
        ([{"p": "1", "q": "2"}, {"q": "3"}], ("2", "3"), [0, 1]),  # the one given most often
        ([{"kind": {"cat": True, "dog": False}}, {"kind": {"dog": True}}], ("cat", "dog"), [0, 1]),
        ([{"kind": 3}, {"kind": " 4 "}], ("3", "4"), [0, 1]),
        ([{"kind": ""}, {"kind": {}}], ("object",), [0, 0]),
    ],
)
def test_the_attribute_that_is_the_class(tmp_path, rows, labels, classes):
    write(tmp_path / "a.json", entry("a.jpg", *(region(RECT, **row) for row in rows)))
    listing, found, warned = samples(tmp_path)
    assert listing.labels == labels
    assert found["a.jpg"].classes.tolist() == classes
    assert warned == {}
    assert len(listing.notes) == (len({key for row in rows for key in row}) > 1)


def test_what_cannot_be_used_is_counted(tmp_path):
    shapes = [
        POLYGON,
        {"name": "point", "cx": 1, "cy": 2},
        {"name": "polyline", "all_points_x": [1, 2, 3, 4], "all_points_y": [1, 2, 3, 4]},
        {},
        {"name": "polygon", "all_points_x": [1, 2], "all_points_y": [1, 2]},
        {"name": "polygon", "all_points_x": [1, 2, 3], "all_points_y": [1, 2]},
        {"name": "polygon", "all_points_x": [1, 2, "x"], "all_points_y": [1, 2, 3]},
        {"name": "polygon", "all_points_x": [1, 2, 1e8], "all_points_y": [1, 2, 3]},
        {"name": "rect", "x": 1, "y": 2, "width": 3},
        {"name": "rect", "x": 1, "y": 2, "width": math.nan, "height": 3},
        {"name": "circle", "cx": 5, "cy": 5, "r": None},
        {"name": "rect", "x": 1, "y": 2, "width": 0, "height": 3},
    ]
    regions = [region(shape, name="cat") for shape in shapes]
    regions += [region(RECT), region(RECT, name={"cat": True, "dog": True}), "x", None]
    write(tmp_path / "a.json", entry("a.jpg", *regions))
    listing, found, warned = samples(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert found["a.jpg"].classes.tolist() == [0, 0]
    assert warned == {
        "unsupported_shape": 3,
        "bad_segmentation": 7,
        "empty_box": 1,
        "unknown_class": 1,
        "several_classes": 1,
    }


def test_labels_given(tmp_path):
    write(tmp_path / "a.json", entry("a.jpg", region(RECT, n="x"), region(RECT, n="y")))
    _, found, warned = samples(tmp_path, Options(labels=("z", "y")))
    assert (found["a.jpg"].classes.tolist(), warned) == ([1], {"unknown_class": 1})


def test_attributes_of_files_are_classes_where_there_are_no_regions(tmp_path):
    write(
        tmp_path / "a.json",
        entry("a.jpg", type="cat", caption=""),
        entry("b.jpg", type="dog"),
        entry("c.jpg"),
    )
    listing, found, _ = samples(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert [found[f"{n}.jpg"].labels.tolist() for n in "abc"] == [[0], [1], []]


def test_splits_and_folders(tmp_path):
    write(tmp_path / "train" / "via_region_data.json", entry("a.jpg", region()))
    write(tmp_path / "val" / "via_region_data.json", entry("a.jpg", region()))
    found = [(r.split, r.source_id) for r in via.scan(tmp_path).references]
    assert found == [("train", "train/a.jpg"), ("val", "val/a.jpg")]


def test_default_filepath_and_paths_in_names(tmp_path):
    for name in ("pics/a.jpg", "other/b.jpg", "other/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(build.picture())
    entries = [entry(name, region()) for name in ("x/a.jpg", "http://host/other/b.jpg")]
    entries[0]["filename"] = "a.jpg"
    path = write(tmp_path / "p.json", *entries, project={"default_filepath": ".\\pics\\"})
    (tmp_path / "a.jpg").unlink()
    assert path.exists()
    assert {r.source_id for r in via.scan(tmp_path).references} == {"pics/a.jpg", "other/b.jpg"}


def test_csv(tmp_path):
    shape = json.dumps(RECT).replace('"', '""')
    text = (
        "\ufeff#filename,file_size,file_attributes,region_count,region_id,"
        "region_shape_attributes,region_attributes\r\n"
        f'a.jpg,99,"{{}}",2,0,"{shape}","{{""name"":""cat""}}"\r\n'
        f'a.jpg,99,"{{}}",2,1,"{shape}","{{""name"":""dog""}}"\r\n'
        'b.jpg,99,"{}",0,0,"{}","{}"\r\n'
    )
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).write_bytes(build.picture())
    (tmp_path / "via.csv").write_text(text, "utf-8")
    (tmp_path / "other.csv").write_text("file,label\na.jpg,1\n")
    assert detect(tmp_path) == "via"
    listing, found, _ = samples(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert found["a.jpg"].classes.tolist() == [0, 1]
    assert found["b.jpg"].boxes.shape == (0, 4)


def test_one_picture_in_two_files(tmp_path):
    write(tmp_path / "a.json", entry("a.jpg", region(RECT, name="x")))
    write(tmp_path / "b.json", entry("a.jpg", region(RECT, name="x")), project={})
    listing, found, _ = samples(tmp_path)
    assert len(found["a.jpg"].boxes) == 1
    assert any("b.json" in note for note in listing.notes)
    write(tmp_path / "b.json", entry("a.jpg", region(RECT, name="y")))
    with pytest.raises(SourceError, match=r"a\.json and b\.json"):
        via.scan(tmp_path)


def test_files_around_and_damage(tmp_path):
    write(tmp_path / "a.json", entry("a.jpg", region()), entry("gone.jpg", region()))
    (tmp_path / "gone.jpg").unlink()
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "config.json").write_text('{"a": {"b": 1}}')
    (tmp_path / "list.json").write_text("[1]")
    (tmp_path / "c.jpg").write_bytes(build.picture())
    listing = via.scan(tmp_path)
    assert [row[:2] for row in listing.rejected] == [("broken.json", "corrupt_annotation")]
    assert listing.notes == ("1 pictures are in no VIA file: left out",)
    missing = next(r for r in listing.references if r.source_id == "gone.jpg")
    with pytest.raises(BadSample, match="missing_image"):
        via.read(missing, listing.labels)
    with pytest.raises(SourceError, match="VGG"):
        via.scan(build.classes(tmp_path / "other", {"a": 1}))

"""Tables as people write them: boxes in every order, and columns that are called what they are."""

from __future__ import annotations

import json

import numpy as np
import pytest

from convoy.data.sources import SourceError, csv, detect
from tests.data.test_csv import all_samples, with_pictures

RIGHT = {"a.jpg": [[4, 10, 14, 30], [20, 30, 30, 50]], "b.jpg": [[4, 10, 14, 30]]}  # of 60 x 40
CLASSES = {"a.jpg": ["cup", "jug"], "b.jpg": ["jug"]}
ROWS = (("a.jpg", "cup", 0), ("a.jpg", "jug", 1), ("b.jpg", "jug", 0))


def table(header: str, write) -> str:
    """A row per object; write(picture, class, ymin, xmin, ymax, xmax) -> cells."""
    lines = [write(name, label, *RIGHT[name][index]) for name, label, index in ROWS]
    return "\n".join([header, *(",".join(map(str, cells)) for cells in lines)])


FORMS = {
    "left,top": ("filename,label,left,top,width,height",
                 lambda n, c, y, x, b, r: (n, c, x, y, r - x, b - y)),
    "digits": ("FileName,DigitLabel,Left,Top,Width,Height",
               lambda n, c, y, x, b, r: (n, c, x, y, r - x, b - y)),
    "x,y beside the picture's size": ("image,image_width,image_height,class,x,y,width,height",
                                      lambda n, c, y, x, b, r: (n, 60, 40, c, x, y, r - x, b - y)),
    "x,y,w,h beside width,height": ("image,width,height,class,x,y,w,h",
                                    lambda n, c, y, x, b, r: (n, 60, 40, c, x, y, r - x, b - y)),
    "xmin with sides": ("image,class,xmin,ymin,width,height",
                        lambda n, c, y, x, b, r: (n, c, x, y, r - x, b - y)),
    "centre": ("filename,class,x_center,y_center,w,h",
               lambda n, c, y, x, b, r: (n, c, (x + r) / 2, (y + b) / 2, r - x, b - y)),
    "cx": ("img,category,cx,cy,width,height",
           lambda n, c, y, x, b, r: (n, c, (x + r) / 2, (y + b) / 2, r - x, b - y)),
    "bbox columns": ("path,category,bbox_x,bbox_y,bbox_w,bbox_h",
                     lambda n, c, y, x, b, r: (n, c, x, y, r - x, b - y)),
    "a cell": ("image_id,class,bbox", lambda n, c, y, x, b, r: (
        n.removesuffix(".jpg"), c, f'"[{x}.0, {y}.0, {r - x}, {b - y}]"')),
    "a cell of corners": ("image,class,bbox_xyxy",
                          lambda n, c, y, x, b, r: (n, c, f'"({x} {y} {r} {b})"')),
    "left,right": ("name,file,left,right,top,bottom",
                   lambda n, c, y, x, b, r: (c, n, x, r, y, b)),}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_boxes_in_columns(form, tmp_path):
    with_pictures(tmp_path, "img/a.jpg", "img/b.jpg", boxes_csv=table(*FORMS[form]))
    assert detect(tmp_path) == "csv"
    listing, samples, warned = all_samples(tmp_path)
    assert (listing.labels, listing.rejected, warned) == (("cup", "jug"), (), {})
    for name, boxes in RIGHT.items():
        found = samples[f"img/{name}"]
        np.testing.assert_allclose(found.boxes, boxes, atol=1e-5)
        assert [listing.labels[index] for index in found.classes] == CLASSES[name]
    assert not listing.notes


def test_boxes_without_a_class_and_columns_that_say_nothing(tmp_path):
    rows = 'image_id,width,height,bbox,source\na,60,40,"[10.0, 4.0, 20.0, 10.0]",usask_1\n'
    with_pictures(tmp_path, "a.jpg", "b.jpg", train_csv=rows)
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("object",)
    np.testing.assert_array_equal(samples["a.jpg"].boxes, [[4, 10, 14, 30]])
    assert "train.csv: columns that are not used: source" in listing.notes


def test_corners_in_a_cell_that_sides_could_not_be(tmp_path):
    rows = 'image,width,height,class,bbox\na.jpg,60,40,cup,"[30, 4, 50, 14]"\n'
    rows += 'b.jpg,60,40,cup,"[1, 1, 5, 6]"\n'
    with_pictures(tmp_path, "a.jpg", "b.jpg", t_csv=rows)
    listing, samples, _ = all_samples(tmp_path)
    np.testing.assert_array_equal(samples["a.jpg"].boxes, [[4, 30, 14, 50]])
    np.testing.assert_array_equal(samples["b.jpg"].boxes, [[1, 1, 6, 5]])
    (told,) = listing.ambiguous
    assert told.why == (
        "bbox taken as corners: as x, y, width, height some would leave the picture"
    )


def test_sides_in_a_cell_that_could_be_corners_are_told(tmp_path):
    with_pictures(tmp_path, "a.jpg", t_csv='image,class,bbox\na.jpg,cup,"[2, 1, 5, 6]"\n')
    listing, samples, _ = all_samples(tmp_path)
    np.testing.assert_array_equal(samples["a.jpg"].boxes, [[1, 2, 7, 7]])
    (told,) = listing.ambiguous
    assert "taken as x, y, width, height" in told.why


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("image,class,x_a,y_a,dx,dy", "dx, dy"),
        ("image,class,left,top", "left, top"),
        ("image,class,col_min,row_min,col_max", "col_min, row_min, col_max"),
    ],
)
def test_parts_of_boxes_that_are_not_understood_are_refused(header, columns, tmp_path):
    with_pictures(tmp_path, "a.jpg", t_csv=f"{header}\na.jpg,cup" + ",3" * (header.count(",") - 1))
    with pytest.raises(SourceError, match=f"its columns {columns} look like parts of a box"):
        csv.scan(tmp_path)


def test_rectangles_of_label_studio(tmp_path):
    def cell(*rectangles) -> str:
        rows = [
            {"x": x, "y": y, "width": w, "height": h, "rotation": turn, "rectanglelabels": [name],
             "original_width": 60, "original_height": 40}
            for name, x, y, w, h, turn in rectangles
        ]  # fmt: skip
        return '"' + json.dumps(rows).replace('"', '""') + '"'

    rows = [
        "image,id,label,annotator",
        f"/data/upload/3/0a1b2c3d-a.jpg,1,{cell(('cup', 50, 10, 25, 50, 0))},7",
        f"/data/local-files/?d=img%2Fb%20b.jpg,2,{cell(('jug', 50, 25, 20, 25, 90))},7",
        "/data/upload/3/0a1b2c3d-c.jpg,3,,7",
    ]
    with_pictures(tmp_path, "a.jpg", "img/b b.jpg", "c.jpg", project_csv="\n".join(rows))
    listing, samples, _ = all_samples(tmp_path)
    assert (listing.labels, listing.rejected) == (("cup", "jug"), ())
    np.testing.assert_allclose(samples["a.jpg"].boxes, [[4, 30, 24, 45]])
    # Turned by 90 degrees about its corner (30, 10): 12 wide and 10 high become 10 and 12.
    np.testing.assert_allclose(samples["img/b b.jpg"].boxes, [[10, 20, 22, 30]], atol=1e-5)
    assert len(samples["c.jpg"].boxes) == 0


def test_json_that_is_not_understood_is_not_cut_at_its_commas(tmp_path):
    rows = 'image,label\na.jpg,"{""shape"": ""circle"", ""r"": 3}"\n'
    with_pictures(tmp_path, "a.jpg", t_csv=rows)
    with pytest.raises(SourceError, match="column 'label' holds JSON that is not understood"):
        csv.scan(tmp_path)


@pytest.mark.parametrize(
    "header", [",image,label", "Unnamed: 0,file_name,class", "index,img,label"]
)
def test_an_index_column_is_no_picture(header, tmp_path):
    """pandas writes 0, 1, 2, ... which name 0.jpg, 1.jpg, ... as well."""
    rows = [f"{row},{(row + 1) % 3}.jpg,{'xyz'[row]}" for row in range(3)]
    with_pictures(tmp_path, "0.jpg", "1.jpg", "2.jpg", t_csv="\n".join([header, *rows]))
    listing, samples, _ = all_samples(tmp_path)
    found = {name: listing.labels[sample.labels[0]] for name, sample in samples.items()}
    assert found == {"1.jpg": "x", "2.jpg": "y", "0.jpg": "z"}


@pytest.mark.parametrize("header", ["label,image", "digit_label,picture"])
def test_digits_before_their_pictures(header, tmp_path):
    """The digits are stems of pictures, and one picture is missing."""
    rows = [f"{digit},{name}.jpg" for name, digit in ((0, 2), (1, 0), (2, 1), (9, 1))]
    with_pictures(tmp_path, "0.jpg", "1.jpg", "2.jpg", t_csv="\n".join([header, *rows]))
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("0", "1", "2")
    found = {name: int(sample.labels[0]) for name, sample in samples.items()}
    assert found == {"0.jpg": 2, "1.jpg": 0, "2.jpg": 1}
    assert [row[:2] for row in listing.rejected] == [("9.jpg", "missing_image")]


def test_two_columns_that_name_pictures_are_refused(tmp_path):
    with_pictures(tmp_path, "0.jpg", "1.jpg", t_csv="a,b\n0,1\n1,0\n")
    with pytest.raises(SourceError, match="its columns 'a' and 'b' both name pictures"):
        csv.scan(tmp_path)


def test_automl(tmp_path):
    rows = [
        "TRAIN,gs://bucket/a.jpg,cup,0.5,0.1,,,0.75,0.6,,",
        "TRAIN,gs://bucket/a.jpg,jug,0,0,0.5,0,0.5,0.5,0,0.5",
        "VALIDATION,gs://bucket/b.jpg,jug,0.1,0.1,,,0.2,0.2,,",
        "UNASSIGNED,gs://bucket/c.jpg,jug,,,,,,,,",
    ]
    with_pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg", automl_csv="\n".join(rows))
    listing, samples, _ = all_samples(tmp_path)
    np.testing.assert_allclose(samples["a.jpg"].boxes, [[4, 30, 24, 45], [0, 0, 20, 30]], atol=1e-5)
    splits = {reference.source_id: reference.split for reference in listing.references}
    assert splits == {"a.jpg": "train", "b.jpg": "val", "c.jpg": "train"}


@pytest.mark.parametrize("form", ["csv", "txt"])
def test_celeba(form, tmp_path):
    names, rows = ["Bald", "Smiling"], [("a.jpg", "-1", "1"), ("b.jpg", "1", "1")]
    if form == "csv":
        text = "\n".join(",".join(row) for row in [("image_id", *names), *rows])
        with_pictures(tmp_path, "a.jpg", "b.jpg", list_attr_celeba_csv=text)
    else:
        text = "\n".join(["2", " ".join(names), *(" ".join(f"{c:>2}" for c in r) for r in rows)])
        with_pictures(tmp_path, "a.jpg", "b.jpg", **{"list_attr_celeba.txt": text})
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("Bald", "Smiling")
    found = {name: sample.labels.tolist() for name, sample in samples.items()}
    assert found == {"a.jpg": [1], "b.jpg": [0, 1]}
    assert not listing.ambiguous


def test_minus_one_beside_0_is_told(tmp_path):
    text = "Path,Edema,Fracture\na.jpg,1,0\nb.jpg,-1,1\n"
    with_pictures(tmp_path, "a.jpg", "b.jpg", train_csv=text)
    listing, samples, _ = all_samples(tmp_path)
    assert samples["b.jpg"].labels.tolist() == [1]
    (told,) = listing.ambiguous
    assert "unsure" in told.why


def test_a_name_with_a_comma_is_one_class(tmp_path):
    rows = ["image,label", 'a.jpg,"tench, Tinca tinca"', "b.jpg,cock", "c.jpg,cock"]
    with_pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg", t_csv="\n".join(rows))
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("cock", "tench, Tinca tinca")
    assert samples["a.jpg"].labels.tolist() == [1]
    rows = ["image,label", 'a.jpg,"cat,dog"', "b.jpg,cat", "c.jpg,dog"]
    with_pictures(tmp_path, t_csv="\n".join(rows))
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert samples["a.jpg"].labels.tolist() == [0, 1]


def test_tables_that_contradict_each_other_are_refused(tmp_path):
    tables = {"a_csv": "image,label\na.jpg,cat\n", "b_csv": "image,label\na.jpg,dog\n"}
    with_pictures(tmp_path, "a.jpg", **tables)
    with pytest.raises(SourceError, match=r"a.csv says cat of a.jpg, and b.csv says dog"):
        csv.scan(tmp_path)


def test_a_class_without_a_box_is_told(tmp_path):
    rows = "image,label,xmin,ymin,xmax,ymax\na.jpg,cat,,,,\nb.jpg,dog,10,5,30,25\n"
    with_pictures(tmp_path, "a.jpg", "b.jpg", t_csv=rows)
    listing, samples, _ = all_samples(tmp_path)
    assert len(samples["a.jpg"].boxes) == 0
    (told,) = listing.ambiguous
    assert (told.count, "without a box" in told.why) == (1, True)


def test_a_rejected_picture_is_in_a_table(tmp_path):
    rows = "image,label,xmin,ymin,xmax,ymax\na.jpg,cat,n/a,5,30,25\nb.jpg,dog,10,5,30,25\n"
    with_pictures(tmp_path, "a.jpg", "b.jpg", t_csv=rows)
    listing = csv.scan(tmp_path)
    assert [name for name, *_ in listing.rejected] == ["a.jpg"]
    assert not listing.notes

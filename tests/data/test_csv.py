import collections
import shutil

import numpy as np
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, csv, detect
from tests.data import build
from tests.data.build import written

TFOD = "filename,width,height,class,xmin,ymin,xmax,ymax\n"


def with_pictures(root, *names, **tables):
    written(root, {name: build.picture(seed=len(name)) for name in names})
    return written(root, {name.replace("_csv", ".csv"): text for name, text in tables.items()})


def all_samples(root, options=Options(holdout=0)):
    listing = csv.scan(root, options)
    warned = collections.Counter()
    samples = {
        r.source_id: csv.read(r, listing.labels, warn=lambda reason, _: warned.update([reason]))
        for r in listing.references
    }
    return listing, samples, dict(warned)


def test_tfod_boxes(tmp_path):
    """Continuous pixels, as in xmin / width of TensorFlow's tutorials."""
    rows = "a.jpg,60,40,dog,10,5,30,20\nb.jpg,60,40,cat,0,0,60,40\na.jpg,60,40,cat,1.5,2,3,4\n"
    with_pictures(tmp_path, "images/a.jpg", "images/b.jpg", "images/c.jpg", labels_csv=TFOD + rows)
    assert detect(tmp_path) == "csv"
    listing, samples, warned = all_samples(tmp_path)
    assert (listing.labels, warned, listing.rejected) == (("cat", "dog"), {}, ())
    np.testing.assert_array_equal(samples["images/a.jpg"].boxes, [[5, 10, 20, 30], [2, 1.5, 4, 3]])
    assert samples["images/a.jpg"].classes.tolist() == [1, 0]
    assert samples["images/a.jpg"].labels.tolist() == [0, 1]
    np.testing.assert_array_equal(samples["images/b.jpg"].boxes, [[0, 0, 40, 60]])
    assert listing.notes == ("1 pictures are in no table, and are not used",)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_delimiters_line_ends_and_marks(tmp_path, ending, delimiter, mark):
    rows = ['"a, b.jpg",60,40,"big dog",10,5,30,20', "", "é 猫.JPG,60,40,cat,1,2,3,4", ""]
    table = TFOD + "\n".join(rows)
    if delimiter != ",":
        table = table.replace(", ", "&").replace(",", delimiter).replace("&", ", ")
    with_pictures(tmp_path, "a, b.jpg", "é 猫.JPG", t_csv=mark + table.replace("\n", ending))
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("big dog", "cat")
    np.testing.assert_array_equal(samples["a, b.jpg"].boxes, [[5, 10, 20, 30]])
    np.testing.assert_array_equal(samples["é 猫.JPG"].boxes, [[2, 1, 4, 3]])


def test_retinanet_boxes_without_header(tmp_path):
    rows = "/data/imgs/a.jpg,10,5,30,20,dog\n/data/imgs/b.jpg,,,,,\n/data/imgs/a.jpg,0,0,9,9,cow\n"
    with_pictures(
        tmp_path, "imgs/a.jpg", "imgs/b.jpg", train_csv=rows, classes_csv="dog,0\ncow,1\n"
    )
    assert detect(tmp_path) == "csv"
    listing, samples, _ = all_samples(tmp_path)
    assert [r.split for r in listing.references] == ["train", "train"]
    assert listing.labels == ("cow", "dog")
    np.testing.assert_array_equal(samples["imgs/a.jpg"].boxes, [[5, 10, 20, 30], [0, 0, 9, 9]])
    assert samples["imgs/b.jpg"].boxes.shape == (0, 4)
    assert any("classes.csv is not used" in note for note in listing.notes)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("image_id,x,y,w,h,label", "a,10,5,20,15,dog"),
        ("image,x,y,width,height,label", "a.jpg,10,5,20,15,dog"),
        ("Label;Image Path;x_min;x_max;y_min;y_max", "dog;C:\\x\\a.jpg;10;30;5;20"),
        ("file,left,top,right,bottom,name", "./a.jpg,10,5,30,20,dog"),
        ("file,bbox_x1,bbox_y1,bbox_x2,bbox_y2,class", "a.jpg,10,5,30,20,dog"),
        (",ImageID,LabelName,Confidence,XMin,XMax,YMin,YMax", "0,a,dog,1,0.166667,0.5,0.125,0.5"),
    ],
)
def test_other_names_of_columns(tmp_path, header, row):
    with_pictures(tmp_path, "train/a.jpg", boxes_csv=f"{header}\n{row}\n")
    listing, samples, _ = all_samples(tmp_path)
    assert (listing.labels, listing.references[0].split) == (("dog",), "train")
    np.testing.assert_allclose(samples["train/a.jpg"].boxes, [[5, 10, 20, 30]], atol=1e-4)
    assert bool(listing.notes) == ("XMin" in header)


def test_boxes_without_a_class_are_objects(tmp_path):
    with_pictures(tmp_path, "a.jpg", t_csv="image,xmin,ymin,xmax,ymax\na.jpg,1,2,3,4\n")
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("object",)
    np.testing.assert_array_equal(samples["a.jpg"].boxes, [[2, 1, 4, 3]])


@pytest.mark.parametrize("header", ["", "path,label\n", "id,breed\n", "filename,whatever\n"])
def test_one_class_a_picture(tmp_path, header):
    rows = "a.jpg,10\nb,9\nsub/c.png,10\n" if header else "a.jpg,10\nb.jpg,9\nsub/c.png,10\n"
    with_pictures(tmp_path, "a.jpg", "pictures/b.jpg", "sub/c.png", t_csv=header + rows)
    assert detect(tmp_path) == "csv"
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("9", "10")  # as numbers
    labels = {name: sample.labels.tolist() for name, sample in samples.items()}
    assert labels == {"a.jpg": [1], "pictures/b.jpg": [0], "sub/c.png": [1]}


@pytest.mark.parametrize(
    ("cells", "labels", "wanted"),
    [
        (("cat|dog", "dog", ""), ("cat", "dog"), ([0, 1], [1], [])),
        (("cat; dog", "cow", "dog"), ("cat", "cow", "dog"), ([0, 2], [1], [2])),
        (('"cat,dog"', "dog", "cat"), ("cat", "dog"), ([0, 1], [1], [0])),
        (("cat dog", "dog", "cat"), ("cat", "dog"), ([0, 1], [1], [0])),
        (("hot dog", "dog", "cat"), ("cat", "dog", "hot dog"), ([2], [1], [0])),
    ],
)
def test_several_classes_a_picture(tmp_path, cells, labels, wanted):
    rows = "".join(f"{name}.jpg,{cell}\n" for name, cell in zip("abc", cells, strict=True))
    with_pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg", t_csv=f"path,labels\n{rows}")
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == labels
    assert [samples[f"{name}.jpg"].labels.tolist() for name in "abc"] == list(wanted)


def test_one_column_a_class(tmp_path):
    """Roboflow's _classes.csv, one in the folder of each split."""
    content = {
        "train/_classes.csv": "filename, dog, cat\na.jpg, 1, 0\nb.jpg, 1, 1\n",
        "valid/_classes.csv": "filename, dog, cat\na.jpg, 0, 0\n",
    }
    with_pictures(written(tmp_path, content), "train/a.jpg", "train/b.jpg", "valid/a.jpg")
    assert detect(tmp_path) == "csv"
    listing, samples, _ = all_samples(tmp_path)
    assert listing.labels == ("dog", "cat")
    assert [(r.split, samples[r.source_id].labels.tolist()) for r in listing.references] == [
        ("train", [0]),
        ("train", [0, 1]),
        ("val", []),
    ]


def test_splits(tmp_path):
    names = ("x/a.jpg", "x/b.jpg", "x/c.jpg")
    rows = "path,label,split\na.jpg,cat,TRAIN\nb.jpg,dog,valid\nc.jpg,cat,test\n"
    with_pictures(tmp_path / "column", *names, t_csv=rows)
    with_pictures(tmp_path / "tables", *names, train_csv="path,label\na.jpg,cat\n",
                  my_val_labels_csv="path,label\nb.jpg,dog\n", test_csv="id\nc\n",
                  sample_submission_csv="id,label\nc,cat\n")  # fmt: skip
    with_pictures(tmp_path / "folders", "train/a.jpg", "val/a.jpg",
                  t_csv="path,label\ntrain/a.jpg,cat\nval/a.jpg,dog\n")  # fmt: skip
    splits = {
        root: [(r.split, r.source_id) for r in csv.scan(tmp_path / root).references]
        for root in ("column", "tables", "folders")
    }
    assert splits == {
        "column": [("test", "x/c.jpg"), ("train", "x/a.jpg"), ("val", "x/b.jpg")],
        "tables": [("train", "x/a.jpg"), ("val", "x/b.jpg")],
        "folders": [("train", "train/a.jpg"), ("val", "val/a.jpg")],
    }


def test_column_that_is_called_set_and_is_none(tmp_path):
    with_pictures(tmp_path, "a.jpg", t_csv="path,label,set\na.jpg,cat,coco\n")
    assert csv.scan(tmp_path, Options(holdout=0)).references[0].split == "train"


@pytest.mark.parametrize("kind", ["zip", "gztar"])
def test_archives(tmp_path, kind):
    with_pictures(tmp_path / "set", "images/a.jpg", t_csv=TFOD + "a.jpg,60,40,dog,10,5,30,20\n")
    path = shutil.make_archive(str(tmp_path / "packed"), kind, tmp_path / "set")
    assert detect(path) == "csv"
    _, samples, _ = all_samples(path)
    np.testing.assert_array_equal(samples["images/a.jpg"].boxes, [[5, 10, 20, 30]])


def test_same_name_in_two_splits_is_found_by_the_table(tmp_path):
    tables = {f"{split}_csv": f"path,label\na.jpg,{split}\n" for split in ("train", "test")}
    with_pictures(tmp_path, "train/a.jpg", "test/a.jpg", **tables)
    listing, samples, _ = all_samples(tmp_path)
    assert {r.source_id: r.split for r in listing.references} == {
        "train/a.jpg": "train",
        "test/a.jpg": "test",
    }
    assert (listing.labels, samples["test/a.jpg"].labels.tolist()) == (("test", "train"), [0])


def test_damaged_rows_are_rejected_with_their_number(tmp_path):
    rows = (
        "a.jpg,60,40,dog,10,5,30,20\n"
        "b.jpg,60,40,dog,10,x,30,20\n"
        "b.jpg,60,40,dog,10,5,30,20\n"  # its picture is not used in part
        "c.jpg,60,40,dog,10,5\n"
        "gone.jpg,60,40,dog,10,5,30,20\n"
        "d.jpg,60,40,,10,5,30,20\n"
        "e.jpg,60,40,dog,,5,30,20\n"
        "f.jpg,60,40,dog,inf,5,30,20\n"
    )
    with_pictures(tmp_path, *(f"{name}.jpg" for name in "abcdef"), t_csv=TFOD + rows)
    listing = csv.scan(tmp_path)
    assert [r.source_id for r in listing.references] == ["a.jpg"]
    found = {name: (reason, detail.split(":")[0]) for name, reason, detail in listing.rejected}
    assert found == {
        "b.jpg": ("corrupt_annotation", "t.csv row 3"),
        "c.jpg": ("corrupt_annotation", "t.csv row 5"),
        "gone.jpg": ("missing_image", "t.csv row 6"),
        "d.jpg": ("corrupt_annotation", "t.csv row 7"),
        "e.jpg": ("corrupt_annotation", "t.csv row 8"),
        "f.jpg": ("corrupt_annotation", "t.csv row 9"),
    }


def test_bad_boxes_and_unknown_classes_are_left_out(tmp_path):
    rows = "".join(
        f"a.jpg,60,40,{name},{box}\n"
        for name, box in [
            ("dog", "10,5,30,20"), ("dog", "10,5,10,20"), ("dog", "30,5,10,20"),
            ("dog", "50,30,70,50"), ("dog", "70,1,90,9"), ("cow", "1,1,9,9"),
        ]
    )  # fmt: skip
    with_pictures(tmp_path, "a.jpg", t_csv=TFOD + rows)
    _, samples, warned = all_samples(tmp_path, Options(labels=("dog",)))
    np.testing.assert_array_equal(
        samples["a.jpg"].boxes, [[5, 10, 20, 30], [5, 10, 20, 30], [30, 50, 40, 60]]
    )
    assert warned == {"empty_box": 1, "swapped_corners": 1, "clipped_box": 1, "outside_box": 1,
                      "unknown_class": 1}  # fmt: skip


def test_labels_leave_out_pictures_of_other_classes(tmp_path):
    table = "path,label\na.jpg,cat\nb.jpg,dog\nc.jpg,\n"
    with_pictures(tmp_path, "a.jpg", "b.jpg", "c.jpg", t_csv=table)
    listing = csv.scan(tmp_path, Options(labels=("dog", "cow")))
    assert (listing.labels, [r.source_id for r in listing.references]) == (
        ("dog", "cow"),
        ["b.jpg"],
    )
    assert [row[:2] for row in listing.rejected] == [
        ("a.jpg", "unknown_class"),
        ("c.jpg", "missing_annotation"),
    ]


def test_picture_that_is_damaged(tmp_path):
    with_pictures(tmp_path, "a.jpg", t_csv="path,label\na.jpg,cat\n")
    (tmp_path / "a.jpg").write_bytes(b"")
    (reference,) = csv.scan(tmp_path).references
    with pytest.raises(BadSample, match="empty_image"):
        csv.read(reference, ("cat",))


@pytest.mark.parametrize(
    "table",
    [
        "image,x1,y1,x2,y2,x3,y3\na.jpg,10,5,30,20,7,7\n",  # keypoints
        "image,x1,y1,x2,y2\na.jpg,10,5,30,20\n",
        ",0,1,2,3\na.jpg,10,5,30,20\n",
        "left_eye_x,left_eye_y,nose_x,nose_y,image\n10,5,30,20,a.jpg\n",
        "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
        'region_attributes\na.jpg,9,{},1,0,"{""name"":""rect""}",{}\n',  # VIA
        "image,label,nose_x,nose_y,eye_x,eye_y\na.jpg,cat,1,2,3,4\n",
        "image,caption\na.jpg,A dog runs over the grass .\n",
        "image,age\na.jpg,3.5\n",
        "name,r,g,b\nroad,1,2,3\n",
        "a.jpg\n",
        "",
        "\n\n",
        "a.jpg,1,2,3\n",
    ],
)
def test_tables_of_other_kinds_are_not_claimed(tmp_path, table):
    with_pictures(tmp_path, "a.jpg", t_csv=table)
    assert not csv.detect(csv.files.tree(tmp_path))
    with pytest.raises(SourceError, match=r"t\.csv: "):
        csv.scan(tmp_path)


@pytest.mark.parametrize("cut", [0, 1])
def test_utf16(tmp_path, cut):
    data = "path,label\na.jpg,cät\n".encode("utf-16")
    with_pictures(tmp_path, "a.jpg", t_csv=data[: len(data) - cut])
    if cut:
        with pytest.raises(SourceError, match=r"t\.csv is damaged text"):
            csv.scan(tmp_path)
        assert not csv.detect(csv.files.tree(tmp_path))
    else:
        assert csv.scan(tmp_path).labels == ("cät",)


def test_nothing_there_and_no_table(tmp_path):
    with pytest.raises(SourceError, match="no table"):
        csv.scan(tmp_path)
    with_pictures(tmp_path, "a.jpg", t_csv="path,label\na.jpg," + "x" * 200_000 + "\n")
    with pytest.raises(SourceError, match=r"t\.csv row 2"):
        csv.scan(tmp_path)

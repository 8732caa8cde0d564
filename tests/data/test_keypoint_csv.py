import numpy as np
import pytest

from convoy.data import labels
from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, keypoints
from convoy.data.sources import detect as detect_format
from tests.data import build


def photo(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build.picture(40, 60))


def samples(root, options=Options()):
    listing = keypoints.scan(root, options)
    warned = []
    read = [
        keypoints.read(r, listing.labels, warn=lambda reason, _: warned.append(reason))
        for r in listing.references
    ]
    return listing, read, warned


def test_names_that_a_network_can_learn_by():
    assert labels.usable(["nose ", " left eye"], "keypoints") == (("nose", "left eye"), [])
    assert labels.usable([], "keypoints") == ((), [])
    none, (why,) = labels.usable(["nose", "nose"], "keypoints")
    assert none == ()
    assert "'nose' is both class 0 and class 1: no network can learn of these keypoints" in why


def test_numbered_columns_of_faces(tmp_path):
    for folder, table in (("training", "training_frames"), ("test", "test_frames")):
        photo(tmp_path / folder / "a.jpg")
        header = ",".join(["", *map(str, range(136))])
        row = ",".join(["a.jpg", *(str(0.5 * i) for i in range(72)), *["1.0"] * 64])
        (tmp_path / f"{table}_keypoints.csv").write_text(f"{header}\n{row}\n")
    assert detect_format(tmp_path) == "keypoints"
    listing, (test, train), _ = samples(tmp_path)
    assert (test.split, test.source_id) == ("test", "test/a.jpg")
    assert (train.split, train.source_id) == ("train", "training/a.jpg")
    assert listing.labels == ("face",)
    assert len(listing.keypoints) == 68
    assert (36, 45) in listing.keypoint_pairs  # outer corners of the eyes
    np.testing.assert_array_equal(train.keypoints[0, 1], [1.5, 1.0, 2])  # columns 2 and 3: x, y
    np.testing.assert_array_equal(train.boxes, [[0.5, 0, 35.5, 35]])


def test_named_columns_in_any_order(tmp_path):
    photo(tmp_path / "a.jpg")
    photo(tmp_path / "b.JPG")
    (tmp_path / "points.csv").write_text(
        "\ufefffile,left_eye_x,left_eye_y,Nose_Y,Nose_X,left_eye_v,right_eye_x,right_eye_y\r\n"
        "a.jpg,10,20,25.5,15,1,,20\r\n"
        "a.jpg,30,5,15,31,0,50,20\r\n"
        "b.JPG,-1,-1,nan,3,2,x,1\r\n"
        "\r\n"
        "gone.jpg,1,2,3,4,2,5,6\r\n",
        "utf-8",
    )
    assert detect_format(tmp_path) == "keypoints"
    listing, read, warned = samples(tmp_path)
    assert listing.keypoints == ("left_eye", "Nose", "right_eye")
    assert listing.keypoint_pairs == ((0, 2),)
    assert listing.labels == ("object",)
    first = next(s for s in read if s.source_id == "a.jpg")
    np.testing.assert_array_equal(
        first.keypoints,
        [[[20, 10, 1], [25.5, 15, 2], [0, 0, 0]], [[0, 0, 0], [15, 31, 2], [20, 50, 2]]],
    )
    np.testing.assert_array_equal(first.boxes, [[20, 10, 25.5, 15], [15, 31, 20, 50]])
    assert warned == ["missing_box"]  # b.JPG has no visible point
    assert [row[:2] for row in listing.rejected] == [("points.csv:5", "missing_image")]


def test_pictures_by_the_ends_of_their_paths(tmp_path):
    photo(tmp_path / "one" / "a.jpg")
    photo(tmp_path / "two" / "a.jpg")
    header = "image;a_x;a_y;b_x;b_y\n"
    (tmp_path / "p.csv").write_text(
        header + "C:\\data\\two\\a.jpg;1;2;3;4\none/a.jpg;1;2;3;5\na.jpg;1;2;3;6\n"
    )
    listing, read, _ = samples(tmp_path, Options(labels=("dog",)))
    assert {s.source_id: s.boxes.tolist() for s in read} == {"one/a.jpg": [[2, 1, 5, 3]]}
    assert [row[0] for row in listing.rejected] == ["p.csv:2", "p.csv:4"]  # unknown, ambiguous
    assert listing.labels == ("dog",)


def test_boxes_are_not_keypoints(tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "boxes.csv").write_text("file,box_x,box_y,center_x,center_y\na.jpg,1,2,3,4\n")
    (tmp_path / "corners.csv").write_text("file,xmin,ymin,xmax,ymax,class\na.jpg,1,2,3,4,cat\n")
    with pytest.raises(SourceError, match="NAME_x, NAME_y"):
        keypoints.scan(tmp_path)


def test_tables_must_agree(tmp_path):
    photo(tmp_path / "a.jpg")
    (tmp_path / "train.csv").write_text("f,a_x,a_y,b_x,b_y\na.jpg,1,2,3,4\n")
    (tmp_path / "val.csv").write_text("f,a_x,a_y,c_x,c_y\na.jpg,1,2,3,4\n")
    with pytest.raises(SourceError, match=r"val\.csv has other keypoints"):
        keypoints.scan(tmp_path)


def test_damaged_picture_and_short_row(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    photo(tmp_path / "b.jpg")
    (tmp_path / "train.csv").write_text("f,a_x,a_y,b_x,b_y\na.jpg,1,2,3,4\nb.jpg,1,2\n")
    listing = keypoints.scan(tmp_path)
    with pytest.raises(BadSample, match="corrupt_image"):
        keypoints.read(listing.references[0], listing.labels)
    warned = []
    sample = keypoints.read(
        listing.references[1], listing.labels, warn=lambda reason, _: warned.append(reason)
    )
    assert (len(sample.boxes), warned) == (0, ["empty_box"])  # one point encloses nothing


@pytest.mark.parametrize("columns", [1, 3])
def test_deeplabcut(tmp_path, columns):
    """Rows scorer, bodyparts, coords; the path in one column, or in three since 2.2."""
    for name in ("img1.png", "img2.png"):
        photo(tmp_path / "labeled-data" / "mouse" / name)
    blank = [""] * (columns - 1)
    rows = [["scorer", *blank, *["me"] * 4], ["bodyparts", *blank, "nose", "nose", "tail", "tail"]]
    rows.append(["coords", *blank, "x", "y", "x", "y"])
    for name, cells in (("img1.png", ["10", "20", "30.5", "5"]), ("img2.png", ["1", "2", "", ""])):
        path = ["labeled-data", "mouse", name]
        rows.append([*(path if columns == 3 else ["/".join(path)]), *cells])
    text = "\n".join(map(",".join, rows))
    (tmp_path / "labeled-data" / "mouse" / "CollectedData_me.csv").write_text(text)
    assert detect_format(tmp_path) == "keypoints"
    listing, read, _ = samples(tmp_path)
    assert (listing.keypoints, listing.rejected) == (("nose", "tail"), ())
    first = next(s for s in read if s.source_id.endswith("img1.png"))
    np.testing.assert_array_equal(first.keypoints, [[[20, 10, 2], [5, 30.5, 2]]])


def test_deeplabcut_of_several_animals(tmp_path):
    photo(tmp_path / "img1.png")
    (tmp_path / "CollectedData_me.csv").write_text(
        "scorer,me,me,me,me,me,me\nindividuals,a,a,b,b,b,b\n"
        "bodyparts,nose,nose,nose,nose,tail,tail\ncoords,x,y,x,y,x,y\n"
        "img1.png,1,2,10,20,30,5\n"
    )
    assert detect_format(tmp_path) == "keypoints"
    listing, (sample,), _ = samples(tmp_path)
    assert listing.keypoints == ("nose", "tail")
    assert sample.keypoints[..., 2].tolist() == [[2, 2]]  # a's single point encloses nothing
    np.testing.assert_array_equal(sample.boxes, [[5, 10, 20, 30]])

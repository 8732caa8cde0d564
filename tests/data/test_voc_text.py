import collections
import tarfile

import numpy as np
import PIL.Image
import pytest

from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, voc_text
from tests.data import build, test_fuzz


def text(picture, objects=(), *, size=(60, 40), origin=(1, 1), more="", end="\r\n"):
    """As the format has it; objects: (label, (xmin, ymin, xmax, ymax)); size: width, height."""
    labels = " ".join(f'"{label}"' for label, _ in objects)
    lines = [
        "# PASCAL Annotation Version 1.00",
        "",
        f'Image filename : "{picture}"',
        f"Image size (X x Y x C) : {size[0]} x {size[1]} x 3",
        'Database : "The Rhône Database"',
        f"Objects with ground truth : {len(objects)} {{ {labels} }}",
        "",
        "# Note that there might be other objects in the image",
        "# for which ground truth data has not been provided.",
        f"# Top left pixel co-ordinates : ({origin[0]}, {origin[1]})",
    ]
    for number, (label, box) in enumerate(objects, start=1):
        of = f'for object {number} "{label}"'
        lines += ["", f'# Details for object {number} ("{label}")']
        lines += [f'Original label {of} : "{label}"']
        if box:
            corners = f"({box[0]}, {box[1]}) - ({box[2]}, {box[3]})"
            lines += [f"Bounding box {of} (Xmin, Ymin) - (Xmax, Ymax) : {corners}"]
    return end.join([*lines, more, ""])


def put(root, name, content):
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


def read_all(path, **options):
    """Samples by source_id, with what was warned of."""
    listing = voc_text.scan(path, Options(**options))
    warned = collections.Counter()
    samples = {
        r.source_id: voc_text.read(r, listing.labels, warn=lambda why, _: warned.update([why]))
        for r in listing.references
    }
    return listing, samples, dict(warned)


def test_the_formats_own_example():
    """TU Darmstadt's motorbikes: 1-based inclusive (57, 133) - (329, 265) and (153, 95) - ..."""
    objects = (("PASmotorbikeSide", (57, 133, 329, 265)), ("PASmotorbikeSide", (153, 95, 396, 218)))
    name = "TUDarmstadt/PNGImages/motorbike-testset/motorbikes040-rt.png"
    found = voc_text.parse(text(name, objects, size=(400, 275)))
    assert (found.filename, found.size) == (name, (275, 400))
    assert {number: entry.box for number, entry in found.objects.items()} == {
        1: (132, 56, 265, 329),
        2: (94, 152, 218, 396),
    }
    assert [(e.name, e.view) for e in found.objects.values()] == [("motorbike", "Side")] * 2
    # IoU in continuous pixels is that of VOC's inclusive corners, 0.296477.
    top, left, bottom, right = 132, 152, 218, 329
    inside = (bottom - top) * (right - left)
    areas = 133 * 273 + 124 * 244
    assert inside / (areas - inside) == pytest.approx(0.296477, abs=1e-6)
    wrapped = text(name, objects, size=(400, 275)).replace("\r\n", " ").replace(" - (", "\n(")
    assert voc_text.parse(wrapped) == found


def test_corners_counted_from_0():
    found = voc_text.parse(text("a.png", [("PASperson", (0, 3, 9, 39))], origin=(0, 0)))
    assert found.objects[1].box == (3, 0, 40, 10)


@pytest.mark.parametrize(
    ("label", "name", "view", "truncated", "difficult"),
    [
        ("PAScar", "car", "", False, False),
        ("PAScarRearTrunc", "car", "Rear", True, False),
        ("PAScarFrontalTruncDifficult", "car", "Frontal", True, True),
        ("PAScarFront", "car", "Frontal", False, False),
        ("PAScowLeftDifficult", "cow", "Left", False, True),
        ("PASmotorbikeSide", "motorbike", "Side", False, False),
        ("PASpersonWalking", "person", "Walking", False, False),
        ("PASpersonStanding", "person", "Standing", False, False),
        ("PASsheepTrunc", "sheep", "", True, False),
        ("UprightPerson", "person", "", False, False),
        ("motorbikeSide", "motorbike", "Side", False, False),
        ("trafficLight", "trafficLight", "", False, False),
        ("Right", "Right", "", False, False),
    ],
)
def test_labels(label, name, view, truncated, difficult):
    (found,) = voc_text.parse(text("a.png", [(label, (1, 1, 2, 2))])).objects.values()
    assert (found.name, found.view) == (name, view)
    assert (found.truncated, found.difficult) == (truncated, difficult)


def test_voc2006(tmp_path):
    year = tmp_path / "VOC2006"
    for index in range(1, 5):
        put(year, f"PNGImages/00000{index}.png", build.picture(seed=index, kind="PNG"))
        objects = [("PAScarLeft", (1, 1, 60, 40)), ("PASdogTruncDifficult", (11, 6, 10 + index, 9))]
        name = f"VOC2006/PNGImages/00000{index}.png"
        put(year, f"Annotations/00000{index}.txt", text(name, objects))
    put(year, "ImageSets/train.txt", "000001\r\n000002\r\n\r\n")
    put(year, "ImageSets/val.txt", "000003\n")
    put(year, "ImageSets/car_train.txt", "000001 1\n000004 -1\n")
    put(year, "ImageSets/car_test.txt", "000004 1\n")
    for path in (tmp_path, year):
        assert detect(path) == "voc_text"
        listing, samples, warned = read_all(path)
        assert [(r.split, r.source_id) for r in listing.references] == [
            ("test", "VOC2006/000004"),
            ("train", "VOC2006/000001"),
            ("train", "VOC2006/000002"),
            ("val", "VOC2006/000003"),
        ]
        assert (listing.labels, listing.notes, warned) == (("car", "dog"), (), {})
    sample = samples["VOC2006/000002"]
    np.testing.assert_array_equal(sample.boxes, [[0, 0, 40, 60], [5, 10, 9, 12]])
    assert sample.views == ("Left", "")
    assert (sample.truncated.tolist(), sample.difficult.tolist()) == ([False, True],) * 2
    assert sample.image == build.picture(seed=2, kind="PNG")
    with tarfile.open(tmp_path / "voc2006_trainval.tar", "w") as archive:
        archive.add(year, "VOCdevkit/VOC2006")
    packed, same, _ = read_all(tmp_path / "voc2006_trainval.tar")
    assert [r.source_id for r in packed.references] == [r.source_id for r in listing.references]
    np.testing.assert_array_equal(same["VOC2006/000002"].boxes, sample.boxes)


def test_voc2005_sets_in_folders(tmp_path):
    """One base name in two sets: each text's own path decides."""
    for index, name in enumerate(("Caltech_cars", "TUGraz")):
        picture = f"VOC2005_1/PNGImages/{name}/img_0001.png"
        put(tmp_path, picture, build.picture(seed=index, kind="PNG"))
        note = f"VOC2005_1/Annotations/{name}/img_0001.txt"
        put(tmp_path, note, text(picture.partition("/")[2], [("PASbike", (1, 1, 5, 5))]))
        mask = np.zeros((40, 60), np.uint8)
        put(tmp_path, f"VOC2005_1/GTMasks/{name}/img_0001.png", images_png(mask))
    _, samples, _ = read_all(tmp_path)
    assert {key: sample.image for key, sample in samples.items()} == {
        f"VOC2005_1/{name}/img_0001": build.picture(seed=index, kind="PNG")
        for index, name in enumerate(("Caltech_cars", "TUGraz"))
    }


def test_inria_persons(tmp_path):
    """Latin-1, counted from 0, Train/annotations beside Train/pos; negatives have no text."""
    for folder, name in (("Train", "crop001"), ("Test", "crop_2")):
        picture = f"{folder}/pos/{name}.png"
        put(tmp_path, f"INRIAPerson/{picture}", build.picture(kind="PNG"))
        center = 'Center point on object 1 "PASperson" (X, Y) : (15, 9)\n'
        written = text(picture, [("PASperson", (10, 4, 20, 39))], origin=(0, 0), more=center)
        note = f"INRIAPerson/{folder}/annotations/{name}.txt"
        put(
            tmp_path,
            note,
            written.replace('PASperson" : "PAS', 'PASperson" : "Upright').encode("latin-1"),
        )
        put(tmp_path, f"INRIAPerson/{folder}/neg/00.jpg", build.picture())
    for path in (tmp_path, tmp_path / "INRIAPerson"):
        listing, samples, warned = read_all(path)
        assert [r.split for r in listing.references] == ["test", "train"]
        assert listing.notes == ("2 pictures have no text listed: left out",)
        assert (listing.labels, warned) == (("person",), {})
        for sample in samples.values():
            np.testing.assert_array_equal(sample.boxes, [[4, 10, 40, 21]])


def images_png(values):
    return build.encoded(PIL.Image.fromarray(values), "PNG")


def test_penn_fudan_masks(tmp_path):
    root = tmp_path / "PennFudanPed"
    put(root, "PNGImages/FudanPed00001.png", build.picture(kind="PNG"))
    values = np.zeros((40, 60), np.uint8)
    values[4:9, 3:6], values[10:40, 20:31] = 1, 2
    put(root, "PedMasks/FudanPed00001_mask.png", images_png(values))
    mask = '"PennFudanPed/PedMasks/FudanPed00001_mask.png"'
    more = "".join(
        f'Pixel mask for object {n} "{label}" : {mask}\n'
        for n, label in ((1, "PASpersonWalking"), (2, "PASpersonStanding"))
    )
    objects = [("PASpersonWalking", (4, 5, 6, 9)), ("PASpersonStanding", (21, 11, 31, 40))]
    written = text("PennFudanPed/PNGImages/FudanPed00001.png", objects, more=more, end="\n")
    put(
        root,
        "Annotation/FudanPed00001.txt",
        written.replace("# PASCAL", "# Compatible with PASCAL"),
    )
    put(root, "readme.txt", "Annotation: one text a picture")
    assert detect(root) == "voc_text"
    listing, samples, warned = read_all(root)
    (sample,) = samples.values()
    assert (list(samples), listing.labels, warned) == (
        ["PennFudanPed/FudanPed00001"],
        ("person",),
        {},
    )
    assert listing.notes == ()
    np.testing.assert_array_equal(sample.boxes, [[4, 3, 9, 6], [10, 20, 40, 31]])
    assert sample.views == ("Walking", "Standing")
    assert sample.areas.tolist() == [15, 330]
    (root / "PedMasks" / "FudanPed00001_mask.png").unlink()
    with pytest.raises(BadSample, match="bad_segmentation"):
        read_all(root)


def test_polygon_and_mask_of_one_object(tmp_path):
    """A polygon's points are centres of pixels; a mask without the number is all of its object."""
    put(tmp_path, "PNGImages/a.png", build.picture(kind="PNG"))
    put(
        tmp_path,
        "GTMasks/a.png",
        images_png(np.pad(np.full((3, 3), 255, np.uint8), ((0, 37), (0, 57)))),
    )
    more = 'Pixel mask for object 1 "PAScar" : "GTMasks/a.png"\n'
    more += 'Polygon for object 2 "PAScar" (X, Y) : (11, 11) (21, 11) (21, 16) (11, 16)\n'
    put(tmp_path, "Annotations/a.txt", text("a.png", [("PAScar", (1, 1, 3, 3))] * 2, more=more))
    _, samples, _ = read_all(tmp_path)
    (sample,) = samples.values()
    assert sample.areas.tolist() == [9, 50]
    assert sample.image == build.picture(kind="PNG")


@pytest.mark.parametrize("points", ["(1, 1) (2, 2)", "(1, 1) (999999999, 1) (5, 999999999)"])
def test_an_object_keeps_its_box_where_its_polygon_is_none(tmp_path, points):
    put(tmp_path, "a.jpg", build.picture())
    more = f'Polygon for object 1 "PAScar" (X, Y) : {points}'
    put(tmp_path, "Annotations/a.txt", text("a.jpg", [("PAScar", (1, 1, 3, 3))], more=more))
    _, samples, warned = read_all(tmp_path)
    (sample,) = samples.values()
    assert (len(sample.boxes), sample.masks, warned) == (1, (), {"bad_segmentation": 1})


def test_objects_that_cannot_be_used_are_counted(tmp_path):
    put(tmp_path, "JPEGImages/a.JPG", build.picture())  # the text says .png
    objects = [
        ("PAScar", (1, 1, 9, 9)),
        ("PAScar", None),
        ("PAScat", (1, 1, 9, 9)),
        ("PAScar", (50, 30, 70, 40)),
        ("PAScar", (9, 9, 5, 5)),
    ]
    put(tmp_path, "Annotations/a.txt", text("x/PNGImages/a.png", objects))
    _, samples, warned = read_all(tmp_path, labels=("car",))
    (sample,) = samples.values()
    np.testing.assert_array_equal(sample.boxes, [[0, 0, 9, 9], [29, 49, 40, 60], [4, 4, 9, 9]])
    assert warned == {"missing_box": 1, "unknown_class": 1, "clipped_box": 1, "swapped_corners": 1}


def test_missing_and_damaged_files_are_rejected(tmp_path):
    put(tmp_path, "Annotations/a.txt", text("VOC/PNGImages/a.png", [("PAScar", (1, 1, 2, 2))]))
    put(tmp_path, "Annotations/b.txt", "# PASCAL Annotation Version 1.00\r\nImage file")
    put(tmp_path, "ImageSets/train.txt", "a\nb\nc\n")
    listing = voc_text.scan(tmp_path)
    reasons = {}
    for reference in listing.references:
        with pytest.raises(BadSample) as caught:
            voc_text.read(reference, listing.labels)
        reasons[reference.source_id[-1]] = caught.value.reason
    assert reasons == {
        "a": "missing_image",
        "b": "corrupt_annotation",
        "c": "missing_annotation",
    }


@pytest.mark.parametrize(
    "noise",
    [
        "Objects with ground truth : 1 { " * 20000,
        'Bounding box for object 1 "' * 20000,
        "Polygon for object 1 (X, Y) : " + "(1, 1) " * 50000,
        'Original label for object 1 "x" : "' + "Left" * 100000 + '"',
        " " * 1000000,
        f'Bounding box for object {"9" * 9999} "a" (Xmin, Ymin) - (Xmax, Ymax) : (1, 1) - (2, 2)',
    ],
)
def test_noise_does_not_hang(noise):
    with test_fuzz.limited("noise"):
        voc_text.parse('# PASCAL Annotation Version 1.00\nImage filename : "a.png"\n' + noise)


def test_other_texts_are_not_claimed(tmp_path):
    put(tmp_path, "labels/a.txt", "0 0.5 0.5 0.1 0.1\n")
    put(tmp_path, "images/a.jpg", build.picture())
    assert not voc_text.detect(files.tree(tmp_path))
    with pytest.raises(SourceError, match="PASCAL Annotation Version"):
        voc_text.scan(tmp_path)

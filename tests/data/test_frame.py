"""Boxes lie on the object whichever way EXIF turns its picture, and whatever size was labelled.

The object of each picture is a red rectangle on gray; where it lies is found in the pixels.
"""

import collections
import io
import json

import numpy as np
import PIL.Image
import pytest

from convoy.data.frame import frame_of
from convoy.data.images import images
from convoy.data.sample import BadSample
from convoy.data.sources import source
from convoy.pipeline.components import example_gen
from convoy.pipeline.components.example_gen import Params
from tests.data import build
from tests.data.test_images import STORED_AS


def photograph(height, width, box, orientation=1):
    """JPEG of `box` (ymin, xmin, ymax, xmax) in red, as a camera held so stores it."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[box[0] : box[2], box[1] : box[3]] = (255, 0, 0)
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    stored = PIL.Image.fromarray(np.ascontiguousarray(STORED_AS[orientation](pixels)))
    return build.encoded(stored, "JPEG", quality=95, subsampling=0, exif=exif)


def red(encoded):
    """(ymin, xmin, ymax, xmax) of the red pixels of an encoded picture."""
    pixels = np.asarray(PIL.Image.open(io.BytesIO(encoded)).convert("RGB")).astype(int)
    inside = (pixels[..., 0] > 190) & (pixels[..., 1] < 70)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    return tuple(map(int, (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)))


def voc(box, size, base="a"):
    ymin, xmin, ymax, xmax = box
    return {
        f"JPEGImages/{base}.jpg": None,
        f"Annotations/{base}.xml": build.annotation(
            build.xml_object("cup", (xmin + 1, ymin + 1, xmax, ymax)), size
        ),
    }


def labelme(box, size):
    ymin, xmin, ymax, xmax = box
    shape = {"label": "cup", "points": [[xmin, ymin], [xmax, ymax]], "shape_type": "rectangle"}
    content = {"version": "5.5.0", "flags": {}, "shapes": [shape], "imagePath": "a.jpg"}
    content |= {"imageData": None, "imageHeight": size[0], "imageWidth": size[1]}
    return {"a.jpg": None, "a.json": json.dumps(content)}


def coco(box, size):
    ymin, xmin, ymax, xmax = box
    row = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
    content = {
        "images": [{"id": 1, "file_name": "a.jpg", "height": size[0], "width": size[1]}],
        "annotations": [row],
        "categories": [{"id": 1, "name": "cup"}],
    }
    return {"images/a.jpg": None, "annotations/instances_train.json": json.dumps(content)}


def csv(box, size):
    ymin, xmin, ymax, xmax = box
    head = "filename,width,height,class,xmin,ymin,xmax,ymax"
    row = f"a.jpg,{size[1]},{size[0]},cup,{xmin},{ymin},{xmax},{ymax}"
    return {"a.jpg": None, "train.csv": f"{head}\n{row}\n"}


def yolo(box, size):
    (ymin, xmin, ymax, xmax), (height, width) = box, size
    center = (xmin + xmax) / 2 / width, (ymin + ymax) / 2 / height
    parts = *center, (xmax - xmin) / width, (ymax - ymin) / height
    line = " ".join(map(str, (0, *parts)))
    return {"images/a.jpg": None, "labels/a.txt": line, "classes.txt": "cup\n"}


def via(box, size):
    ymin, xmin, ymax, xmax = box
    shape = {"name": "rect", "x": xmin, "y": ymin, "width": xmax - xmin, "height": ymax - ymin}
    region = {"shape_attributes": shape, "region_attributes": {"name": "cup"}}
    entry = {"filename": "a.jpg", "size": 9, "regions": [region], "file_attributes": {}}
    return {"a.jpg": None, "via_export_json.json": json.dumps({"a.jpg9": entry})}


STATING = {"voc": voc, "labelme": labelme, "coco": coco, "csv": csv}
FORMATS = {**STATING, "yolo": yolo, "via": via}


def one(tmp_path, name, content, picture, **params):
    """The sample, and what was warned of."""
    build.written(tmp_path, {n: picture if data is None else data for n, data in content.items()})
    _, found, listing = example_gen.listed(tmp_path, Params(**params))
    assert found == name
    (reference,) = listing.references
    warned = collections.Counter()
    sample = source(name).read(
        reference, listing.labels, warn=lambda reason, _: warned.update([reason])
    )
    return sample, dict(warned)


BOX = (26, 30, 36, 50)


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("shape", [(40, 60), (50, 50)], ids=["oblong", "square"])
@pytest.mark.parametrize("name", FORMATS)
def test_labelled_upright(tmp_path, name, shape, orientation):
    """The tools of all of these show pictures upright; the size tells only of some turns."""
    content = FORMATS[name](BOX, shape)
    sample, warned = one(tmp_path, name, content, photograph(*shape, BOX, orientation))
    assert (sample.height, sample.width) == shape
    np.testing.assert_allclose(sample.boxes, [red(sample.image)], atol=1e-4)
    told = name in STATING and orientation > 4 and shape == (40, 60)
    assert warned == ({} if told else {"frame_upright": 1})


@pytest.mark.parametrize("orientation", range(2, 9))
@pytest.mark.parametrize("name", STATING)
def test_stored_where_the_size_or_the_recipe_says_so(tmp_path, name, orientation):
    picture = photograph(40, 60, BOX, orientation)
    stored = PIL.Image.open(io.BytesIO(picture))
    plain = io.BytesIO()
    PIL.Image.fromarray(np.asarray(stored)).save(plain, "PNG")
    content = STATING[name](red(plain.getvalue()), stored.size[::-1])
    sample, warned = one(tmp_path, name, content, picture, exif="stored")
    np.testing.assert_allclose(sample.boxes, [red(sample.image)], atol=1e-4)
    assert warned == ({} if orientation > 4 else {"frame_stored": 1})


def test_the_challenge_itself_was_labelled_as_stored(tmp_path):
    content = voc((4, 10, 14, 30), (40, 60))  # where a turn by 180 degrees puts BOX
    xml = content["Annotations/a.xml"]
    source_tag = "<source><database>The VOC2007 Database</database></source><size>"
    content["Annotations/a.xml"] = xml.replace("<size>", source_tag)
    sample, warned = one(tmp_path, "voc", content, photograph(40, 60, BOX, 3))
    np.testing.assert_allclose(sample.boxes, [BOX])
    assert warned == {"frame_stored": 1}


@pytest.mark.parametrize("factor", [2, 0.5, 3])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("name", STATING)
def test_labelled_in_another_size(tmp_path, name, factor, orientation):
    """Pictures made smaller (or larger) after labelling: both sides alike, so boxes scale."""
    box = tuple(int(edge * factor) for edge in BOX)
    content = STATING[name](box, (int(40 * factor), int(60 * factor)))
    sample, warned = one(tmp_path, name, content, photograph(40, 60, BOX, orientation))
    np.testing.assert_allclose(sample.boxes, [BOX], atol=1e-4)
    assert warned == {"scaled_boxes": 1}


@pytest.mark.parametrize("size", [(80, 80), (60, 40), (40, 70), (4000, 60)])
@pytest.mark.parametrize("name", STATING)
def test_labelled_in_another_shape(tmp_path, name, size):
    with pytest.raises(BadSample, match=r"size_mismatch.*the picture has 60x40"):
        one(tmp_path, name, STATING[name]((1, 1, 9, 9), size), photograph(40, 60, BOX))


@pytest.mark.parametrize("size", [(41, 60), (39, 61), (0, 0), (-1, -1)])
def test_a_size_that_is_rounded_or_not_said(tmp_path, size):
    sample, warned = one(tmp_path, "voc", voc(BOX, size), photograph(40, 60, BOX))
    np.testing.assert_array_equal(sample.boxes, [BOX])
    assert warned == {}


def test_masks_keypoints_and_areas_scale_too(tmp_path):
    """A triangle of half of 40x20 = 400 pixels at twice the size: 100 in the picture."""
    content = coco((52, 60, 72, 100), (80, 120))
    path = "annotations/instances_train.json"
    whole = json.loads(content[path])
    row = whole["annotations"][0]
    row["segmentation"] = [[60, 52, 100, 52, 60, 72]]
    row |= {"area": 400, "keypoints": [60, 52, 2, 100, 72, 1]}
    whole["categories"][0]["keypoints"] = ["a", "b"]
    content[path] = json.dumps(whole)
    sample, _ = one(tmp_path, "coco", content, photograph(40, 60, BOX))
    np.testing.assert_array_equal(sample.keypoints, [[[26, 30, 2], [36, 50, 1]]])
    assert sample.areas.tolist() == [100]
    mask = np.asarray(PIL.Image.open(io.BytesIO(sample.masks[0]))) > 0
    assert mask.shape == (40, 60)
    assert mask[26, 30:48].all()
    assert not mask[:26].any()
    assert not mask[:, 50:].any()
    assert abs(int(mask.sum()) - 100) <= 12  # of a border of 10 + 20 + 22 pixels


def test_frames_are_told_and_counted(tmp_path):
    content = {}
    for base, size in (("a", (40, 60)), ("b", (40, 60)), ("c", (80, 120))):
        content |= voc((26, 30, 36, 50), size, base)
    root = build.written(
        tmp_path / "set",
        {
            name: photograph(40, 60, BOX, 3) + bytes([number]) if data is None else data
            for number, (name, data) in enumerate(content.items())
        },
    )
    params = Params(splits=(), beam=("--direct_num_workers=1",))
    example_gen.run({"source": root}, params, tmp_path / "out")
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    told = {row["why"].split(":")[0]: row["count"] for row in manifest["ambiguous"]}
    assert told == {
        "labelled in the picture as EXIF turns it": 3,
        "annotated in another size of equal sides": 1,
    }


def test_stated_sizes_that_would_not_fit_into_memory_are_refused():
    picture = images.Picture(b"", "png", 40, 60)
    with pytest.raises(BadSample, match="size_mismatch"):
        frame_of(picture, (40_000_000, 60_000_000), "upright", "a.json")

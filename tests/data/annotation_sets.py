"""Small sets of annotation tools' formats, by their public documentation: {name: bytes}.

Each has a picture of 12x10 pixels with a cup in the box [2, 3, 7, 9] (ymin, xmin, ymax, xmax).
"""

from __future__ import annotations

import base64
import io
import json
import zlib

import numpy as np
import PIL.Image

from tests.data import build

BOX = [2, 3, 7, 9]


def picture(seed=0):
    return build.picture(10, 12, seed=seed)


def dumped(value):
    return json.dumps(value).encode()


def huggingface():
    rows = [
        {"file_name": "1.jpg", "objects": {"bbox": [[3, 2, 6, 5]], "categories": ["cup"]}},
        {"file_name": "sub/2.jpg", "objects": {"bbox": [], "categories": []}},
    ]
    return {
        "train/metadata.jsonl": b"\n".join(map(dumped, rows)) + b"\n",
        "train/1.jpg": picture(1),
        "train/sub/2.jpg": picture(2),
    }


def via3():
    project = {
        "project": {"pid": "__VIA_PROJECT_ID__", "vid_list": ["1", "2"]},
        "config": {},
        "attribute": {
            "1": {"aname": "kind", "anchor_id": "FILE1_Z0_XY1", "type": 4,
                  "options": {"a": "cup", "b": "jug"}, "default_option_id": ""},
        },
        "file": {
            "1": {"fid": "1", "fname": "1.jpg", "type": 2, "loc": 1, "src": ""},
            "2": {"fid": "2", "fname": "2.jpg", "type": 2, "loc": 1, "src": ""},
        },
        "metadata": {
            "1_x": {"vid": "1", "flg": 0, "z": [], "xy": [2, 3, 2, 6, 5], "av": {"1": "a"}},
            "2_x": {"vid": "2", "flg": 0, "z": [], "xy": [7, 1, 1, 9, 1, 9, 8], "av": {"1": "b"}},
            "2_y": {"vid": "2", "flg": 0, "z": [], "xy": [1, 5, 5], "av": {"1": "b"}},
        },
        "view": {"1": {"fid_list": ["1"]}, "2": {"fid_list": ["2"]}},
    }  # fmt: skip
    return {"via_project.json": dumped(project), "1.jpg": picture(1), "2.jpg": picture(2)}


def cvat():
    xml = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><labels>
    <label><name>jug</name><type>any</type></label><label><name>cup</name></label>
  </labels></job></meta>
  <image id="0" name="1.jpg" width="12" height="10">
    <box label="cup" source="manual" occluded="0" xtl="3.00" ytl="2.00" xbr="9.00" ybr="7.00"
      z_order="0"><attribute name="colour">red</attribute></box>
    <points label="cup" points="1.0,2.0" z_order="0"></points>
  </image>
  <image id="1" name="2.jpg" subset="Validation" width="12" height="10">
    <mask label="jug" rle="1, 5, 1, 2" left="4" top="2" width="3" height="3" z_order="0"></mask>
    <polygon label="cup" points="1.0,1.0;9.0,1.0;9.0,8.0" z_order="0"></polygon>
    <ellipse label="cup" cx="6" cy="5" rx="3" ry="2"></ellipse>
    <box label="cup" xtl="4" ytl="4" xbr="8" ybr="6" rotation="90"></box>
    <tag label="jug"></tag>
  </image>
</annotations>"""
    return {"annotations.xml": xml.encode(), "images/1.jpg": picture(1), "images/2.jpg": picture(2)}


def datumaro():
    def item(key, *annotations):
        image = {"path": f"{key}.jpg", "size": [10, 12]}
        return {"id": key, "annotations": list(annotations), "image": image}

    labels = [{"name": "jug", "parent": "", "attributes": []}, {"name": "cup", "parent": ""}]
    box = {"id": 0, "type": "bbox", "attributes": {"occluded": False}, "group": 0, "label_id": 1,
           "z_order": 0, "bbox": [3.0, 2.0, 6.0, 5.0]}  # fmt: skip
    outline = {"type": "polygon", "label_id": 0, "points": [1, 1, 9, 1, 9, 8]}
    runs = {"type": "mask", "label_id": 1, "rle": {"counts": [34, 3, 83], "size": [10, 12]}}
    point = {"type": "points", "label_id": 1, "points": [1, 1, 2]}
    whole = {
        "info": {},
        "categories": {"label": {"labels": labels, "attributes": []}},
        "items": [item("1", box), item("2", outline, runs, point)],
    }
    return {
        "annotations/train.json": dumped(whole),
        "images/train/1.jpg": picture(1),
        "images/train/2.jpg": picture(2),
    }


def createml():
    def row(label, *numbers):
        sides = dict(zip(("x", "y", "width", "height"), numbers, strict=True))
        return {"label": label, "coordinates": sides}

    rows = [
        {"image": "1.jpg", "annotations": [row("cup", 6, 4.5, 6, 5)]},
        {"image": "2.jpg", "annotations": [row("jug", 5, 5, 8, 8)]},
    ]
    pictures = {f"train/{i}.jpg": picture(i) for i in (1, 2)}
    return {"train/_annotations.createml.json": dumped(rows), **pictures}


def kitti():
    rest = "1.65 1.67 3.64 -0.65 1.71 46.70 -1.59\n"
    return {
        "training/image_2/000000.png": build.picture(10, 12, seed=1, kind="PNG"),
        "training/label_2/000000.txt": (
            f"cup 0.40 0 -1.58 3.00 2.00 9.00 7.00 {rest}"
            "DontCare -1 -1 -10 4.0 5.0 6.0 9.0 -1 -1 -1 -1000 -1000 -1000 -10\n"
        ).encode(),
        "training/image_2/000001.png": build.picture(10, 12, seed=2, kind="PNG"),
        "training/label_2/000001.txt": f"jug 0.00 0 1.5 1 1 5.5 4.5 {rest}".encode(),
    }


def bitmap(mask):
    """Supervisely's: a PNG with alpha, packed by zlib, as base64."""
    buffer = io.BytesIO()
    pixels = np.repeat((mask * np.uint8(255))[..., None], 4, axis=-1)
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def supervisely():
    def page(*objects, tags=()):
        return {"description": "", "tags": [{"name": t} for t in tags], "objects": list(objects),
                "size": {"height": 10, "width": 12}}  # fmt: skip

    def thing(kind, title, exterior, interior=()):
        points = {"exterior": exterior, "interior": list(interior)}
        return {"id": 1, "geometryType": kind, "classTitle": title, "points": points}

    cup = thing("rectangle", "cup", [[3, 2], [8, 6]])
    ring = thing(
        "polygon", "jug", [[1, 1], [9, 1], [9, 8], [1, 8]], [[[3, 3], [6, 3], [6, 6], [3, 6]]]
    )
    data = bitmap(np.array([[0, 1, 0], [1, 1, 1]], np.uint8))
    drawn = {"geometryType": "bitmap", "classTitle": "cup",
             "bitmap": {"origin": [4, 2], "data": data}}  # fmt: skip
    meta = {"classes": [{"title": "jug", "shape": "polygon"}, {"title": "cup"}], "tags": []}
    return {
        "meta.json": dumped(meta),
        "ds0/img/1.jpg": picture(1),
        "ds0/ann/1.jpg.json": dumped(page(cup, tags=["old"])),
        "val/img/2.jpg": picture(2),
        "val/ann/2.jpg.json": dumped(page(ring, drawn, thing("point", "cup", [[1, 1]]))),
    }


def wider_face():
    return {
        "wider_face_split/wider_face_train_bbx_gt.txt": (
            b"0--Parade/1.jpg\n2\n3 2 6 5 0 0 0 0 0 0 \n0 0 2 2 2 0 0 1 2 0 \n"
            b"1--Handshaking/2.jpg\n0\n0 0 0 0 0 0 0 0 0 0 \n"
        ),
        "WIDER_train/images/0--Parade/1.jpg": picture(1),
        "WIDER_train/images/1--Handshaking/2.jpg": picture(2),
    }


def oidv4():
    return {
        "Dataset/train/Cup/1.jpg": picture(1),
        "Dataset/train/Cup/Label/1.txt": b"cup 3.0 2.0 9.0 7.0\n",
        "Dataset/validation/Polar bear/2.jpg": picture(2),
        "Dataset/validation/Polar bear/Label/2.txt": b"Polar bear 0 1.5 4 6\n",
    }


def label_studio():
    def result(kind, value):
        return {"type": kind, "value": value, "original_width": 12, "original_height": 10,
                "from_name": "label", "to_name": "image"}  # fmt: skip

    cup = {"x": 25.0, "y": 20.0, "width": 50.0, "height": 50.0, "rotation": 0,
           "rectanglelabels": ["cup"]}  # fmt: skip
    jug = {"points": [[0, 0], [50, 0], [50, 80]], "polygonlabels": ["jug"]}
    tasks = [
        {"id": 1, "data": {"image": "/data/upload/1/0a1b2c3d-my%20cup.jpg"}, "predictions": [],
         "annotations": [{"id": 1, "was_cancelled": False,
                          "result": [result("rectanglelabels", cup)]}]},
        {"id": 2, "data": {"image": "/data/local-files/?d=shots/2.jpg"},
         "annotations": [{"id": 2, "was_cancelled": True, "result": []},
                         {"id": 3, "result": [result("polygonlabels", jug),
                                              result("keypointlabels", {"x": 1, "y": 1})]}]},
        {"id": 3, "data": {"image": "/data/upload/1/0a1b2c3d-3.jpg"}, "annotations": []},
    ]  # fmt: skip
    return {
        "project-1.json": dumped(tasks),
        "my cup.jpg": picture(1),
        "shots/2.jpg": picture(2),
        "3.jpg": picture(3),
    }


SETS = {
    "huggingface": huggingface,
    "via3": via3,
    "cvat": cvat,
    "createml": createml,
    "datumaro": datumaro,
    "kitti": kitti,
    "supervisely": supervisely,
    "wider_face": wider_face,
    "oidv4": oidv4,
    "label_studio": label_studio,
}

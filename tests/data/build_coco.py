"""Small data sets in COCO's form, and their samples, for the tests of its reader."""

from __future__ import annotations

import collections
import io
import json
import pickle

import numpy as np
import PIL.Image

from convoy.data.sources import Options, coco
from tests.data import build

PEOPLE = {"id": 1, "name": "person", "keypoints": ["nose", "left_eye", "right_eye"]}
CATEGORIES = [{"id": 90, "name": "brush"}, {"id": 3, "name": "car"}, PEOPLE]


def row(index, image, category=1, bbox=(10, 5, 20, 30), **more):
    told = {"id": index, "image_id": image, "category_id": category, "bbox": list(bbox)}
    return {"iscrowd": 0, "area": 100.0, **told, **more}


def write(path, images=(), annotations=(), categories=CATEGORIES, **more):
    """A JSON file; `images` are file names, with ids from 1 and of 40 x 60 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    listed = [
        {"id": i, "file_name": name, "height": 40, "width": 60} if isinstance(name, str) else name
        for i, name in enumerate(images, 1)
    ]
    told = {"info": {}, "images": listed, "annotations": list(annotations), **more}
    path.write_text(json.dumps({**told, "categories": list(categories)}))
    return path


def pictures(folder, *names, **options):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(build.picture(seed=len(name), **options))


def samples(listing):
    """source_id -> sample, and what was warned of."""
    warned = collections.Counter()
    found = {
        r.source_id: coco.read(r, listing.labels, warn=lambda reason, _: warned.update([reason]))
        for r in pickle.loads(pickle.dumps(listing.references))
    }
    return found, dict(warned)


def one(root, *annotations, options=Options(), picture=None, size=(40, 60), **more):
    """The sample of a set with one picture, and what was warned of."""
    pictures(root, "a.jpg")
    if picture:
        (root / "a.jpg").write_bytes(picture)
    told = {"id": 1, "file_name": "a.jpg", "height": size[0], "width": size[1]}
    write(root / "train.json", [told], annotations, **more)
    found, warned = samples(coco.scan(root, options))
    return found["a.jpg"], warned


def ids(listing):
    return [(r.split, r.source_id) for r in listing.references]


def unpacked(png):
    return np.asarray(PIL.Image.open(io.BytesIO(png)))

"""CreateML's JSON of boxes, by hand."""

import json

from convoy.data.files import files
from convoy.data.sources import detect, source
from tests.data import build


def test_createml_is_read_by_its_name_and_by_its_form(tmp_path):
    place = {"x": 20, "y": 15, "width": 10, "height": 12}
    rows = [
        {"image": "0.jpg", "annotations": [{"label": "cat", "coordinates": place}]},
        {"image": "1.jpg", "annotations": []},
        {"image": "gone.jpg", "annotations": [{"label": "cat", "coordinates": place}]},
        {"annotations": []},
        {"image": "2.jpg", "annotations": [
            {"label": "dog", "coordinates": {**place, "width": "wide"}},
            {"label": "dog", "coordinates": {**place, "width": -10}}, "x",
        ]},
    ]  # fmt: skip
    content = {f"train/{i}.jpg": build.picture(seed=i) for i in range(3)}
    build.written(tmp_path, content | {"train/_annotations.createml.json": json.dumps(rows)})
    assert detect(files.tree(tmp_path)) == "createml"
    listing = source("createml").scan(tmp_path)
    assert listing.labels == ("cat", "dog")
    assert [row[:2] for row in listing.rejected] == [
        ("train/_annotations.createml.json#[3]", "corrupt_annotation")
    ]
    assert {r.split for r in listing.references} == {"train"}
    there = [r for r in listing.references if "gone" not in r.source_id]
    warned = []
    read = [
        source("createml").read(r, listing.labels, warn=lambda *told: warned.append(told[0]))
        for r in there
    ]
    assert [s.boxes.tolist() for s in read] == [[[9, 15, 21, 25]], [], []]
    assert warned == ["bad_box", "bad_box", "empty_box"]

"""Keypoints from COCO's files, made by code, to the served answer: of everybody, and of one."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import PIL.Image
import pytest

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.models.pose import skeleton
from convoy.pipeline import config, steps
from convoy.pipeline.tools import predict_pictures, preview
from convoy.serving import client, server
from tests.e2e import drawn
from tests.models.test_learning_pose import SIZE, box_of, scenes

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
PERSON = {"id": 1, "name": "person", "keypoints": list(skeleton.COCO), "skeleton": []}


def written(root: pathlib.Path) -> pathlib.Path:
    """A COCO set of stick people; one has no keypoint, one's ankle lies outside, one is a crowd."""
    (root / "annotations").mkdir(parents=True)
    for split, numbers in (("train", (1, 2, 3, 1)), ("val", (1, 2))):
        folder = root / f"{split}2017"
        folder.mkdir()
        pictures, people = scenes(numbers, first=10 * (split == "val"))
        images, rows = [], []
        for index, (pixels, own) in enumerate(zip(pictures, people, strict=True)):
            name = f"{index:012}.png"
            PIL.Image.fromarray(np.uint8(pixels)).save(folder / name)
            size = {"height": SIZE[0], "width": SIZE[1]}
            images.append({"id": index, "file_name": name, **size})
            for points in own:
                ymin, xmin, ymax, xmax = map(float, box_of(points))
                row = {"id": len(rows) + 1, "image_id": index, "category_id": 1, "iscrowd": 0}
                row |= {"bbox": [xmin, ymin, xmax - xmin, ymax - ymin]}
                row |= {"area": 0.5 * (xmax - xmin) * (ymax - ymin), "num_keypoints": 17}
                rows.append({**row, "keypoints": points[:, [1, 0, 2]].ravel().tolist()})
        if split == "train":
            rows[1] |= {"keypoints": [0] * 51, "num_keypoints": 0}
            rows[3]["keypoints"][-3:] = [-40, 20, 2]
            rows[4]["iscrowd"] = 1
        told = {"images": images, "annotations": rows, "categories": [PERSON]}
        file = root / "annotations" / f"person_keypoints_{split}2017.json"
        file.write_text(json.dumps(told))
    return root


@pytest.fixture(scope="module")
def top(tmp_path_factory) -> pathlib.Path:
    top = tmp_path_factory.mktemp("pose")
    written(top / "coco")
    return top


def job_of(top, recipe: str, name: str, **more) -> steps.Job:
    overrides = [
        f"run_dir={top}/{name}",
        f"data={{format: coco, path: {top}/coco, train: train, val: val, test: val}}",
        "train.epochs=2",
        "train.batch_size=2",
        "model.input_size=[64, 96]",
        "evaluate={gallery: 2}",
        "export.score_threshold=0.0",
        *(f"{key.replace('__', '.')}={value}" for key, value in more.items()),
    ]
    return steps.Job(config.load(recipe, overrides))


@pytest.fixture(scope="module", params=["pose", "keypoints"])
def job(request, top) -> steps.Job:
    more = {"model__width": 0.25}
    if request.param == "keypoints":  # whose scores are 1 before it has learnt
        more["model__name"] = "keypoint_regression"
    return job_of(top, f"configs/{request.param}.yaml", request.param, **more)


@pytest.fixture(scope="module")
def result(job) -> dict:
    return steps.run(job, "pusher")


def test_it_is_trained_measured_and_pushed(job, result):
    assert result["pushed"] is True
    assert {"AP", "AP50", "AR", "PCK", "people"} <= result["metrics"].keys()
    assert result["metrics"]["people"] == 3
    report = (pathlib.Path(result["run_dir"]) / "report.html").read_text()
    assert "hidden keypoints hollow" in report
    records = pathlib.Path(result["artifacts"]["example_gen"])
    manifest = json.loads((records / "manifest.json").read_text())
    assert manifest["warnings"] == {"outside_keypoints": 1}
    assert manifest["keypoint_pairs"][0] == [1, 2]
    assert (records / "keypoints.txt").read_text().split() == list(skeleton.COCO)
    assert client.labels_of(job.model_dir) == list(skeleton.COCO)


def test_every_way_of_asking_gives_the_same_people(job, result, tmp_path):
    shard = shards(pathlib.Path(result["artifacts"]["example_gen"]), "val")[0]
    pictures = [decode(record).image for record in tfrecord.read(shard)][:2]
    local = client.load_local(job.model_dir)(pictures)
    people = 1 if job.recipe.model.name == "keypoint_regression" else 30
    assert local["keypoints"].shape == (2, people, 17, 3)
    running = server.start(job.model_dir, name="pose", port=0, rest_api_port=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, "pose", pictures)
        connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        by_rest = client.predict_rest(connection, "pose", pictures)
        connection.close()
    finally:
        running.stop()
    for answers in (by_grpc, by_rest):
        for name in ("keypoints", "scores", "num_people"):
            np.testing.assert_allclose(answers[name], local[name], atol=1e-3)
    (tmp_path / "a.png").write_bytes(pictures[0])
    asked = [str(tmp_path / "a.png")]
    (row,) = predict_pictures.run(str(job.model_dir), asked, tmp_path / "out", 0.5, print)
    assert len(row["people"]) == local["num_people"][0]
    if people == 1:
        found = row["people"][0]["keypoints"]
        assert set(found) == set(skeleton.COCO)
        np.testing.assert_allclose(found["nose"], local["keypoints"][0, 0, 0], atol=1e-3)
    assert PIL.Image.open(row["picture"]).size == SIZE[::-1]


def test_what_is_learnt_is_drawn(job, result, tmp_path):
    records = pathlib.Path(result["artifacts"]["example_gen"])
    told = preview.run(job.recipe, records, tmp_path, batches=1)
    assert {name for sample in told["samples"] for name in sample["objects"]} == {"person"}
    page = np.asarray(PIL.Image.open(told["pictures"][0]))
    assert len(np.unique(page.reshape(-1, 3), axis=0)) > 500


def test_records_without_keypoints_are_refused_by_name(tmp_path, top):
    from convoy.data.sources import digits

    digits.build(tmp_path / "devkit", seed=3, images=(4, 2))
    path = f"data={{format: digits, path: {tmp_path}/devkit, train: train, val: null, test: val}}"
    recipe = config.load("configs/pose.yaml", [f"run_dir={tmp_path}/run", path])
    with pytest.raises(ValueError, match=r"keypoints\.txt: no such file.*have no keypoints"):
        steps.run(steps.Job(recipe), "trainer")


def test_the_worst_pictures_are_drawn(result, tmp_path):
    assert drawn.worst(result["run_dir"], tmp_path / "worst")["errors"]

"""A class for every pixel, from the digits devkit to the served label map."""

from __future__ import annotations

import io
import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.data.sources import digits
from convoy.models.segmentation.task import decoded_map
from convoy.pipeline import config, steps
from convoy.pipeline.tools import predict_pictures
from convoy.serving import client, server
from tests.e2e import drawn

pytestmark = pytest.mark.e2e
SIZE = (240, 320)


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    top = tmp_path_factory.mktemp("segmentation")
    digits.build(top / "devkit", seed=3, images=(24, 6))
    overrides = [
        f"run_dir={top}/run",
        f"data.path={top}/devkit",
        "data.val=val",
        "train.epochs=2",
        "train.class_weights=median",
        "train.dice=0.5",
        "model.input_size=[64, 80]",
        "model.width=0.25",
        "evaluate={gallery: 3}",
    ]
    return steps.Job(config.load("configs/segmentation.yaml", overrides))


@pytest.fixture(scope="module")
def result(job) -> dict:
    return steps.run(job, "pusher")


def test_it_is_trained_measured_and_pushed(result):
    assert result["pushed"] is True
    assert {"mIoU", "pixel_accuracy", "fwIoU", "boundary_F1"} <= result["metrics"].keys()
    run = pathlib.Path(result["run_dir"])
    (path,) = (run / "artifacts/evaluator").glob("*/metrics.json")
    assert np.sum(json.loads(path.read_text())["confusion"]) == 6 * SIZE[0] * SIZE[1]
    rows = (run / "artifacts/trainer").glob("*/metrics.jsonl")
    (row, *_) = [json.loads(line) for path in rows for line in path.read_text().splitlines()]
    assert {"cls", "dice", "loss"} <= row.keys()
    assert "<h2>Gallery</h2>" in (run / "report.html").read_text()
    assert "Pixels of each class" in (run / "validation.html").read_text()


def test_every_way_of_asking_gives_the_same_map(job, result, tmp_path):
    records = result["artifacts"]["example_gen"]
    shard = shards(pathlib.Path(records), "val")[0]
    samples = [decode(record) for record in tfrecord.read(shard)][:2]
    pictures = [sample.image for sample in samples]
    narrow = io.BytesIO()  # of another size than the rest of the batch
    Image.open(io.BytesIO(pictures[0])).crop((0, 0, 100, 240)).save(narrow, "PNG")
    pictures.append(narrow.getvalue())
    local = client.load_local(job.model_dir)(pictures)
    running = server.start(job.model_dir, name="segmentation", port=0, rest_api_port=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, "segmentation", pictures)
        connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        by_rest = client.predict_rest(connection, "segmentation", pictures)
        connection.close()
    finally:
        running.stop()
    assert set(local) == {"label_map_bytes", "class_fractions"}
    for answers in (by_grpc, by_rest):
        assert list(answers["label_map_bytes"]) == list(local["label_map_bytes"])
        np.testing.assert_allclose(answers["class_fractions"], local["class_fractions"], atol=1e-6)
    maps = [decoded_map(data) for data in local["label_map_bytes"]]
    assert [found.shape for found in maps] == [SIZE, SIZE, (240, 100)]
    shares = np.bincount(maps[0].ravel(), minlength=11) / maps[0].size
    np.testing.assert_allclose(local["class_fractions"][0], shares, atol=1e-6)

    (tmp_path / "a.png").write_bytes(pictures[2])
    said: list[str] = []
    asked = [str(tmp_path / "a.png"), str(tmp_path / "none.png")]
    rows = predict_pictures.run(str(job.model_dir), asked, tmp_path / "out", None, said.append)
    np.testing.assert_array_equal(Image.open(rows[0]["label_maps"]), maps[2])
    assert Image.open(rows[0]["picture"]).size == (100, 240)
    assert sum(rows[0]["classes"].values()) == pytest.approx(1.0)
    assert "none.png" in rows[1]["error"]
    assert len(said) == 2


def test_a_tile_without_neighbours_is_the_picture_itself(job, result, tmp_path):
    """A tile as large as the picture, without overlap, is asked about as the picture is."""
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)).save(
        tmp_path / "a.png"
    )
    (whole,) = predict_pictures.answers(str(job.model_dir), [tmp_path / "a.png"])
    (tiled,) = predict_pictures.answers(str(job.model_dir), [tmp_path / "a.png"], (SIZE, 0))
    expected = decoded_map(whole["label_map_bytes"])
    np.testing.assert_array_equal(decoded_map(tiled["label_map_bytes"]), expected)
    np.testing.assert_allclose(tiled["class_fractions"], whole["class_fractions"], atol=1e-6)
    (cut,) = predict_pictures.answers(str(job.model_dir), [tmp_path / "a.png"], (96, 32))
    assert decoded_map(cut["label_map_bytes"]).shape == SIZE


def test_the_worst_pictures_are_drawn(result, tmp_path):
    assert drawn.worst(result["run_dir"], tmp_path / "worst")["errors"]

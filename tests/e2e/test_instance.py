"""Masks of objects, from the digits devkit to the served answer."""

from __future__ import annotations

import base64
import pathlib

import numpy as np
import pytest

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.data.sources import digits
from convoy.pipeline import config, steps
from convoy.pipeline.tools import predict_pictures
from convoy.serving import client, server
from tests.e2e import drawn

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    top = tmp_path_factory.mktemp("instance")
    digits.build(top / "devkit", seed=3, images=(24, 6))
    overrides = [
        f"run_dir={top}/run",
        f"data.path={top}/devkit",
        "data.val=val",
        "train.epochs=1",
        "model.input_size=[96, 128]",
        "model.width=0.25",
        "evaluate={gallery: 3, threshold: 0.0}",
    ]
    return steps.Job(config.load("configs/instance.yaml", overrides))


@pytest.fixture(scope="module")
def result(job) -> dict:
    return steps.run(job, "pusher")


def test_it_is_trained_measured_and_pushed(result):
    assert result["pushed"] is True
    assert {"mask_AP", "mask_AP50", "APr50", "APr70", "AP50"} <= result["metrics"].keys()
    assert "True masks on the left" in (pathlib.Path(result["run_dir"]) / "report.html").read_text()


def test_every_way_of_asking_gives_the_same_masks(job, result, tmp_path):
    shard = shards(pathlib.Path(result["artifacts"]["example_gen"]), "val")[0]
    pictures = [decode(record).image for record in tfrecord.read(shard)][:2]
    local = client.load_local(job.model_dir)(pictures)
    assert local["masks"].shape[0] == 2
    assert local["masks"].shape[2:] == (28, 28)
    running = server.start(job.model_dir, name="instance", port=0, rest_api_port=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, "instance", pictures)
        connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        by_rest = client.predict_rest(connection, "instance", pictures)
        connection.close()
    finally:
        running.stop()
    for answers in (by_grpc, by_rest):
        for name in ("boxes", "scores", "masks"):
            np.testing.assert_allclose(answers[name], local[name], atol=1e-3)
    (tmp_path / "a.jpg").write_bytes(pictures[0])
    asked = [str(tmp_path / "a.jpg")]
    (row,) = predict_pictures.run(str(job.model_dir), asked, tmp_path / "out", 0.5, print)
    assert len(row["detections"]) == local["num_detections"][0] > 0
    first = np.frombuffer(base64.b64decode(row["detections"][0]["mask_28x28"]), np.uint8)
    np.testing.assert_allclose(first.reshape(28, 28) / 255, local["masks"][0, 0], atol=3e-3)


def test_the_worst_pictures_are_drawn(result, tmp_path):
    assert drawn.worst(result["run_dir"], tmp_path / "worst")["errors"]

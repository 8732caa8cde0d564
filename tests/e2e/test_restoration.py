"""Pictures restored: pairs of small and large ones, and films, to what a server answers."""

from __future__ import annotations

import io
import pathlib

import numpy as np
import pytest
from PIL import Image

from convoy.data import tfrecord
from convoy.data.example import decode
from convoy.data.input.input import shards
from convoy.models.restoration.task import decoded_picture
from convoy.pipeline import config, steps
from convoy.pipeline.tools import predict_pictures
from convoy.serving import client, server
from convoy.serving.questions import Question

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def scene(seed: int, height: int, width: int) -> np.ndarray:
    """Rectangles of many colours."""
    draw = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), draw.integers(60, 200, 3), np.uint8)
    for _ in range(25):
        y, x = draw.integers(0, [height - 4, width - 4])
        tall, wide = draw.integers(3, 20, 2)
        pixels[y : y + tall, x : x + wide] = draw.integers(0, 256, 3)
    return pixels


def run(recipe: str, top: pathlib.Path, *overrides: str):
    job = steps.Job(
        config.load(recipe, [f"run_dir={top}/run", f"data.path={top}/data", *overrides])
    )
    return job, steps.run(job, "pusher")


def stored(result, split: str):
    records = pathlib.Path(result["artifacts"]["example_gen"])
    (shard,) = shards(records, split)
    samples = [decode(record) for record in tfrecord.read(shard)]
    return sorted(samples, key=lambda sample: sample.source_id)


def asked_three_ways(job, name: str, questions) -> list[list[np.ndarray]]:
    """Pictures of each answer: in this process, over gRPC and over REST."""
    local = client.load_local(job.model_dir)(questions)
    running = server.start(job.model_dir, name=name, port=0, rest_api_port=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, name, questions)
        connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        by_rest = client.predict_rest(connection, name, questions)
        connection.close()
    finally:
        running.stop()
    found = [answers["image_bytes"] for answers in (local, by_grpc, by_rest)]
    return [[decoded_picture(data) for data in each] for each in found]


def test_super_resolution(tmp_path):
    for split, seeds in (("train", range(4)), ("test", range(4, 6))):
        (tmp_path / "data" / split).mkdir(parents=True)
        for seed in seeds:
            pixels = scene(seed, 50 + 3 * seed, 61)
            Image.fromarray(pixels).save(tmp_path / "data" / split / f"p{seed}.png")
    overrides = (
        "data.scale=2",
        "model.input_size=[20, 20]",
        "train.epochs=6",
        "train.batch_size=2",
        "evaluate={metric: PSNR, gallery: 2}",
    )
    job, result = run("configs/super_resolution.yaml", tmp_path, *overrides)
    assert result["pushed"] is True
    assert {"PSNR", "SSIM", "PSNR_before", "SSIM_before"} <= result["metrics"].keys()
    assert result["metrics"]["PSNR_before"] > result["metrics"]["PSNR"]  # after twelve steps
    samples = stored(result, "test")
    three = asked_three_ways(job, "super_resolution", [sample.image for sample in samples])
    for sample, *answers in zip(samples, *three, strict=True):
        assert answers[0].shape == (2 * sample.height, 2 * sample.width, 3)
        for other in answers[1:]:
            np.testing.assert_array_equal(other, answers[0])
    (tmp_path / "a.png").write_bytes(samples[0].image)
    (row,) = predict_pictures.run(
        str(job.model_dir), [str(tmp_path / "a.png")], tmp_path / "out", None, lambda line: None
    )
    np.testing.assert_array_equal(Image.open(row["restored"]), three[0][0])
    assert (row["height"], row["width"]) == three[0][0].shape[:2]


def test_deblurring_of_a_film(tmp_path):
    """Frames of a scene that moves, blurred along its way; each record holds those beside it."""
    for split, seed, count in (("train", 0, 6), ("val", 1, 3)):
        wide = scene(seed, 40, 120).astype(np.float32)
        for half in ("blur", "sharp"):
            (tmp_path / "data" / split / half).mkdir(parents=True)
        for k in range(count):
            seen = [wide[:, 6 * k + step : 6 * k + step + 48] for step in range(5)]
            for half, pixels in (("sharp", seen[2]), ("blur", np.mean(seen, axis=0))):
                path = tmp_path / "data" / split / half / f"{k}.png"
                Image.fromarray(np.uint8(pixels)).save(path)
    overrides = (
        "data.frames=5",
        "data.align=homography",
        "model.input_size=[32, 40]",
        "model.width=0.0625",
        "train.epochs=4",
        "train.batch_size=2",
        "evaluate={metric: PSNR, gallery: 2}",
    )
    job, result = run("configs/deblurring.yaml", tmp_path, *overrides)
    assert result["pushed"] is True
    samples = stored(result, "val")
    assert [bool(frame) for frame in samples[0].frames] == [False, False, True, True]
    questions = [Question(sample.image, {"frames": sample.frames}) for sample in samples]
    three = asked_three_ways(job, "deblurring", questions)
    for answers in zip(*three, strict=True):
        assert answers[0].shape == (40, 48, 3)
        for other in answers[1:]:
            np.testing.assert_array_equal(other, answers[0])
    paths = [str(tmp_path / "data/val/blur" / f"{k}.png") for k in range(3)]
    rows = predict_pictures.run(str(job.model_dir), paths, tmp_path / "o", None, lambda line: None)
    # The middle one has the same neighbours as in the records; an end has its own repeated.
    for row, expected in zip(rows, three[0], strict=True):
        found = np.asarray(Image.open(row["restored"]), np.int16)
        assert np.abs(found - expected).max() <= 1
    asked = [Question(samples[1].image, {"frames": ()})]  # the picture stands for all four
    alone = asked_three_ways(job, "deblurring", asked)[0][0]
    assert np.abs(np.int16(alone) - three[0][1]).max() > 0
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((40, 47, 3), np.uint8)).save(buffer, "PNG")
    other = Question(samples[0].image, {"frames": [buffer.getvalue()] * 4})
    with pytest.raises(Exception, match="frames of the size of their picture"):
        client.load_local(job.model_dir)([other])

"""`make demo`: the whole way on the embedded data set, ending with requests to the served model."""

from __future__ import annotations

import sys
import time

import numpy as np

from convoy.pipeline import config, errors, steps
from convoy.pipeline.commands.verb import quiet_tensorflow, set_up_logs

RECIPE = "configs/demo.yaml"
SCORE = 0.5  # of the boxes that are drawn


def main() -> int:
    """Runs configs/demo.yaml, serves what it pushed, asks it, and draws the answer."""
    quiet_tensorflow()
    set_up_logs(-1)
    started = time.monotonic()
    job = steps.Job(config.load(RECIPE), tell=lambda text: print(text, file=sys.stderr, flush=True))
    try:
        result = steps.run(job, "pusher")
    except errors.Refused as refusal:
        print(f"convoy: refused: {refusal}", file=sys.stderr)
        return errors.REFUSED
    picture = _ask(job)
    for name in ("AP", "AP50", "voc07_mAP", "voc_mAP"):
        print(f"{name:<10} {result['metrics'][name]:.4f}")
    print(f"minutes    {(time.monotonic() - started) / 60:.1f}")
    print(f"model      {result['pushed_path']}")
    print(f"picture    {picture}")
    print(f"report     {job.run_dir / 'report.html'}")
    return errors.OK


def _ask(job: steps.Job):
    """One gRPC and one REST request for the same picture; returns the drawn picture's path."""
    from convoy.pipeline.report.overlay import draw
    from convoy.serving import client, server

    image = [_fullest(job)]
    running = server.start(job.model_dir, name=job.recipe.name, port=0, rest_api_port=0)
    try:
        with client.grpc_channel(f"127.0.0.1:{running.grpc_port}") as channel:
            by_grpc = client.predict_grpc(channel, job.recipe.name, image)
        connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
        by_rest = client.predict_rest(connection, job.recipe.name, image)
        connection.close()
    finally:
        running.stop()
    if not np.allclose(by_grpc["boxes"], by_rest["boxes"], atol=0.01):
        raise RuntimeError("gRPC and REST answered different boxes for one picture")
    shown = np.flatnonzero(by_grpc["scores"][0] >= SCORE)
    names = [name.decode() for name in by_grpc["class_names"][0][shown]]
    for name, score, box in zip(names, by_rest["scores"][0], by_rest["boxes"][0], strict=False):
        print(f"found      {name} {score:.2f} at {np.round(box).astype(int).tolist()}")
    labels = sorted(set(names))
    path = job.run_dir / "picture.png"
    draw(
        image[0],
        by_grpc["boxes"][0][shown],
        np.array([labels.index(name) for name in names], int),
        by_grpc["scores"][0][shown],
        labels,
    ).save(path)
    return path


def _fullest(job: steps.Job) -> bytes:
    """The picture with the most objects in the first shard of the test split."""
    from convoy.data import example, tfrecord
    from convoy.data.input.input import shards

    shard = shards(job.done["example_gen"].path, job.recipe.data.test)[0]
    samples = [example.decode(record) for record in tfrecord.read(shard)]
    return max(samples, key=lambda sample: len(sample.boxes)).image


if __name__ == "__main__":
    sys.exit(main())

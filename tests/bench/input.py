"""Images a second of the input pipeline, against JPEG decoding alone.

    python -m tests.bench.input [--images 500] [--repeats 5] [--seconds 3]

Prints one JSON line. The pictures are generated: 640x480 JPEGs, crops of scikit-learn's two sample
photographs, each with five boxes. Decoding alone is TFRecords -> parse -> decode_jpeg on all cores.
The streams are what the trainer reads: shuffled, augmented, encoded, batched. Variants alternate;
the numbers are medians over the rounds.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import PIL.Image
import tensorflow as tf
from sklearn.datasets import load_sample_images

import models
from data import example, tfrecord
from data.augment.policy import Augment
from data.input import Stream, shards, training_batches
from data.sample import Sample
from models.spec import Preprocess

GEOMETRY = {"flip_horizontal": 0.5, "zoom": (0.8, 1.25), "shift": 0.1}
COLOR = {"brightness": 0.1, "contrast": 0.2, "saturation": 0.3, "hue": 0.1}
BATCH = 32


def generate(folder: pathlib.Path, count: int, number_of_shards: int = 8) -> int:
    """Records of `count` pictures in `folder`; returns the mean bytes of a picture."""
    photos = [PIL.Image.fromarray(photo) for photo in load_sample_images().images]
    rng = np.random.default_rng(0)
    shards_of: list[list[bytes]] = [[] for _ in range(number_of_shards)]
    total = 0
    for index in range(count):
        picture = _jpeg(photos[index % 2], rng)
        total += len(picture)
        corner = rng.uniform(0, 300, (5, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(30, 180, (5, 2))], 1)
        flags = np.zeros(5, bool)
        sample = Sample(
            f"p{index}",
            "train",
            picture,
            480,
            640,
            labels=np.array([index % 10]),
            boxes=boxes.astype(np.float32),
            classes=rng.integers(0, 10, 5),
            difficult=flags,
            truncated=flags,
            crowd=flags,
        )
        shards_of[index % number_of_shards].append(example.encode(sample, list("abcdefghij")))
    for index, records in enumerate(shards_of):
        name = f"train-{index:05d}-of-{number_of_shards:05d}.tfrecord"
        with open(folder / name, "wb") as file:
            for record in records:
                tfrecord.write(file, record)
    manifest = {"splits": {"train": {"records": count}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return total // count


def _jpeg(photo: PIL.Image.Image, rng: np.random.Generator) -> bytes:
    width = int(rng.integers(400, photo.width + 1))
    height = min(width * 3 // 4, photo.height)
    left = int(rng.integers(photo.width - width + 1))
    top = int(rng.integers(photo.height - height + 1))
    crop = photo.crop((left, top, left + width, top + height))
    buffer = io.BytesIO()
    crop.resize((640, 480), PIL.Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def decoding(folder: pathlib.Path) -> tf.data.Dataset:
    """Endless decoded pictures; a sum keeps nothing of them but a number."""
    feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}

    def decode(record):
        encoded = tf.io.parse_single_example(record, feature)["image/encoded"]
        return tf.shape(tf.io.decode_jpeg(encoded, channels=3))

    records = tf.data.TFRecordDataset(shards(folder, "train")).repeat()
    return records.map(decode, num_parallel_calls=tf.data.AUTOTUNE).batch(BATCH).prefetch(2)


def streams(folder: pathlib.Path) -> dict[str, tf.data.Dataset]:
    """The variants by name."""
    common = {"records": folder, "split": "train", "batch_size": BATCH}
    classify = {
        "task": "classification",
        "preprocess": Preprocess(size=(224, 224), resize="crop", crop_pct=0.875),
        "encode": lambda labels: {"label": labels[0]},
    }
    task = models.build_task("ssd_mobilenet_v1", num_classes=10)
    detect = {
        "task": "detection",
        "preprocess": task.info.preprocess,
        "encode": task.encode,
        "augment": Augment(**GEOMETRY),
    }
    given = {
        "classify_224": Stream(**common, **classify, augment=Augment(**GEOMETRY)),
        "classify_224_color": Stream(**common, **classify, augment=Augment(**GEOMETRY, **COLOR)),
        "detect_300": Stream(**common, **detect),
    }
    return {"decode": decoding(folder), **{k: training_batches(v) for k, v in given.items()}}


def rate(iterator, seconds: float) -> tuple[float, float]:
    """Images a second over at least `seconds`, by the clock and by processor time."""
    started, used, batches = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() - started < seconds:
        next(iterator)
        batches += 1
    images = batches * BATCH
    return images / (time.perf_counter() - started), images / (time.process_time() - used)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        mean_bytes = generate(pathlib.Path(name), options.images)
        variants = streams(pathlib.Path(name))
        rates: dict[str, list[tuple[float, float]]] = {key: [] for key in variants}
        for _ in range(options.repeats):
            for key, dataset in variants.items():
                iterator = iter(dataset)  # a fresh one: the others' must not run on
                rate(iterator, options.seconds / 3)  # fills buffers, tunes the parallel calls
                rates[key].append(rate(iterator, options.seconds))
                del iterator
    line = {
        "images": options.images,
        "mean_kb": round(mean_bytes / 1000, 1),
        "cores": os.cpu_count(),
    }
    for position, kind in enumerate(("images_per_second", "images_per_cpu_second")):
        medians = {k: statistics.median(v[position] for v in rows) for k, rows in rates.items()}
        line[kind] = {key: round(value, 1) for key, value in medians.items()}
        line[f"{kind}_of_decoding"] = {
            key: round(value / medians["decode"], 3) for key, value in medians.items()
        }
    print(json.dumps(line))


if __name__ == "__main__":
    main()

"""Images a second of the input pipeline, against JPEG decoding alone.

    python -m tests.bench.input [--images 500] [--repeats 5] [--seconds 3] [--only rrc_224]

Prints one JSON line. The pictures are generated: 640x480 JPEGs, crops of scikit-learn's two sample
photographs, each with five boxes. Decoding alone is TFRecords -> parse -> decode_jpeg on all cores.
The streams are what the trainer reads: shuffled, augmented, encoded, batched. Beside them, without
shuffling: a plain tf.data script (decode_and_crop_jpeg, resize, flip, and tf.image's colours), and
keras-cv's layers in tf.data.map. Variants alternate; the numbers are medians over the rounds. On a
machine that is shared, compare images_per_cpu_second.
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

from convoy import models
from convoy.data import example, tfrecord
from convoy.data.augment.policy import POLICIES, Augment
from convoy.data.input.input import Stream, shards, training_batches
from convoy.data.sample import Sample
from convoy.models.spec import Preprocess

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
    """Endless decoded pictures; the shape keeps nothing of them but three numbers."""
    return records(folder, lambda encoded: tf.shape(tf.io.decode_jpeg(encoded, channels=3)))


def records(folder: pathlib.Path, prepare) -> tf.data.Dataset:
    """Endless batches of `prepare(encoded)`, read as plainly as tf.data can."""
    feature = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
    files = tf.data.TFRecordDataset(shards(folder, "train")).repeat()
    pictures = files.map(
        lambda record: prepare(tf.io.parse_single_example(record, feature)["image/encoded"]),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return pictures.batch(BATCH).prefetch(2)


def plain(encoded: tf.Tensor) -> tf.Tensor:
    """The usual script of Inception's crop."""
    begin, size, _ = tf.image.sample_distorted_bounding_box(
        tf.io.extract_jpeg_shape(encoded),
        tf.zeros([0, 0, 4]),
        area_range=(0.08, 1.0),
        aspect_ratio_range=(3 / 4, 4 / 3),
        max_attempts=10,
        use_image_if_no_bounding_boxes=True,
    )
    image = tf.image.decode_and_crop_jpeg(encoded, tf.concat([begin[:2], size[:2]], 0), 3)
    image = tf.image.resize(image, [224, 224])
    return tf.image.random_flip_left_right(image)


def plain_color(encoded: tf.Tensor) -> tf.Tensor:
    image = tf.image.random_brightness(plain(encoded) / 255.0, 32 / 255)
    image = tf.image.random_saturation(image, 0.5, 1.5)
    image = tf.image.random_hue(image, 0.2)
    image = tf.image.random_contrast(image, 0.5, 1.5)
    return tf.clip_by_value(image, 0.0, 1.0) * 255.0


def keras_cv_layers(color: bool):
    """encoded -> picture by keras-cv's layers."""
    from keras_cv import layers

    steps = [
        layers.RandomCropAndResize(
            (224, 224), crop_area_factor=(0.08, 1.0), aspect_ratio_factor=(3 / 4, 4 / 3)
        ),
        layers.RandomFlip("horizontal"),
    ]
    if color:
        steps.append(
            layers.RandomColorJitter(
                (0, 255),
                brightness_factor=32 / 255,
                contrast_factor=0.5,
                saturation_factor=(0.25, 0.75),
                hue_factor=0.2,
            )
        )

    def prepare(encoded: tf.Tensor) -> tf.Tensor:
        image = tf.cast(tf.io.decode_jpeg(encoded, 3), tf.float32)
        image.set_shape([480, 640, 3])
        for layer in steps:
            image = layer(image, training=True)
        return image

    return prepare


def streams(folder: pathlib.Path) -> dict[str, tf.data.Dataset]:
    """The variants by name."""
    common = {"records": folder, "split": "train", "batch_size": BATCH}
    classify = {
        **common,
        "fields": ("labels",),
        "preprocess": Preprocess(size=(224, 224), resize="crop", crop_pct=0.875),
        "encode": lambda annotation: {"label": annotation["labels"][0]},
    }
    task = models.build_task("ssd_mobilenet_v1", num_classes=10)
    detect = {
        **common,
        "fields": ("boxes",),
        "preprocess": task.info.preprocess,
        "encode": task.encode,
    }
    inception = POLICIES["inception"]
    crop = Augment(crop_area=inception.crop_area, flip_horizontal=0.5)
    given = {
        "classify_224": Stream(**classify, augment=Augment(**GEOMETRY)),
        "classify_224_color": Stream(**classify, augment=Augment(**GEOMETRY, **COLOR)),
        "rrc_224": Stream(**classify, augment=crop),
        "rrc_224_color": Stream(**classify, augment=inception),
        "detect_300": Stream(**detect, augment=Augment(**GEOMETRY)),
        "ssd_300": Stream(**detect, augment=POLICIES["ssd"]),
    }
    others = {
        "plain_224": plain,
        "plain_224_color": plain_color,
        "keras_cv_224": keras_cv_layers(False),
        "keras_cv_224_color": keras_cv_layers(True),
    }
    return {
        "decode": decoding(folder),
        **{name: training_batches(stream) for name, stream in given.items()},
        **{name: records(folder, prepare) for name, prepare in others.items()},
    }


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
    parser.add_argument("--only", default="", help="names of variants, with commas; empty = all")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        mean_bytes = generate(pathlib.Path(name), options.images)
        variants = streams(pathlib.Path(name))
        if options.only:
            variants = {key: variants[key] for key in ("decode", *options.only.split(","))}
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

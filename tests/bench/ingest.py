"""Images a second of ingest, beside plain loops over the same files in the same run.

    python -m tests.bench.ingest [--images 10000] [--repeats 3]

Prints one JSON line. The pictures are generated: 640x480 JPEGs of 100 to 150 KB, with VOC XML
files of five boxes. The loops run without any check:
    copy_loop     a picture's bytes and its name into a record, without TensorFlow
    tf_copy_loop  the same by tf.train.Example and tf.io.TFRecordWriter
    record_loop   reads the XML too, and writes what ingest writes
Start-up is excluded: of ingest, the time from a worker's first shard begun to its last one renamed
counts, of the worker that took longest, as in the manifest. Variants alternate; the numbers are
medians. Augmented copies are compared on one core with decode + one warp + encode by OpenCV.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree

import numpy as np
import PIL.Image

from convoy.data import example, tfrecord
from convoy.data.sample import Sample
from convoy.pipeline.components import example_gen

_OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
    "<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
)
LABELS = ("class0", "class1", "class2")


def generate(folder: pathlib.Path, count: int, unique: int = 100) -> None:
    """A VOC folder; `unique` pictures repeated under `count` names."""
    for name in ("JPEGImages", "Annotations"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    pictures = [_jpeg(rng) for _ in range(min(unique, count))]
    for index in range(count):
        path = folder / "JPEGImages" / f"{index:06d}.jpg"
        path.write_bytes(pictures[index % len(pictures)])
        corners = rng.integers(1, 200, (5, 4))
        objects = "".join(
            _OBJECT.format(name=LABELS[i % 3], x=x, y=y, x2=x + w, y2=y + h)
            for i, (y, x, h, w) in enumerate(corners)
        )
        size = "<size><width>640</width><height>480</height></size>"
        text = f"<annotation>{size}{objects}</annotation>"
        (folder / "Annotations" / f"{index:06d}.xml").write_text(text)


def _jpeg(rng: np.random.Generator) -> bytes:
    coarse = rng.integers(0, 256, (15, 20, 3), np.uint8)
    smooth = PIL.Image.fromarray(coarse).resize((640, 480), PIL.Image.Resampling.BICUBIC)
    noisy = np.asarray(smooth, np.float32) + rng.normal(0, 17, (480, 640, 3))
    buffer = io.BytesIO()
    PIL.Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=84)
    return buffer.getvalue()


def plain_loop(source: pathlib.Path, out: pathlib.Path, encode) -> tuple[float, float]:
    """Seconds, by wall and processor clock, to put every picture into one TFRecord file.

    encode(source, name, bytes) -> record.
    """
    names = sorted(os.listdir(source / "JPEGImages"))
    started, cpu = time.perf_counter(), time.thread_time()
    with open(out, "wb", buffering=1 << 20) as file:
        for name in names:
            with open(source / "JPEGImages" / name, "rb") as picture:
                tfrecord.write(file, encode(source, name, picture.read()))
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started, time.thread_time() - cpu
    out.unlink()
    return seconds


def tf_loop(source: pathlib.Path, out: pathlib.Path) -> tuple[float, float]:
    """The same by TensorFlow's messages and writer."""
    import tensorflow as tf

    names = sorted(os.listdir(source / "JPEGImages"))
    started, cpu = time.perf_counter(), time.thread_time()
    with tf.io.TFRecordWriter(str(out)) as file:
        for name in names:
            values = {"image/encoded": (source / "JPEGImages" / name).read_bytes()}
            values["image/filename"] = name.encode()
            feature = {
                key: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for key, value in values.items()
            }
            message = tf.train.Example(features=tf.train.Features(feature=feature))
            file.write(message.SerializeToString())
    seconds = time.perf_counter() - started, time.thread_time() - cpu
    out.unlink()
    return seconds


def bytes_and_name(source: pathlib.Path, name: str, data: bytes) -> bytes:
    message = example._EXAMPLE()
    feature = message.features.feature
    feature["image/encoded"].bytes_list.value.append(data)
    feature["image/filename"].bytes_list.value.append(name.encode())
    return message.SerializeToString()


def complete(source: pathlib.Path, name: str, data: bytes) -> bytes:
    """The record that ingest writes, out of a sound picture and a sound XML file."""
    path = source / "Annotations" / name.replace(".jpg", ".xml")
    tree = ElementTree.fromstring(path.read_bytes())
    nodes = tree.findall("object")
    corners = [[float(n.findtext(f"bndbox/{t}")) for t in _TAGS] for n in nodes]
    classes = np.array([LABELS.index(node.findtext("name")) for node in nodes])
    flags = np.zeros(len(nodes), bool)
    sample = Sample(
        source_id=name,
        split="train",
        image=data,
        height=int(tree.findtext("size/height")),
        width=int(tree.findtext("size/width")),
        labels=np.unique(classes),
        boxes=np.array(corners, np.float32) - np.array([1, 1, 0, 0], np.float32),
        classes=classes,
        difficult=flags,
        truncated=flags,
        crowd=flags,
    )
    return example.encode(sample, LABELS, hashlib.sha256(data).hexdigest())


_TAGS = ("ymin", "xmin", "ymax", "xmax")


def ingest(source: pathlib.Path, out: pathlib.Path, workers: int, mode: str) -> dict[str, float]:
    """The manifest of a job: seconds of writing, of processor time in it, and of all; memory."""
    beam = (f"--direct_num_workers={workers}", f"--direct_running_mode={mode}")
    params = example_gen.Params(format="voc", shard_mb=16, beam=beam)
    example_gen.run({"source": source}, params, out)
    manifest = json.loads((out / "manifest.json").read_text())
    shutil.rmtree(out)
    return manifest


_AUGMENT = """
import json, os, pathlib, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-1:])
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import cv2, numpy as np
from convoy.data.augment.offline import augment_copy
from convoy.data.augment.policy import Augment
from convoy.data.sources import voc
cv2.setNumThreads(1)
listing = voc.scan(pathlib.Path(sys.argv[1]))
samples = [voc.read(reference, listing.labels) for reference in listing.references[:200]]
moved = dict(flip_horizontal=0.5, rotate_deg=10, zoom=(0.8, 1.25), shift=0.1)
colored = dict(moved, brightness=0.1, contrast=0.2, saturation=0.3, hue=0.1)

def ours(policy):
    for sample in samples:
        augment_copy(sample, policy, 0, 1)

def opencv(_):
    matrix = cv2.getRotationMatrix2D((320, 240), 8, 1.1)
    for sample in samples:
        image = cv2.imdecode(np.frombuffer(sample.image, np.uint8), cv2.IMREAD_COLOR)
        image = cv2.warpAffine(image, matrix, (640, 480), flags=cv2.INTER_LINEAR)
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 95])

work = {"moved": (ours, Augment(**moved)), "moved_and_colored": (ours, Augment(**colored))}
work["opencv"] = (opencv, None)
times = {name: [] for name in work}
for _ in range(4):
    for name, (function, policy) in work.items():
        started = time.process_time()
        function(policy)
        times[name].append(time.process_time() - started)
print(json.dumps({name: len(samples) / min(each[1:]) for name, each in times.items()}))
"""


def augmented(source: pathlib.Path) -> dict[str, float]:
    """Copies a second on one core, by processor time, of ours and of OpenCV."""
    done = subprocess.run(
        [sys.executable, "-c", _AUGMENT, str(source)], check=True, capture_output=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=10000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", default=None, help="where files are written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = pathlib.Path(name)
        source, out = folder / "source", folder / "out"
        generate(source, options.images)
        generate(folder / "tenth", options.images // 10)
        times: dict[str, list[float]] = {}
        peaks: dict[str, float] = {}
        for _ in range(options.repeats):
            for key, encode in (("copy_loop", bytes_and_name), ("record_loop", complete)):
                wall, cpu = plain_loop(source, folder / "loop.tfrecord", encode)
                times.setdefault(key, []).append(wall)
                times.setdefault(f"{key}_per_cpu", []).append(cpu)
            for workers, mode in ((1, "in_memory"), (2, "multi_processing")):
                took, key = ingest(source, out, workers, mode), f"ingest_{workers}"
                times.setdefault(key, []).append(took["writing_seconds"])
                times.setdefault(f"{key}_per_cpu", []).append(took["cpu_seconds"])
                times.setdefault(f"{key}_with_start", []).append(took["beam_seconds"])
                peaks[f"{options.images}"] = took["peak_mb"]  # of the last: processes of their own
        took = ingest(folder / "tenth", out, 2, "multi_processing")
        peaks[f"{options.images // 10}"] = took["peak_mb"]
        for _ in range(options.repeats):  # last: TensorFlow's threads stay
            wall, cpu = tf_loop(source, folder / "loop.tfrecord")
            times.setdefault("tf_copy_loop", []).append(wall)
            times.setdefault("tf_copy_loop_per_cpu", []).append(cpu)
        copies = augmented(source)
        size = sum(f.stat().st_size for f in (source / "JPEGImages").iterdir())
    rates = {k: round(options.images / statistics.median(v), 1) for k, v in times.items()}
    told = {
        "images": options.images,
        "mean_kb": round(size / options.images / 1000, 1),
        "images_per_second": rates,
        **{
            f"ingest_1_vs_{loop}": _ratio(rates, "ingest_1_per_cpu", f"{loop}_per_cpu")
            for loop in ("copy_loop", "tf_copy_loop", "record_loop")
        },
        "ingest_2_vs_ingest_1": _ratio(rates, "ingest_2", "ingest_1"),
        "worker_peak_mb_at_images": peaks,
        "copies_per_cpu_second": {name: round(rate, 1) for name, rate in copies.items()},
        "moved_vs_opencv": _ratio(copies, "moved", "opencv"),
        "moved_and_colored_vs_opencv": _ratio(copies, "moved_and_colored", "opencv"),
    }
    print(json.dumps(told))


def _ratio(rates: dict[str, float], above: str, below: str) -> float:
    return round(rates[above] / rates[below], 3)


if __name__ == "__main__":
    main()

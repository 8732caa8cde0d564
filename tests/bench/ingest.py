"""Images a second of ingest, against a plain loop that copies bytes into TFRecords.

    python -m tests.bench.ingest [--images 2000] [--repeats 3] [--mode multi_processing]

Prints one JSON line. The pictures are generated: 640x480 JPEGs of 100 to 150 KB, with VOC XML
files of five boxes. The loop reads a file, puts it and its name into a tf.train.Example made
without TensorFlow, and frames that; it checks and parses nothing. Start-up is excluded: of ingest,
the time from the first shard begun to the last one renamed counts, as in its manifest; imports and
starting workers lie before. Variants alternate; the numbers are medians.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import pathlib
import shutil
import statistics
import tempfile
import time

import numpy as np
import PIL.Image

from data import example, tfrecord
from data.sample import Sample
from pipeline.components import example_gen

_OBJECT = (
    "<object><name>{name}</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>"
    "<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
)


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
            _OBJECT.format(name=f"class{i % 3}", x=x, y=y, x2=x + w, y2=y + h)
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

    encode(name, bytes) -> record.
    """
    names = sorted(os.listdir(source / "JPEGImages"))
    started, cpu = time.perf_counter(), time.thread_time()
    with open(out, "wb", buffering=1 << 20) as file:
        for name in names:
            with open(source / "JPEGImages" / name, "rb") as picture:
                tfrecord.write(file, encode(name, picture.read()))
        file.flush()
        os.fsync(file.fileno())
    seconds = time.perf_counter() - started, time.thread_time() - cpu
    out.unlink()
    return seconds


def bytes_and_name(name: str, data: bytes) -> bytes:
    message = example._EXAMPLE()
    feature = message.features.feature
    feature["image/encoded"].bytes_list.value.append(data)
    feature["image/filename"].bytes_list.value.append(name.encode())
    return message.SerializeToString()


def complete(name: str, data: bytes) -> bytes:
    flags = np.zeros(5, bool)
    sample = Sample(
        source_id=name,
        split="train",
        image=data,
        height=480,
        width=640,
        labels=np.arange(3),
        boxes=np.tile(np.array([[10, 20, 110, 220]], np.float32), (5, 1)),
        classes=np.arange(5) % 3,
        difficult=flags,
        truncated=flags,
        crowd=flags,
    )
    return example.encode(sample, ("class0", "class1", "class2"))


def ingest(source: pathlib.Path, out: pathlib.Path, workers: int, mode: str) -> dict[str, float]:
    """Seconds: of writing, of processor time in it, and of the whole job with its start."""
    beam = (f"--direct_num_workers={workers}", f"--direct_running_mode={mode}")
    params = example_gen.Params(splits=("train", "val"), shard_mb=16, beam=beam)
    example_gen.run({"source": source}, params, out)
    manifest = json.loads((out / "manifest.json").read_text())
    shutil.rmtree(out)
    return manifest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mode", default="multi_processing")
    parser.add_argument("--folder", default=None, help="where files are written")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = pathlib.Path(name)
        generate(folder / "source", options.images)
        times: dict[str, list[float]] = {}
        for _ in range(options.repeats):
            for key, encode in (("copy_loop", bytes_and_name), ("record_loop", complete)):
                wall, cpu = plain_loop(folder / "source", folder / "loop.tfrecord", encode)
                times.setdefault(key, []).append(wall)
                times.setdefault(f"{key}_per_cpu", []).append(cpu)
            for workers, mode in ((1, "in_memory"), (2, options.mode)):
                took, key = ingest(folder / "source", folder / "out", workers, mode), f"{workers}"
                times.setdefault(f"ingest_{key}", []).append(took["writing_seconds"])
                times.setdefault(f"ingest_{key}_per_cpu", []).append(took["cpu_seconds"])
                times.setdefault(f"ingest_{key}_with_start", []).append(took["beam_seconds"])
        size = sum(f.stat().st_size for f in (folder / "source" / "JPEGImages").iterdir())
    rates = {k: round(options.images / statistics.median(v), 1) for k, v in times.items()}
    print(
        json.dumps(
            {
                "images": options.images,
                "mean_kb": round(size / options.images / 1000, 1),
                "mode": options.mode,
                "images_per_second": rates,
                "ingest_1_vs_copy_loop": _ratio(rates, "ingest_1", "copy_loop"),
                "ingest_1_vs_record_loop": _ratio(rates, "ingest_1", "record_loop"),
                "same_per_cpu": _ratio(rates, "ingest_1_per_cpu", "record_loop_per_cpu"),
                "ingest_2_vs_ingest_1": _ratio(rates, "ingest_2", "ingest_1"),
            }
        )
    )


def _ratio(rates: dict[str, float], above: str, below: str) -> float:
    return round(rates[above] / rates[below], 3)


if __name__ == "__main__":
    main()

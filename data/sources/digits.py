"""The embedded data set: a small, real VOC devkit out of what scikit-learn installs.

Its 1,797 scanned handwritten digits (8x8 pixels, 16 grays) are pasted at random size, place, turn
and colour on crops of its two sample photographs. Objects come with XML boxes around their visible
pixels, SegmentationClass and SegmentationObject PNGs. The first scans appear only in train, the
last only in val: the set is in the order of its writers.

scan(path) builds the devkit at `path` where there is none, then reads it as any VOC devkit.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
import shutil
from collections.abc import Callable

import numpy as np
import PIL.Image

from convoy.data.files import files
from convoy.data.images import images, palette
from convoy.data.sample import Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore, voc

LABELS = tuple("0123456789")
YEAR = "VOC2007"
HEIGHT, WIDTH = 240, 320
SIZE_PX = (56, 120)  # height of a digit
TURN_DEG = 25
OBJECTS = (2, 5)  # in a picture, both included
TRAIN_SCANS = 1437  # of 1797: the first 80 %
_VOID = 255
_OBJECT = """    <object>
        <name>{name}</name>
        <pose>Unspecified</pose>
        <truncated>0</truncated>
        <difficult>0</difficult>
        <bndbox>
            <xmin>{xmin}</xmin>
            <ymin>{ymin}</ymin>
            <xmax>{xmax}</xmax>
            <ymax>{ymax}</ymax>
        </bndbox>
    </object>
"""
_ANNOTATION = """<annotation>
    <folder>{year}</folder>
    <filename>{name}.jpg</filename>
    <source>
        <database>scikit-learn digits</database>
    </source>
    <size>
        <width>{width}</width>
        <height>{height}</height>
        <depth>3</depth>
    </size>
    <segmented>1</segmented>
{objects}</annotation>
"""


def detect(tree: files.Tree) -> bool:
    """Never: a devkit once built is read as any VOC devkit."""
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Builds the devkit if it is missing, then lists it. Raises SourceError."""
    return voc.scan(build(path), dataclasses.replace(options, labels=options.labels or LABELS))


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture, read as VOC's. Raises BadSample."""
    return voc.read(reference, labels, max_pixels=max_pixels, warn=warn)


def build(
    path: str | os.PathLike,
    *,
    seed: int = 0,
    images: tuple[int, int] = (1500, 200),
    progress: Callable[[int, int], None] | None = None,
) -> pathlib.Path:
    """Writes `path`/VOC2007 unless it is there; `images` = pictures in train and val.

    Written aside and renamed; equal arguments give equal pictures. progress(done, total).
    Raises SourceError where `path` holds something else.
    """
    path = pathlib.Path(path)
    if (path / YEAR / "Annotations").is_dir():
        return path
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SourceError(
            f"{path}: expected a digits devkit, or nothing, to build one; it holds other files"
        )
    aside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(aside, ignore_errors=True)
    year = aside / YEAR
    for name in ("Annotations", "JPEGImages", "SegmentationClass", "SegmentationObject"):
        (year / name).mkdir(parents=True)
    names = {"train": [], "val": []}
    total = sum(images)
    for index in range(total):
        split = "train" if index < images[0] else "val"
        name = f"{index + 1:06d}"
        _write_picture(year, name, split, np.random.default_rng((seed, index)))
        names[split].append(name)
        if progress is not None:
            progress(index + 1, total)
    _write_lists(year, names)
    (year / "class_names.txt").write_text("\n".join(("_background_", *LABELS, "")))
    (aside / "digits.json").write_text(json.dumps({"seed": seed, "images": list(images)}) + "\n")
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists():
        path.rmdir()  # empty, as checked above
    os.replace(aside, path)
    return path


def _write_lists(year: pathlib.Path, names: dict[str, list[str]]) -> None:
    lists = {**names, "trainval": names["train"] + names["val"]}
    for kind in ("Main", "Segmentation"):
        (year / "ImageSets" / kind).mkdir(parents=True)
        for split, members in lists.items():
            text = "".join(f"{name}\n" for name in members)
            (year / "ImageSets" / kind / f"{split}.txt").write_text(text)


def _write_picture(year: pathlib.Path, name: str, split: str, rng: np.random.Generator) -> None:
    canvas = _background(rng)
    instances = np.zeros((HEIGHT, WIDTH), np.uint8)
    classes = []
    for _ in range(rng.integers(OBJECTS[0], OBJECTS[1] + 1)):
        digit, ink = _digit(split, rng)
        place = _place(ink, instances, rng)
        if place is None:
            continue
        classes.append(digit)
        _paste(canvas, instances, ink, place, len(classes), rng)
    picture = PIL.Image.fromarray(np.clip(canvas, 0, 255).astype(np.uint8))
    picture.save(year / "JPEGImages" / f"{name}.jpg", quality=90)
    objects = ""
    for index, digit in enumerate(classes, start=1):
        rows, columns = np.nonzero(instances == index)
        objects += _OBJECT.format(
            name=LABELS[digit],
            xmin=columns.min() + 1,
            ymin=rows.min() + 1,
            xmax=columns.max() + 1,
            ymax=rows.max() + 1,
        )
    text = _ANNOTATION.format(year=YEAR, name=name, width=WIDTH, height=HEIGHT, objects=objects)
    (year / "Annotations" / f"{name}.xml").write_text(text)
    values = np.concatenate([[0], np.array(classes, np.uint8) + 1]).astype(np.uint8)
    palette.save(year / "SegmentationClass" / f"{name}.png", values[instances])
    palette.save(year / "SegmentationObject" / f"{name}.png", instances)


@functools.cache
def _photographs() -> list[np.ndarray]:
    from sklearn.datasets import load_sample_images

    return [np.asarray(photo) for photo in load_sample_images().images]


@functools.cache
def _scans() -> tuple[np.ndarray, np.ndarray]:
    """uint8 [1797, 8, 8] ink 0..255, and [1797] digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    return (digits.images * (255 / 16)).astype(np.uint8), digits.target


def _background(rng: np.random.Generator) -> np.ndarray:
    """A crop of a photograph, sometimes mirrored, of random brightness: float [H, W, 3]."""
    photo = _photographs()[rng.integers(2)]
    height = int(rng.integers(HEIGHT // 2, photo.shape[0] + 1))
    width = min(height * WIDTH // HEIGHT, photo.shape[1])
    top = rng.integers(photo.shape[0] - height + 1)
    left = rng.integers(photo.shape[1] - width + 1)
    crop = PIL.Image.fromarray(photo[top : top + height, left : left + width])
    pixels = np.asarray(crop.resize((WIDTH, HEIGHT), PIL.Image.Resampling.BILINEAR), np.float32)
    if rng.random() < 0.5:
        pixels = pixels[:, ::-1]
    return 128 + (pixels - 128) * rng.uniform(0.5, 1.0) + rng.uniform(-30, 30)


def _digit(split: str, rng: np.random.Generator) -> tuple[int, np.ndarray]:
    """A digit and its ink, enlarged and turned: float 0..1 [h, w], cut tight where visible."""
    scans, targets = _scans()
    low, high = (0, TRAIN_SCANS) if split == "train" else (TRAIN_SCANS, len(scans))
    index = int(rng.integers(low, high))
    size = round(float(np.exp(rng.uniform(*np.log(SIZE_PX)))))
    scan = PIL.Image.fromarray(np.pad(scans[index], 2))  # a border, so that turning cuts nothing
    scan = scan.resize((size * 12 // 8, size * 12 // 8), PIL.Image.Resampling.BICUBIC)
    scan = scan.rotate(rng.uniform(-TURN_DEG, TURN_DEG), PIL.Image.Resampling.BICUBIC)
    ink = np.clip((np.asarray(scan, np.float32) / 255 - 0.3) / 0.25, 0, 1)  # sharp strokes
    rows, columns = np.nonzero(ink > 0.5)
    ink = ink[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
    return int(targets[index]), ink


def _place(ink: np.ndarray, instances: np.ndarray, rng) -> tuple[int, int] | None:
    """Top left corner where the digit hides little of earlier ones; None if there is no room."""
    height, width = ink.shape
    for _ in range(30):
        top = int(rng.integers(HEIGHT - height + 1))
        left = int(rng.integers(WIDTH - width + 1))
        if np.mean(instances[top : top + height, left : left + width] > 0) < 0.02:
            return top, left
    return None


def _paste(canvas, instances, ink, place, index: int, rng: np.random.Generator) -> None:
    """Blends a digit in a colour that stands out from what lies below it."""
    top, left = place
    window = np.s_[top : top + ink.shape[0], left : left + ink.shape[1]]
    below = canvas[window].mean(axis=(0, 1))
    bright = below.mean() < 128
    color = rng.uniform(190, 255, 3) if bright else rng.uniform(0, 65, 3)
    color[rng.integers(3)] = rng.uniform(0, 255)  # a tint
    alpha = (ink * rng.uniform(0.85, 1.0))[..., None]
    canvas[window] = canvas[window] * (1 - alpha) + color * alpha
    canvas[window] += rng.normal(0, 6, canvas[window].shape) * (alpha > 0)
    instances[window][ink > 0.5] = index

"""Small generated data sets, one per kind of task, for what looks at a data set."""

from __future__ import annotations

import pathlib

import numpy as np
import PIL.Image
import scipy.io.wavfile

from convoy.data.sources import digits

SIZE = (48, 64)


def photo(path: pathlib.Path, seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of noise around a colour of its own; returns its pixels."""
    draw = np.random.default_rng(seed)
    pixels = np.uint8(np.clip(draw.integers(0, 255, 3) + draw.normal(0, 20, (*size, 3)), 0, 255))
    path.parent.mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(pixels).save(path)
    return pixels


def classes(top: pathlib.Path, names=("cat", "dog"), count=10, size=SIZE) -> None:
    for k, name in enumerate(names):
        for n in range(count):
            split = "train" if n < count * 4 // 5 else "val"
            photo(top / split / name / f"{n}.jpg", 100 * k + n, size)


def boxes(top: pathlib.Path) -> None:
    digits.build(top, images=(8, 4))


def maps(top: pathlib.Path) -> None:
    for n in range(10):
        split = "train" if n < 7 else "val"
        photo(top / "images" / split / f"{n}.png", n)
        label = np.zeros(SIZE, np.uint8)
        label[10:30, 10 + n : 40] = 1 + n % 2
        path = top / "labels" / split / f"{n}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(label).save(path)


def keypoints(top: pathlib.Path) -> None:
    for start, (split, count) in enumerate((("training", 8), ("test", 4))):
        lines = ["file,left_eye_x,left_eye_y,right_eye_x,right_eye_y,nose_x,nose_y"]
        for n in range(count):
            photo(top / split / f"{n}.jpg", 100 * start + n, (64, 64))
            lines.append(f"{n}.jpg,40,{20 + n},20,{20 + n},30,35")
        (top / f"{split}_frames_keypoints.csv").write_text("\n".join(lines) + "\n")


def sentences(top: pathlib.Path) -> None:
    top.mkdir(parents=True)
    for ending, word in (("pos", "fine"), ("neg", "dull")):
        lines = [f"film number {n} is {word} ." for n in range(40)]
        (top / f"reviews.{ending}").write_text("\n".join(lines) + "\n")


def sounds(top: pathlib.Path) -> None:
    for name, hertz in (("low", 200), ("high", 900)):
        for n in range(10):
            times = np.arange(4000) / 8000
            wave = np.int16(8000 * np.sin(2 * np.pi * hertz * times * (1 + n / 100)))
            path = top / ("val" if n > 7 else "train") / name / f"{n}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            scipy.io.wavfile.write(path, 8000, wave)


def pairs(top: pathlib.Path) -> None:
    for n in range(8):
        split = "train" if n < 6 else "val"
        for kind in ("blur", "sharp"):
            photo(top / split / kind / f"{n}.png", n, (64, 64))


# task -> (what makes a set of it, the format that it is read as)
SETS = {
    "classification": (classes, "folder"),
    "detection": (boxes, "voc"),
    "segmentation": (maps, "segmentation"),
    "pose": (keypoints, "keypoints"),
    "text": (sentences, "text"),
    "signals": (sounds, "signals"),
    "restoration": (pairs, "pairs"),
}

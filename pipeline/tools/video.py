"""Videos for `convoy predict`: read frame by frame, and what was drawn written as one again.

    for seconds, pixels in frames("street.mp4"): ...          # uint8 [H, W, 3] RGB, upright
    with Writer(pathlib.Path("out/street.mp4"), rate) as write:
        write(picture)                                        # a PIL picture per frame

Read and written by OpenCV. What is written is VP9 in an MP4 file, which browsers play; it has no
sound. No more frames are held than a network sees at once.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator

import cv2
import numpy as np
import PIL.Image

from convoy.data import frames as film
from convoy.data.sample import BadSample

ENDINGS = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv")
DRAWN = ".mp4"  # what is written
FASTEST, RATE = 240.0, 25.0  # frames per second: more than that is a broken header's
_CODECS = ("vp09", "mp4v")  # the first that this OpenCV has


def is_video(name) -> bool:
    """By extension, in any case; hidden files are not."""
    base = os.path.basename(name) if isinstance(name, (str, pathlib.Path)) else ""
    return base.lower().endswith(ENDINGS) and not base.startswith(".")


class Video:
    """What the file's header says: `rate` in frames per second, `count` of frames, 0 = unknown."""

    def __init__(self, path: str):
        """Raises BadSample."""
        with open(path, "rb"):  # else OpenCV says nothing of why
            pass
        self.path, self._capture = path, cv2.VideoCapture(str(path))
        if not self._capture.isOpened():
            raise BadSample("unreadable_video", f"{path}: not a video that OpenCV can read")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.rate = rate if math.isfinite(rate) and 0 < rate <= FASTEST else RATE
        self.count = max(0, int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT)))

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """(seconds from the start, uint8 [H, W, 3] RGB), once. Raises BadSample without any."""
        number = 0
        with contextlib.closing(_Released(self._capture)):
            while True:
                there, pixels = self._capture.read()
                if not there:
                    break
                seconds = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
                yield seconds if seconds or not number else number / self.rate, pixels[..., ::-1]
                number += 1
        if not number:
            raise BadSample("unreadable_video", f"{self.path}: not one frame of it can be read")


class _Released:
    def __init__(self, capture):
        self.close = capture.release


def beside(items: Iterable, count: int = film.BESIDE) -> Iterator[tuple]:
    """(item, [the `count` before it and the `count` behind it]); the ends stand for what is not."""
    window: collections.deque = collections.deque(maxlen=2 * count + 1)
    items = iter(items)
    for item in items:
        window.extend([item] * (count + 1) if not window else [item])
        if len(window) == window.maxlen:
            yield window[count], [each for n, each in enumerate(window) if n != count]
    for _ in range(min(count, len(window))):
        window.append(window[-1])
        if len(window) == window.maxlen:
            yield window[count], [each for n, each in enumerate(window) if n != count]


class Writer:
    """Pictures as a video, which has its name when it is whole; the first one sets the size."""

    def __init__(self, path: pathlib.Path, rate: float):
        self.path, self._rate, self._file = path, rate, None
        self._aside = path.with_name(f".{path.stem}.partial{path.suffix}")

    def __enter__(self) -> Callable[[PIL.Image.Image], None]:
        return self._write

    def _write(self, picture: PIL.Image.Image) -> None:
        """A picture of another size than the first is cut, or bordered in black."""
        if self._file is None:
            self._size = tuple(max(2, side - side % 2) for side in picture.size)  # 4:2:0 halves
            self._file = _opened(self._aside, self._rate, self._size)
        if picture.size != self._size:
            canvas = PIL.Image.new("RGB", self._size)
            canvas.paste(picture, (0, 0))
            picture = canvas
        self._file.write(np.asarray(picture.convert("RGB"))[..., ::-1])

    def __exit__(self, kind, *_) -> None:
        if self._file is not None:
            self._file.release()
        if kind is None and self._aside.exists():
            os.replace(self._aside, self.path)
        self._aside.unlink(missing_ok=True)


def _opened(path: pathlib.Path, rate: float, size: tuple[int, int]) -> cv2.VideoWriter:
    for codec in _CODECS:
        file = cv2.VideoWriter(
            str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), rate, size
        )
        if file.isOpened():
            return file
    raise OSError(f"{path.parent}: this OpenCV writes no video there, neither {_CODECS}")


def encoded(pixels: np.ndarray) -> bytes:
    """A PNG of RGB pixels: every value as it was, packed fast."""
    fast = [cv2.IMWRITE_PNG_COMPRESSION, 1]
    return cv2.imencode(".png", np.ascontiguousarray(pixels[..., ::-1]), fast)[1].tobytes()

"""Pictures with predictions and truth drawn on them.

Every function is deterministic and returns RGB pictures; nothing is written to disk.
"""

from __future__ import annotations

import colorsys
import functools
import math
import pathlib
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from convoy.data.images import bands
from convoy.data.sample import Sample
from convoy.pipeline.evaluation.records import Detections

PAPER, INK, QUIET = (250, 250, 248), (28, 30, 34), (110, 114, 120)
RIGHT, WRONG = (22, 122, 72), (190, 40, 40)
CELL_PX = 480  # longest side of a picture in a gallery


def draw(
    image: bytes | np.ndarray | Image.Image,
    boxes: np.ndarray,
    classes: np.ndarray,
    scores: np.ndarray | None,
    labels: Sequence[str] | Mapping[int, str],
    truth: tuple[np.ndarray, np.ndarray] | None = None,
) -> Image.Image:
    """Boxes [N, 4] in pixels of the picture, with name and score, on a copy of it.

    image: encoded bytes, uint8 [H, W, 3] or a PIL picture; its size is kept. A box covers the
    pixels round(min) .. round(max) - 1, its line lies inside. truth: boxes and classes of objects,
    drawn dashed with dark name plates. Lines and letters grow with the picture.
    """
    picture = open_picture(image)
    width, height = picture.size
    line = max(1 if min(picture.size) < 100 else 2, round(min(picture.size) / 220))
    font = _font(max(12, round(math.sqrt(width * height) / 36)))
    pen = ImageDraw.Draw(picture)
    plates = []
    if truth is not None:
        for box, k in zip(*truth, strict=True):
            corners = _corners(box)
            _dashed(pen, corners, color(k), line)
            plates.append((corners, labels[int(k)], "", color(k), True))
    confidence = np.full(len(boxes), np.nan) if scores is None else np.asarray(scores, float)
    order = np.argsort(np.nan_to_num(confidence), kind="stable")  # the surest comes last, on top
    for n in order:
        corners = _corners(boxes[n])
        pen.rectangle(corners, outline=color(classes[n]), width=line)
        score = "" if math.isnan(confidence[n]) else f" {confidence[n]:.2f}"
        plates.append((corners, labels[int(classes[n])], score, color(classes[n]), False))
    occupied: list[tuple[int, int, int, int]] = []
    for corners, name, score, shade, is_truth in reversed(plates):  # the surest has first choice
        text = _shorten(name, font, width - 6, score)
        occupied.append(_plate(pen, corners, text, shade, is_truth, font, occupied, picture.size))
    return picture


def gallery(
    samples: Sequence[Sample],
    detections: Sequence[Detections],
    labels: Sequence[str],
    thresholds: float | Sequence[float] = 0.3,
    count: int = 12,
) -> list[Image.Image]:
    """One picture per sample: truth on the left, detections with score >= threshold on the right.

    thresholds: one number, or one per class [K]. Difficult and crowd objects are drawn dashed.
    """
    least = np.broadcast_to(np.asarray(thresholds, float), (len(labels),))
    pages = []
    for sample, detected in list(zip(samples, detections, strict=True))[:count]:
        picture, scale = _fit(open_picture(sample.image), CELL_PX)
        hard = _hard(sample)
        boxes = np.asarray(sample.boxes) * scale
        left = draw(
            picture,
            boxes[~hard],
            sample.classes[~hard],
            None,
            labels,
            truth=(boxes[hard], sample.classes[hard]),
        )
        keep = np.asarray(detected.scores) >= least[np.asarray(detected.classes, int)]
        right = draw(
            picture,
            np.asarray(detected.boxes)[keep] * scale,
            np.asarray(detected.classes)[keep],
            np.asarray(detected.scores)[keep],
            labels,
        )
        shown = f"{least[0]:.2f}" if np.ptp(least) == 0 else "class threshold"
        notes = (f"truth: {len(boxes)}", f"prediction: {int(keep.sum())} (score ≥ {shown})")
        pages.append(_beside(left, right, notes, sample.source_id))
    return pages


def classification_gallery(
    samples: Sequence[Sample],
    scores: np.ndarray,
    labels: Sequence[str],
    count: int = 12,
) -> list[Image.Image]:
    """One picture per sample with the class of highest score [N, K] and, where wrong, the truth."""
    pages = []
    for sample, row in list(zip(samples, np.asarray(scores), strict=True))[:count]:
        picture, _ = _fit(open_picture(sample.image), CELL_PX // 2)
        predicted, true = int(np.argmax(row)), int(sample.labels[0])
        font = _font(16)
        canvas = Image.new("RGB", (CELL_PX // 2, picture.height + 50), PAPER)
        canvas.paste(picture, ((canvas.width - picture.width) // 2, 0))
        pen = ImageDraw.Draw(canvas)
        sign, shade = ("✓", RIGHT) if predicted == true else ("✗", WRONG)
        room = canvas.width - 12
        text = _shorten(f"{sign} {labels[predicted]}", font, room, f" {row[predicted]:.2f}")
        pen.text((6, picture.height + 5), text, shade, font)
        if predicted != true:
            text = _shorten(f"truth: {labels[true]}", font, room, f" {row[true]:.2f}")
            pen.text((6, picture.height + 26), text, INK, font)
        pages.append(canvas)
    return pages


def with_lines(image: bytes, lines: Sequence[str]) -> Image.Image:
    """A picture of the gallery's size with lines of text below it, shortened to its width."""
    picture, _ = fitted(image)
    font = _font(15)
    canvas = Image.new("RGB", (CELL_PX, picture.height + 8 + 22 * len(lines)), PAPER)
    canvas.paste(picture, ((CELL_PX - picture.width) // 2, 0))
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        text = _shorten(line, font, CELL_PX - 12)
        pen.text((6, picture.height + 4 + 22 * number), text, INK, font)
    return canvas


def fitted(image: bytes) -> tuple[Image.Image, np.ndarray]:
    """A picture of the gallery's size, and the factors [4] for its boxes."""
    return _fit(open_picture(image), CELL_PX)


def caption(image: bytes | np.ndarray | Image.Image, text: str) -> Image.Image:
    """The picture with one line of text below it; of a small picture the text sets the width."""
    picture = open_picture(image)
    font = _font(max(14, round(picture.width / 24)))
    width = max(picture.width, min(math.ceil(font.getlength(text)) + 8, CELL_PX))
    canvas = Image.new("RGB", (width, picture.height + round(font.size * 1.6)), PAPER)
    canvas.paste(picture, (0, 0))
    shown = _shorten(text, font, width - 8)
    ImageDraw.Draw(canvas).text((4, picture.height + font.size * 0.2), shown, INK, font)
    return canvas


def sheet(pictures: Sequence[Image.Image], columns: int = 2, gap: int = 12) -> Image.Image:
    """Pictures in rows on one page, each row as high as its highest picture."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    wide = max((picture.width for picture in pictures), default=1)
    heights = [max(picture.height for picture in row) for row in rows]
    size = (gap + columns * (wide + gap), gap + sum(height + gap for height in heights))
    page = Image.new("RGB", size, PAPER)
    top = gap
    for row, height in zip(rows, heights, strict=True):
        for column, picture in enumerate(row):
            page.paste(picture, (gap + column * (wide + gap), top))
        top += height + gap
    return page


def open_picture(image: bytes | np.ndarray | Image.Image) -> Image.Image:
    """An RGB copy. EXIF turns are not applied: Convoy's records hold upright pictures."""
    if isinstance(image, Image.Image):
        return image.convert("RGB").copy()
    if isinstance(image, bytes):
        return bands.view(image).convert("RGB")
    return Image.fromarray(np.asarray(image, np.uint8)).convert("RGB")


def color(k: int) -> tuple[int, int, int]:
    """The colour of class k: hues a golden angle apart, in three strengths by turns."""
    hue = (0.02 + int(k) * 0.618033988749895) % 1
    saturation, value = ((0.85, 0.95), (1.0, 0.72), (0.55, 1.0))[int(k) // 7 % 3]
    return tuple(round(255 * part) for part in colorsys.hsv_to_rgb(hue, saturation, value))


@functools.cache
def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib brings it: the same letters on every machine."""
    path = pathlib.Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size_px)


def _corners(box: np.ndarray) -> tuple[int, int, int, int]:
    """First and last pixel column and row of a box: x0, y0, x1, y1; at least one pixel."""
    ymin, xmin, ymax, xmax = (round(float(value)) for value in box)
    return xmin, ymin, max(xmax - 1, xmin), max(ymax - 1, ymin)


def _dashed(pen: ImageDraw.ImageDraw, corners, shade, line: int) -> None:
    x0, y0, x1, y1 = corners
    dash = 4 * line
    for start in range(x0, x1 + 1, 2 * dash):
        stop = min(start + dash - 1, x1)
        pen.rectangle((start, y0, stop, min(y0 + line - 1, y1)), fill=shade)
        pen.rectangle((start, max(y1 - line + 1, y0), stop, y1), fill=shade)
    for start in range(y0, y1 + 1, 2 * dash):
        stop = min(start + dash - 1, y1)
        pen.rectangle((x0, start, min(x0 + line - 1, x1), stop), fill=shade)
        pen.rectangle((max(x1 - line + 1, x0), start, x1, stop), fill=shade)


def _plate(pen, corners, text, shade, is_truth, font, occupied, size) -> tuple[int, int, int, int]:
    """Writes a name where it fits: above, below, inside; inside the picture, on no other name."""
    width, height = size
    pad = max(2, font.size // 6)
    wide = math.ceil(font.getlength(text)) + 2 * pad
    high = sum(font.getmetrics()) + pad
    x0, y0, x1, y1 = corners
    tops = (y0 - high, y1 + 1, y0, y1 + 1 - high, y0 + high, y0 - 2 * high, y1 + 1 + high)
    places = []
    for top in tops:
        for left in (x0, x1 + 1 - wide):
            left = min(max(left, 0), max(width - wide, 0))
            inside = min(max(top, 0), max(height - high, 0))
            places.append((left, inside, left + wide, inside + high, abs(inside - top)))
    best = min(
        places, key=lambda place: sum(_shared(place, other) for other in occupied) + place[4]
    )
    left, top, right, bottom, _ = best
    paper, ink = ((24, 24, 24), _bright(shade)) if is_truth else (shade, _ink_on(shade))
    pen.rectangle((left, top, right - 1, bottom - 1), fill=paper)
    pen.text((left + pad, top + pad // 2), text, ink, font)
    return left, top, right, bottom


def _shared(a, b) -> int:
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)


def _ink_on(shade: tuple[int, int, int]) -> tuple[int, int, int]:
    """Black or white, whichever is easier to read (ITU-R BT.601 brightness)."""
    bright = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2]
    return (0, 0, 0) if bright > 125 else (255, 255, 255)


def _bright(shade: tuple[int, int, int]) -> tuple[int, int, int]:
    return tuple((part + 255) // 2 for part in shade)


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: float, end: str = "") -> str:
    """`text` and `end`, with as much of the text as fits in `width` pixels."""
    if font.getlength(text + end) <= width:
        return text + end
    while len(text) > 1 and font.getlength(text + "…" + end) > width:
        text = text[:-1]
    return text + "…" + end


def _fit(picture: Image.Image, longest_px: int) -> tuple[Image.Image, np.ndarray]:
    """The picture with the given longest side, and the factors [4] for its boxes."""
    ratio = longest_px / max(picture.size)
    size = tuple(max(1, round(side * ratio)) for side in picture.size)
    smooth = Image.Resampling.NEAREST if ratio > 4 else Image.Resampling.BICUBIC
    across, down = size[0] / picture.width, size[1] / picture.height
    return picture.resize(size, smooth), np.array([down, across, down, across])


def _hard(sample: Sample) -> np.ndarray:
    hard = np.zeros(len(sample.boxes), bool)
    for flag in (sample.difficult, sample.crowd):
        hard |= np.asarray(flag, bool) if len(flag) else False
    return hard


def _beside(left: Image.Image, right: Image.Image, notes, name: str) -> Image.Image:
    gap, head, font = 8, 26, _font(15)
    column = max(left.width, 220)  # a narrow picture still has room for its title
    page = Image.new("RGB", (2 * column + gap, left.height + head + 22), PAPER)
    pen = ImageDraw.Draw(page)
    for start, picture, note in zip((0, column + gap), (left, right), notes, strict=True):
        pen.text((start + 4, 4), _shorten(note, font, column - 8), INK, font)
        page.paste(picture, (start + (column - picture.width) // 2, head))
    small = _font(12)
    text = _shorten(name, small, page.width - 8)
    pen.text((4, left.height + head + 3), text, QUIET, small)
    return page

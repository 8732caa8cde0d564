"""A class for every pixel."""

from __future__ import annotations

import base64
import functools
import io

import numpy as np
from PIL import Image

from convoy.data.images import palette
from convoy.pipeline.evaluation.segmentation import IGNORE, Pixels, confusion
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.report.chosen import WorstFirst
from convoy.pipeline.tasks import RIGHT, VERDICT, Shown

__all__ = [
    "ERRORS",
    "Chosen",
    "Metrics",
    "draw",
    "files",
    "judged",
    "named",
    "row",
    "shapes",
    "show",
    "summary",
]
STRENGTH = 0.55  # of a class's colour over the picture
WRONG = (255, 0, 0)
SAID = 3  # classes in a summary

ERRORS = ("class",)


class Metrics:
    def __init__(self, labels):
        self.labels = tuple(labels)
        self._pixels = Pixels(len(self.labels))
        self._without = 0

    def update(self, sample, answer) -> None:
        """Raises ValueError for label maps of other sizes, or with values that are no class."""
        truth = _truth(sample)
        if truth is None:
            self._without += 1
            return
        try:
            self._pixels.update(truth, _found(answer))
        except ValueError as error:
            raise ValueError(f"{sample.source_id}: {error}") from None

    def result(self) -> dict:
        numbers = self._pixels.result(self.labels)
        return {**numbers, "without_label_map": self._without}


def fault(sample, answer) -> float | None:
    """The part of a picture's labelled pixels that are wrong; None where none is."""
    wrong = _wrong(sample, _found(answer))
    truth = _truth(sample)
    count = 0 if truth is None else np.count_nonzero(truth != IGNORE)
    return float(wrong.sum() / count) if wrong is not None and wrong.any() else None


# Half of the pictures are those with the largest part of wrong pixels.
Chosen = functools.partial(WorstFirst, fault)


def row(answer) -> dict:
    return {
        "fractions": np.round(answer["class_fractions"], 5).tolist(),
        "label_map_png": base64.b64encode(answer["label_map_bytes"]).decode(),
    }


def named(answer) -> dict:
    return {"classes": {name: float(part) for name, part in _parts(answer)}}


def summary(answer) -> str:
    return ", ".join(f"{name} {part:.0%}" for name, part in _parts(answer)[:SAID])


def draw(image, answer, score):
    return Image.fromarray(_tinted(overlay.open_picture(image), _found(answer)))


def files(answer) -> dict[str, bytes]:
    """What `convoy predict` writes beside a drawing: folder -> PNG, a palette in VOC's colours."""
    buffer = io.BytesIO()
    palette.picture(_found(answer)).save(buffer, "PNG")
    return {"label_maps": buffer.getvalue()}


def show(metrics, numbers, pairs) -> Shown:
    counts = np.array(numbers["confusion"])
    return Shown(
        {"Confusion": plots.png(plots.confusion_matrix(counts, metrics.labels))},
        [_page(sample, _found(answer)) for sample, answer in pairs],
        "The picture, its true classes, what was answered, and in red the pixels that are wrong; "
        "the worst pictures first. Colours are VOC's, in the order of the classes.",
    )


def _page(sample, found: np.ndarray) -> Image.Image:
    picture = overlay.open_picture(sample.image)
    truth, wrong = _truth(sample), _wrong(sample, found)
    parts = [picture]
    if truth is not None:
        parts.append(Image.fromarray(_tinted(picture, truth)))
    parts.append(Image.fromarray(_tinted(picture, found)))
    if wrong is not None:
        pixels = np.asarray(picture) // 2
        parts.append(Image.fromarray(np.where(wrong[..., None], np.uint8(WRONG), pixels)))
    side = overlay.CELL_PX // 2
    size = tuple(max(1, round(length * side / max(picture.size))) for length in picture.size)
    page = Image.new("RGB", (len(parts) * (size[0] + 4) - 4, size[1]), overlay.PAPER)
    for index, part in enumerate(parts):
        page.paste(part.resize(size), (index * (size[0] + 4), 0))
    return overlay.caption(page, sample.source_id)


def _tinted(picture: Image.Image, values: np.ndarray) -> np.ndarray:
    """uint8 [H, W, 3]: the picture in its classes' colours; class 0 and IGNORE stay as they are."""
    colors = np.frombuffer(palette.colors(), np.uint8).reshape(256, 3)
    pixels = np.asarray(picture, np.float32)
    if values.shape != pixels.shape[:2]:
        raise ValueError(
            f"the label map has {values.shape[1]}x{values.shape[0]} pixels, the picture "
            f"{pixels.shape[1]}x{pixels.shape[0]}"
        )
    tinted = (1 - STRENGTH) * pixels + STRENGTH * colors[values]
    shown = (values > 0) & (values != IGNORE)
    return np.where(shown[..., None], tinted, pixels).astype(np.uint8)


def _truth(sample) -> np.ndarray | None:
    """uint8 [H, W], None of a picture without a label map."""
    if not sample.segmentation:
        return None
    return np.asarray(Image.open(io.BytesIO(sample.segmentation)))


def _found(answer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(answer["label_map_bytes"])))


def _wrong(sample, found: np.ndarray) -> np.ndarray | None:
    """[H, W] bool: labelled, and as something else."""
    truth = _truth(sample)
    if truth is None or truth.shape != found.shape:
        return None
    return (truth != IGNORE) & (truth != found)


def _parts(answer) -> list[tuple[str, float]]:
    """(class, its part of the pixels) of all that were found, the largest first."""
    pairs = zip(answer["class_names"], answer["class_fractions"], strict=True)
    found = [(name.decode(), float(part)) for name, part in pairs if part > 0]
    return sorted(found, key=lambda pair: -pair[1])


def judged(sample, line, labels) -> np.ndarray:
    """Each pair of a true class and what was said of its pixels: the part of all labelled ones."""
    truth, found = _truth(sample), _found(_of_line(line))
    if truth is None or truth.shape != found.shape:
        return np.zeros(0, VERDICT)
    counts, _ = confusion(truth, found, len(labels))
    total = max(int(counts.sum()), 1)
    rows = [
        (i, j, np.nan, RIGHT if i == j else 0, counts[i, j] / total, False)
        for i, j in np.argwhere(counts)
    ]
    return np.array(rows, VERDICT)


def shapes(line, labels) -> dict:
    parts = zip(labels, line["fractions"], strict=True)
    return {
        "map": line["label_map_png"],
        "labels": [[name, float(part)] for name, part in parts if part > 0],
    }


def _of_line(line) -> dict:
    return {"label_map_bytes": base64.b64decode(line["label_map_png"])}

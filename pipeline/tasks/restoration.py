"""A picture restored, as large as it was or larger."""

from __future__ import annotations

import functools
import io

import numpy as np
from PIL import Image

from convoy.pipeline.evaluation.restoration import Closeness, prepared, psnr
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.report.chosen import WorstFirst
from convoy.pipeline.tasks import Shown

__all__ = ["Chosen", "Metrics", "draw", "files", "named", "row", "show", "summary"]
BEFORE = "_before"  # of a metric's name: of the picture sent, enlarged bicubically where it must be


class Metrics:
    """PSNR and SSIM of Y, and the same of what was sent, enlarged bicubically."""

    def __init__(self, labels):
        self.labels = tuple(labels)
        self._after, self._before = Closeness(), Closeness()
        self.gains: list[float] = []  # of each picture's PSNR, dB
        self._too_small = 0

    def update(self, sample, answer) -> None:
        """Raises ValueError for an answer of another size than the true picture's."""
        truth, found = _opened(sample.target), _found(answer)
        sent, border = before(sample, truth.shape[:2])
        if min(truth.shape[:2]) <= 2 * border:
            self._too_small += 1
            return
        try:
            after = self._after.update(truth, found, border)
            self.gains.append(after - self._before.update(truth, sent, border))
        except ValueError as error:
            raise ValueError(f"{sample.source_id}: {error}") from None

    def result(self) -> dict:
        before = self._before.result()
        return {
            **self._after.result(),
            **{f"{name}{BEFORE}": before[name] for name in ("PSNR", "SSIM")},
            "better": sum(gain > 0 for gain in self.gains),
            "too_small": self._too_small,  # nothing is left without the border
            "per_class": {},  # pictures have none
        }


def before(sample, size: tuple[int, int]) -> tuple[np.ndarray, int]:
    """(uint8 [*size, 3] of the picture sent, enlarged if it must be; border that is left out)."""
    sent = _opened(sample.image)
    if sent.shape[:2] == tuple(size):
        return sent, 0
    from convoy.models.restoration import bicubic

    large = np.asarray(bicubic.resize(sent.astype(np.float32), size))
    return np.clip(np.floor(large + 0.5), 0, 255).astype(np.uint8), round(size[0] / len(sent))


def fault(sample, answer) -> float | None:
    """How far an answer's Y is from the truth's, dB below 100; None where it is equal."""
    truth, found = (prepared(pixels, 0) for pixels in (_opened(sample.target), _found(answer)))
    return None if np.array_equal(truth, found) else 100.0 - psnr(truth, found)


# Half of the pictures are those with the lowest PSNR.
Chosen = functools.partial(WorstFirst, fault)


def row(answer) -> dict:
    return named(answer)


def named(answer) -> dict:
    height, width = _found(answer).shape[:2]
    return {"height": height, "width": width}


def summary(answer) -> str:
    height, width = _found(answer).shape[:2]
    return f"{width}x{height} px"


def draw(image, answer, score):
    return Image.fromarray(_found(answer))


def files(answer) -> dict[str, bytes]:
    """What `convoy predict` writes beside a drawing, which may be a JPEG: folder -> PNG."""
    return {"restored": answer["image_bytes"]}


def show(metrics, numbers, pairs) -> Shown:
    figures = {}
    if metrics.gains:
        title = "Pictures by what they gained in PSNR, dB"
        figures["Gain"] = plots.png(plots.histogram(metrics.gains, title))
    return Shown(
        figures,
        [page(sample, answer, (), {}) for sample, answer in pairs],
        "The picture sent (enlarged bicubically where the answer is larger), what was answered, "
        "and the true picture, with their PSNR; below each its middle, four times as large. The "
        "worst come first.",
    )


def page(sample, answer, labels, points):
    found = _found(answer)
    truth = _opened(sample.target)
    sent, border = before(sample, truth.shape[:2])
    side = overlay.CELL_PX // 2
    cells = []
    for pixels in (sent, found, truth):
        whole = Image.fromarray(pixels)
        whole.thumbnail((side, side))
        height, width = pixels.shape[:2]
        part = min(side // 4, height, width)
        top, left = (height - part) // 2, (width - part) // 2
        middle = Image.fromarray(pixels[top : top + part, left : left + part])
        cell = Image.new("RGB", (side, 2 * side + 4), overlay.PAPER)
        cell.paste(whole, ((side - whole.width) // 2, (side - whole.height) // 2))
        cell.paste(middle.resize((side, side), Image.Resampling.NEAREST), (0, side + 4))
        cells.append(cell)
    page = Image.new("RGB", (3 * (side + 4) - 4, 2 * side + 4), overlay.PAPER)
    for index, cell in enumerate(cells):
        page.paste(cell, (index * (side + 4), 0))
    y, *others = (prepared(pixels, border) for pixels in (truth, sent, found))
    was, now = (psnr(y, other) for other in others)
    return overlay.caption(page, f"{sample.source_id}  {was:.2f} -> {now:.2f} dB")


def _opened(encoded: bytes) -> np.ndarray:
    """uint8 [H, W, 3]."""
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


def _found(answer) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(answer["image_bytes"])))

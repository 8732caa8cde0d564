"""Objects with boxes, classes and masks."""

from __future__ import annotations

import base64

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from convoy.models.paste import paste
from convoy.pipeline.evaluation.masks import MaskEvaluation, truth_masks
from convoy.pipeline.evaluation.records import detections_of
from convoy.pipeline.report import overlay
from convoy.pipeline.report.chosen import EvenlySpread as Chosen
from convoy.pipeline.tasks import Shown, detection
from convoy.pipeline.tasks.detection import ERRORS, SCORE, found, judged, summary

__all__ = [
    "ERRORS",
    "SCORE",
    "Chosen",
    "Metrics",
    "draw",
    "found",
    "judged",
    "named",
    "row",
    "shapes",
    "show",
    "summary",
]
STRENGTH = 0.5  # of an object's colour over the picture


class Metrics:
    """A detector's numbers of the boxes, and COCO's and PASCAL's of the masks."""

    def __init__(self, labels):
        self.labels = tuple(labels)
        self.boxes = detection.Metrics(labels)
        self._masks = MaskEvaluation(len(self.labels))

    def update(self, sample, answer) -> None:
        """Raises ValueError for a class that has no label, and for masks of another size."""
        self.boxes.update(sample, answer)
        self._masks.update(sample, answer)

    def result(self) -> dict:
        boxes, masks = self.boxes.result(), self._masks.result(self.labels)
        per_class = {
            name: {**row, **masks["per_class"][name]} for name, row in boxes["per_class"].items()
        }
        return {**boxes, **masks, "per_class": per_class}


def row(answer) -> dict:
    """A detector's, and masks: 28 x 28 bytes each, row by row, 255 for a probability of 1."""
    return {**detection.row(answer), "masks_28x28": _packed(answer)}


def named(answer) -> dict:
    """A detector's, and with each its mask as in `row`, which `serving.client.paste` draws."""
    found = detection.named(answer)["detections"]
    masks = zip(found, _packed(answer), strict=True)
    return {"detections": [{**each, "mask_28x28": mask} for each, mask in masks]}


def _packed(answer) -> list[str]:
    count = int(answer["num_detections"])
    masks = np.round(np.asarray(answer["masks"][:count]) * 255).astype(np.uint8)
    return [base64.b64encode(mask.tobytes()).decode() for mask in masks]


def draw(image, answer, score):
    picture = overlay.open_picture(image)
    return detection.draw(Image.fromarray(_tinted(picture, answer, score)), answer, score)


def show(metrics, numbers, pairs) -> Shown:
    """A detector's part with pictures of masks: of the truth, and of what was found."""
    shown = detection.show(metrics.boxes, numbers, [])
    gallery = [_page(sample, answer) for sample, answer in pairs]
    note = f"True masks on the left; on the right detections from a score of {SCORE} on."
    return Shown(shown.figures, gallery, note, points=shown.points, tables=shown.tables)


def _page(sample, answer) -> Image.Image:
    picture = overlay.open_picture(sample.image)
    truth = [coco_mask.decode(mask).astype(bool) for mask in truth_masks(sample)]
    page = Image.new("RGB", (2 * picture.width + 8, picture.height), overlay.PAPER)
    page.paste(Image.fromarray(_colored(picture, truth)), (0, 0))
    found = draw(picture, answer, SCORE)
    page.paste(found.resize(picture.size), (picture.width + 8, 0))
    page.thumbnail((overlay.CELL_PX, overlay.CELL_PX))
    return overlay.caption(page, sample.source_id)


def _tinted(picture: Image.Image, answer, score) -> np.ndarray:
    detections = detections_of("", answer)
    size = (picture.height, picture.width)
    rows = zip(answer["masks"], detections.boxes, detection.kept(answer, score), strict=False)
    # The best last, over the others.
    found = [paste(mask, box, size) for mask, box, shown in rows if shown]
    return _colored(picture, found[::-1])


def _colored(picture: Image.Image, masks) -> np.ndarray:
    """uint8 [H, W, 3]: each mask in a colour of its own."""
    pixels = np.array(picture, np.uint8)
    for index, mask in enumerate(masks):
        shade = np.array(overlay.color(index), float)
        pixels[mask] = ((1 - STRENGTH) * pixels[mask] + STRENGTH * shade).astype(np.uint8)
    return pixels


def shapes(line, labels) -> dict:
    objects = detection.shapes(line, labels)["objects"]
    masks = zip(objects, line["masks_28x28"], strict=True)
    return {"objects": [{**each, "mask": mask, "mask_size": [28, 28]} for each, mask in masks]}

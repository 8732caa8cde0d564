"""Do a detector's priors fit the boxes? The part of boxes that none reaches at its threshold.

The boxes are taken in pixels of the network's input, after its own resize. Networks that learn
every object whatever its overlap (YOLO) are looked at by shapes alone: an anchor reaches a box
whose shape overlaps its own by half.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from convoy.pipeline.config import Model, Train
from convoy.pipeline.validation import clusters

SHAPES_REACH = 0.5  # overlap of shapes, of networks without a threshold
FEWEST, MOST = 3, 12  # shapes that are suggested
VISIBLE = 0.3  # part of a box that must be inside the input, where the resize crops
AT_ONCE = 512  # boxes


@dataclasses.dataclass(frozen=True)
class Reach:
    """How well priors fit; of `boxes`, `unmatched` reach `threshold` with no prior.

    Overlaps of shapes are means over boxes, of each with the best shape.
    """

    boxes: int
    unmatched: int
    threshold: float  # intersection over union
    size: tuple[int, int]  # of the input, pixels
    side_px: float  # median of sqrt(height * width) of the boxes in the input
    unmatched_side_px: float  # ... of the unmatched
    forced: bool  # whether every object is learnt, reached or not
    own_overlap: float  # of the boxes' shapes with the priors'
    suggested: tuple[tuple[float, float], ...]  # (width, height) in pixels, by k-means
    suggested_overlap: float


def reach(
    boxes: np.ndarray, model: Model, labels: Sequence[str], count: int | None = None
) -> Reach | None:
    """boxes: rows of data.statistics.partial.BOX. None: the network has no priors, or no box.

    count: of shapes to suggest; None as many as the network's priors have, from 3 to 12.
    """

    from convoy.models.keras_internals import without_values
    from convoy.pipeline.networks import network  # imports TensorFlow

    with without_values():  # its weights are not needed
        task = network.build(model, list(labels), Train())
    if task.priors is None:
        return None
    preprocess = task.info.preprocess
    fitted = in_input(boxes, preprocess)
    if not len(fitted):
        return None
    forced = task.priors.threshold == 0
    shapes, own = sides_of(fitted), shapes_of(task.priors.boxes)
    best = (
        clusters.overlap(shapes, own).max(axis=1) if forced else best_iou(fitted, task.priors.boxes)
    )
    threshold = SHAPES_REACH if forced else task.priors.threshold
    sides, missed = np.sqrt(_area(fitted)), best < threshold
    suggested = clusters.shapes(shapes, count or min(max(len(own), FEWEST), MOST))
    return Reach(
        boxes=len(fitted),
        unmatched=int(missed.sum()),
        threshold=threshold,
        size=preprocess.size,
        side_px=float(np.median(sides)),
        unmatched_side_px=float(np.median(sides[missed])) if missed.any() else 0.0,
        forced=forced,
        own_overlap=clusters.mean_overlap(shapes, own),
        suggested=tuple((float(w), float(h)) for h, w in np.round(suggested, 1)),
        suggested_overlap=clusters.mean_overlap(shapes, suggested),
    )


def sides_of(boxes: np.ndarray) -> np.ndarray:
    """[M, 4] -> [M, 2] heights and widths."""
    return (boxes[:, 2:] - boxes[:, :2]).astype(np.float64)


def shapes_of(priors: np.ndarray) -> np.ndarray:
    """[N, 4] -> [shapes, 2]: the different heights and widths among them."""
    return np.unique(np.round(sides_of(priors), 2), axis=0)


def in_input(boxes: np.ndarray, preprocess) -> np.ndarray:
    """[M, 4] pixels of the network's input, of the boxes that are seen there."""
    from convoy.models.resize import fit_matrix

    edges = np.stack([boxes[edge] for edge in ("ymin", "xmin", "ymax", "xmax")], axis=-1)
    sides = np.stack([boxes["height"], boxes["width"]] * 2, axis=-1).astype(np.float32)
    matrix = np.asarray(fit_matrix(boxes["height"], boxes["width"], preprocess, preprocess.size))
    axes = [1, 0, 1, 0]  # rows of the matrix are x, y; it scales and shifts, and turns nothing
    moved = edges * sides * matrix[:, axes, axes] + matrix[:, axes, 2]
    cut = np.clip(moved, 0, np.tile(preprocess.size, 2))
    keep = (_area(cut) > 0) & (_area(cut) >= VISIBLE * _area(moved))
    return cut[keep].astype(np.float32)


def _area(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def best_iou(boxes: np.ndarray, priors: np.ndarray) -> np.ndarray:
    """[M] largest intersection over union of each box with any prior."""
    from convoy.models.boxes import pairwise_iou

    parts = [boxes[i : i + AT_ONCE] for i in range(0, len(boxes), AT_ONCE)]
    return np.concatenate([pairwise_iou(part, priors).numpy().max(axis=1) for part in parts])

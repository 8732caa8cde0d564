"""Boxes where something may be, whatever it is: found by OpenCV's contributed part.

Papers: Uijlings 2013, Selective Search for Object Recognition, IJCV 104,
https://doi.org/10.1007/s11263-013-0620-5 (fast: two colour spaces and two grouping strategies;
quality: five and four);
Zitnick 2014, Edge Boxes: Locating Object Proposals from Edges, ECCV,
https://doi.org/10.1007/978-3-319-10602-1_26.

selective_search, selective_search_quality
    Pictures are brought to 500 px width before, as R-CNN does. OpenCV finds the same regions in
    every run, but in another order: here they are sorted by (rank of the area, the largest first) *
    (a number of 0..1 that the region's corners give), as the paper multiplies the rank in its
    hierarchy, which OpenCV does not tell, by a random number.
edge_boxes
    In the order of their scores. The paper's edges are those of a trained forest
    (https://github.com/opencv/opencv_extra has the file model.yml.gz: `edge_model`). Without a file
    they are gradients of the picture, thinned across the edge.

Differences from the papers: proposals that share all corners are one, and those without area are
left out.
"""

from __future__ import annotations

import numpy as np

METHODS = ("none", "selective_search", "selective_search_quality", "edge_boxes")
WIDTH_PX = 500  # R-CNN's, of the picture that is searched
OVERLAPS = (0.5, 0.7)  # intersection over union from which an object counts as proposed


class ProposalsError(RuntimeError):
    """No proposals can be made here; the message says why."""


def propose(
    pixels: np.ndarray, method: str, most: int, *, edge_model: str = "", width_px: int = WIDTH_PX
) -> np.ndarray:
    """[R, 4] float32 boxes of a picture, the first `most` by rank; the same in every run.

    pixels: uint8 RGB [H, W, 3]; boxes ymin, xmin, ymax, xmax in its pixels, none without area.
    method: of METHODS. Raises ProposalsError.
    """
    if method not in METHODS:
        raise ProposalsError(f"proposals: expected one of {', '.join(METHODS)}, got {method!r}")
    height, width = pixels.shape[:2]
    if method == "none" or min(height, width) < 1:
        return np.zeros((0, 4), np.float32)
    cv2 = _opencv()
    searched = max(1, round(height * width_px / width)), width_px
    interpolation = cv2.INTER_AREA if width_px < width else cv2.INTER_LINEAR
    small = cv2.resize(np.ascontiguousarray(pixels), searched[::-1], interpolation=interpolation)
    if method == "edge_boxes":
        rectangles = _edge_boxes(cv2, small, most, edge_model)
    else:
        rectangles = _selective_search(cv2, small, method == "selective_search_quality")
    x, y, w, h = rectangles.T.astype(np.float64)
    boxes = np.stack([y, x, y + h, x + w], axis=1)
    boxes *= np.array([height / searched[0], width / searched[1]] * 2)
    boxes = np.clip(boxes, 0, [height, width, height, width]).astype(np.float32)
    solid = (boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])
    return boxes[solid][:most]


def best_overlaps(boxes: np.ndarray, proposals: np.ndarray) -> np.ndarray:
    """[N] largest intersection over union of each of boxes [N, 4] with any of proposals [R, 4]."""
    if not len(proposals):
        return np.zeros(len(boxes), np.float64)
    boxes, proposals = (np.asarray(x, np.float64) for x in (boxes, proposals))
    low = np.maximum(boxes[:, None, :2], proposals[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], proposals[None, :, 2:])
    shared = np.prod(np.maximum(high - low, 0), axis=-1)
    areas, theirs = (
        np.prod(np.maximum(x[:, 2:] - x[:, :2], 0), axis=1) for x in (boxes, proposals)
    )
    union = areas[:, None] + theirs[None] - shared
    return np.max(shared / np.maximum(union, 1e-12), axis=1)


def _opencv():
    try:
        import cv2

        if not hasattr(cv2.ximgproc, "createEdgeBoxes"):
            raise ImportError("cv2.ximgproc is empty")
    except (ImportError, AttributeError) as error:
        raise ProposalsError(
            "OpenCV here lacks its contributed part, which finds proposals: expected the package "
            "opencv-contrib-python-headless<5 alone; where opencv-python-headless lies over it, "
            "uninstall both and install that one again"
        ) from error
    return cv2


def _selective_search(cv2, pixels: np.ndarray, quality: bool) -> np.ndarray:
    """[R, 4] (x, y, width, height) in the stable order."""
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(pixels[..., ::-1]))  # OpenCV's colours are BGR
    if quality:
        search.switchToSelectiveSearchQuality()
    else:
        search.switchToSelectiveSearchFast()
    return ranked(np.asarray(search.process(), np.int64).reshape(-1, 4))


def ranked(rectangles: np.ndarray) -> np.ndarray:
    """[R, 4] whole (x, y, width, height), in any order and repeated -> each once, in one order."""
    rectangles = np.unique(rectangles, axis=0)  # sorted by its corners
    areas = rectangles[:, 2] * rectangles[:, 3]
    rank = np.empty(len(rectangles))
    rank[np.argsort(-areas, kind="stable")] = np.arange(1, len(rectangles) + 1)
    return rectangles[np.argsort(rank * _chances(rectangles), kind="stable")]


def _chances(rectangles: np.ndarray) -> np.ndarray:
    """[R] numbers of 0..1 that whole [R, 4] give: SplitMix64, doi:10.1145/2660193.2660195."""
    mixed = np.zeros(len(rectangles), np.uint64)
    for column in rectangles.astype(np.uint64).T:
        mixed = mixed + column + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed = mixed ^ (mixed >> np.uint64(31))
    return (mixed >> np.uint64(11)).astype(np.float64) / 2.0**53


def _edge_boxes(cv2, pixels: np.ndarray, most: int, edge_model: str) -> np.ndarray:
    """[R, 4] (x, y, width, height) by falling score."""
    values = pixels.astype(np.float32) / 255
    if edge_model:
        try:
            forest = cv2.ximgproc.createStructuredEdgeDetection(edge_model)
        except cv2.error as error:
            raise ProposalsError(
                f"ingest.edge_model {edge_model}: OpenCV does not read it as a forest of "
                f"structured edges: {str(error).strip().splitlines()[-1]}"
            ) from error
        edges = forest.detectEdges(values)
        directions = forest.computeOrientation(edges)
        edges = forest.edgesNms(edges, directions)
    else:
        edges, directions = gradients(cv2, values)
    finder = cv2.ximgproc.createEdgeBoxes()
    finder.setMaxBoxes(max(1, most))
    found, _ = finder.getBoundingBoxes(edges, directions)
    return np.asarray(found, np.int64).reshape(-1, 4)


def gradients(cv2, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(strength 0..1 [H, W], direction across the edge in [0, pi) [H, W]) of values [H, W, 3].

    Sobel's differences of the channel where they are largest. A pixel keeps its strength where no
    neighbour across the edge is stronger: EdgeBoxes groups thin edges.
    """
    smooth = cv2.GaussianBlur(values, (0, 0), 1.0)
    dx, dy = (
        cv2.Sobel(smooth, cv2.CV_32F, *order).reshape(values.shape) for order in ((1, 0), (0, 1))
    )
    strength = np.hypot(dx, dy)
    channel = strength.argmax(axis=-1)[..., None]
    dx, dy, strength = (np.take_along_axis(x, channel, -1)[..., 0] for x in (dx, dy, strength))
    direction = np.mod(np.arctan2(dy, dx), np.pi)
    direction[direction >= np.pi] = 0.0  # rounding
    around = np.pad(strength, 1)
    eighth = np.round(direction / (np.pi / 4)).astype(int) % 4
    height, width = strength.shape
    rows, columns = np.indices((height, width)) + 1
    step_y, step_x = np.array([0, 1, 1, 1])[eighth], np.array([1, 1, 0, -1])[eighth]
    ahead, behind = around[rows + step_y, columns + step_x], around[rows - step_y, columns - step_x]
    thin = np.where((strength >= ahead) & (strength >= behind), strength, 0)
    return (thin / max(float(thin.max()), 1e-6)).astype(np.float32), direction.astype(np.float32)

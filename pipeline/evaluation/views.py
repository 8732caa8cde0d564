"""One answer about a picture that a model saw in several views: tiles, mirrored, larger, smaller.

    ask = views.of_model("served/birds")                       # or of_network(task, labels, limits)
    ask = views.augmented(ask, ("flip", 1.25), joining)        # test-time augmentation
    ask = views.tiled(ask, views.Tile(640, 640, 128), joining)  # a large picture, cut
    (answer,) = ask(pixels[None])

`ask` takes pictures of one size, uint8 [B, H, W, 3] RGB, and gives an answer without a batch axis
for each. The views are data/augment/tta.py's; how answers become one says the task's row: scores
are averaged, boxes are brought back into the picture and suppressed class by class.

Boxes at the border of a view that is not the picture's own are cut: they may hold a part of an
object. Whole boxes are preferred: a cut one comes in the order of suppression as if it had half its
score, and goes where a better box of its class overlaps it by more than the model's threshold or
holds most of it. So an object not larger than the overlap of tiles, which is whole in one of them,
is found once; a larger one may be found in the picture as a whole, which is one of the views.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from convoy.models import tasks
from convoy.pipeline.evaluation import overlap_tiles
from convoy.pipeline.evaluation.matching import overlap

if TYPE_CHECKING:
    from convoy.data.augment.tta import View
    from convoy.data.sample import Sample
    from convoy.models.spec import Task

Answer = dict[str, np.ndarray]
Ask = Callable[[np.ndarray], list[Answer]]
FLIP = "flip"
FACTORS = (0.25, 4.0)  # least and largest of a scale
TOGETHER = 8  # views of one size that are asked about at once
LEAST_TILE = 32  # pixels of a side
WHOLE = 4  # sides of a tile: the picture as a whole is made no larger than that
MOST_TILES = 10_000  # of one picture
CUT = 0.01  # of a view's side: a box that ends so near to its border is cut there
DISCOUNT = 0.5  # of the score of a cut box, in the order of suppression
HELD = 0.7  # part of a cut box inside a better one, from which on it goes


@dataclasses.dataclass(frozen=True)
class Tile:
    """How pictures are cut, in their pixels."""

    height: int
    width: int
    overlap: int  # of neighbours

    def __str__(self) -> str:
        return f"tiles of {self.height}x{self.width} pixels that share {self.overlap}"


def tile(size: int | tuple[int, int], overlap: int) -> Tile:
    """size: a square's side, or (height, width). Raises ValueError."""
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < LEAST_TILE:
        raise ValueError(f"expected a SIZE of at least {LEAST_TILE} pixels")
    if not 0 <= overlap < min(height, width):
        raise ValueError(
            "expected an OVERLAP smaller than the SIZE; about the size of the objects is best"
        )
    return Tile(height, width, overlap)


@dataclasses.dataclass(frozen=True)
class Joining:
    """What makes one answer of several: the task's name, its classes, its limits."""

    task: str
    labels: Sequence[str]
    iou_threshold: float = 0.5  # of "boxes"


def joining(task: str, labels: Sequence[str], limits: Mapping[str, Any]) -> Joining:
    """limits: of the task's decoding, or an export's report, which holds them."""
    known = limits.get("iou_threshold")
    return Joining(task, tuple(labels), **({} if known is None else {"iou_threshold": known}))


def check_words(words: Sequence[str | float]) -> tuple[str | float, ...]:
    """Test-time augmentation as people write it: "flip" and scales. Raises ValueError."""
    return tuple(_word(word) for word in words)


def _word(word: str | float) -> str | float:
    if word == FLIP:
        return FLIP
    try:
        factor = float(word)
    except (TypeError, ValueError):
        factor = 0.0
    if isinstance(word, bool) or not FACTORS[0] <= factor <= FACTORS[1]:
        least, most = FACTORS
        raise ValueError(f"expected flip and scales from {least:g} to {most:g}")
    return factor


def check_task(task: str, of: str = "views") -> None:
    """Raises ValueError where a task's answers about views, or "tiles", do not become one."""
    if not getattr(tasks.row(task), of):
        fit = " and ".join(name for name, row in tasks.TASKS.items() if getattr(row, of))
        raise ValueError(f"is for {fit}, the task is {task}")


def said(words: Sequence[str | float]) -> str:
    """As it is told beside numbers: "flip, 1.25"."""
    return ", ".join(word if isinstance(word, str) else f"{word:g}" for word in words)


def of_model(path: pathlib.Path) -> Ask:
    """An exported model, asked about pixels."""
    from convoy.serving import client

    answer = client.load_local_pixels(path)
    return lambda pictures: _apart(answer(pictures), len(pictures))


def of_network(task: Task, labels: Sequence[str], limits: Mapping[str, Any]) -> Ask:
    """A network in memory behind the same signature."""
    import tensorflow as tf

    from convoy.serving import signatures

    def network(images):
        return task.model(images, training=False)

    size = task.info.preprocess.size
    build = signatures.build(task, network, labels=labels, input_size=size, **limits)
    answer = build[signatures.TENSOR]

    def ask(pictures: np.ndarray) -> list[Answer]:
        answered = answer(tf.constant(pictures, tf.uint8))
        return _apart({name: value.numpy() for name, value in answered.items()}, len(pictures))

    return ask


def augmented(ask: Ask, words: Sequence[str | float], joining: Joining) -> Ask:
    """Asks about the picture as it is, at each scale, and with "flip" each of these mirrored.

    A scale is the size of objects in the network's input (tta.zooms). Of boxes not more are
    answered than the model answers of one view.
    """

    def views_of(picture: tuple[int, int]) -> list[View]:
        from convoy.data.augment import tta

        factors = [word for word in words if word not in (FLIP, 1.0)]
        views = [tta.identity(picture)]
        views += [view for factor in factors for view in tta.zooms(picture, factor)]
        return views + [tta.mirrored(view) for view in views] * (FLIP in words)

    return _several(ask, views_of, joining, limited=True)


def tiled(ask: Ask, tile: Tile, joining: Joining) -> Ask:
    """Asks about tiles, and for boxes also about the picture as a whole, made smaller.

    All boxes are answered, however many. Held at once are the picture, TOGETHER tiles and all boxes
    found. Label maps: overlap_tiles.py. Raises ValueError for a picture of more than MOST_TILES
    tiles.
    """
    if tasks.row(joining.task).tiles == "maps":
        size, classes = (tile.height, tile.width), len(joining.labels)
        return overlap_tiles.tiled(ask, size, tile.overlap, classes, MOST_TILES)

    def views_of(picture: tuple[int, int]) -> list[View]:
        from convoy.data.augment import tta

        size = (tile.height, tile.width)
        views = tta.tiles(picture, size, tile.overlap)
        if len(views) > MOST_TILES:
            raise ValueError(
                f"{tile}: the picture of {picture[0]}x{picture[1]} pixels has {len(views):,} of "
                f"them, more than {MOST_TILES:,}: take larger ones, or less overlap"
            )
        smaller = min(1.0, *(WHOLE * ours / side for ours, side in zip(size, picture, strict=True)))
        return views if len(views) == 1 else [*views, *tta.scales(picture, [smaller])]

    return _several(ask, views_of, joining, limited=False)


def pixels(encoded: bytes) -> np.ndarray:
    """uint8 [H, W, 3] of an encoded picture, by the decoder of served models."""
    import tensorflow as tf

    from convoy.serving import signatures

    return signatures.decode_picture(tf.constant(encoded), tf.constant(0)).numpy()


def answers(ask: Ask, records: pathlib.Path, split: str) -> Iterator[tuple[Sample, Answer]]:
    """Each sample of a split with the answer, as `predict.answers` gives a network's."""
    from convoy.data import tfrecord
    from convoy.data.example import decode
    from convoy.data.input.input import shards

    for shard in shards(records, split):
        for record in tfrecord.read(shard):
            sample = decode(record)
            yield sample, ask(pixels(sample.image)[None])[0]


def _several(ask: Ask, views_of: Callable, joining: Joining, limited: bool) -> Ask:
    join = {"mean": _mean, "boxes": _boxes}[tasks.row(joining.task).views]

    def answer(picture: np.ndarray) -> Answer:
        from convoy.data.augment import tta

        views = sorted(views_of(picture.shape[:2]), key=lambda view: view.size)
        answered = []
        for _, alike in itertools.groupby(views, lambda view: view.size):
            for some in _chunks(list(alike), TOGETHER):
                looks = [_bytes(tta.look(view, picture[None])) for view in some]
                # A view alone may be the whole of a large picture, which is not copied.
                answered += ask(np.concatenate(looks) if len(looks) > 1 else looks[0])
        return join(views, answered, joining, limited)

    return lambda pictures: [answer(picture) for picture in pictures]


def _mean(views: Sequence[View], answered: Sequence[Answer], joining: Joining, _) -> Answer:
    scores = np.mean([answer["scores"] for answer in answered], axis=0, dtype=np.float32)
    best = int(scores.argmax())
    name = joining.labels[best].encode()
    return {"scores": scores, "class_id": np.int64(best), "class_name": name}


def _boxes(
    views: Sequence[View], answered: Sequence[Answer], joining: Joining, limited: bool
) -> Answer:
    fields = [name for name in answered[0] if name != "num_detections"]
    found = {name: [] for name in fields}
    cuts = []
    for view, answer in zip(views, answered, strict=True):
        count = int(answer["num_detections"])
        for name in fields:
            found[name].append(answer[name][:count])
        found["boxes"][-1], cut = brought_back(view, found["boxes"][-1])
        cuts.append(cut)
    joined = {name: np.concatenate(parts) for name, parts in found.items()}
    kept = suppressed(
        joined["boxes"],
        joined["scores"],
        joined["classes"],
        np.concatenate(cuts),
        joining.iou_threshold,
    )
    if limited:
        kept = kept[: len(answered[0]["boxes"])]
    return {
        **{name: values[kept] for name, values in joined.items()},
        "num_detections": np.int32(len(kept)),
    }


def brought_back(view: View, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(boxes [D, 4] of a view in pixels of the picture, clipped to it; which [D] are cut)."""
    from convoy.data.augment import tta

    boxes = np.asarray(tta.boxes_back(view, boxes)).astype(np.float32).reshape(-1, 4)
    height, width = view.picture
    limits = np.array([height, width] * 2, np.float32)
    window = np.array(view.window, np.float32)
    sides = window[2:] - window[:2]
    near = np.abs(boxes - window) <= np.tile(np.maximum(CUT * sides, 1.0), 2)
    inside = np.concatenate([window[:2] > 0, window[2:] < limits[2:]])
    return np.clip(boxes, 0.0, limits), (near & inside).any(axis=1)


def suppressed(
    boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, cut: np.ndarray, iou: float
) -> np.ndarray:
    """Rows of [D] that stay, in falling order of score; the module says how cut boxes go."""
    rank = np.asarray(scores, np.float64) * np.where(cut, DISCOUNT, 1.0)
    kept = []
    for k in np.unique(classes):
        waiting = np.flatnonzero(classes == k)
        waiting = waiting[np.argsort(-rank[waiting], kind="stable")]
        while len(waiting):
            best, waiting = waiting[0], waiting[1:]
            kept.append(best)
            shared = overlap(boxes[waiting], boxes[best])[:, 0]
            held = overlap(boxes[waiting], boxes[best], np.array([True]))[:, 0]
            waiting = waiting[~((shared > iou) | (cut[waiting] & (held >= HELD)))]
    kept = np.sort(np.array(kept, np.int64))  # of equal scores the first
    return kept[np.argsort(-np.asarray(scores, np.float64)[kept], kind="stable")]


def _bytes(looks) -> np.ndarray:
    """uint8; a view that was resized is in floats."""
    values = np.asarray(looks)
    return values if values.dtype == np.uint8 else np.rint(values).astype(np.uint8)


def _apart(answered: Mapping[str, np.ndarray], count: int) -> list[Answer]:
    return [{name: values[n] for name, values in answered.items()} for n in range(count)]


def _chunks(items: list, size: int) -> list[list]:
    return [items[start : start + size] for start in range(0, len(items), size)]

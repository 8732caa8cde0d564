"""What is annotated in one picture, checked object by object, and the Sample made of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from convoy.data import masks
from convoy.data.frame import frame_of
from convoy.data.images import images
from convoy.data.sample import Reference, Sample


class Objects:
    """Collects the objects of a picture in the frame that they were annotated in.

    `size`: the (height, width) that the annotation states; `prefer`: "upright" or "stored", of a
    file whose tool is known; `scalable`: whether another size of the same ratio is scaled. Which
    frame is taken: data/frame.py. What the size does not tell, and what is scaled, is warned of.
    Raises BadSample size_mismatch.

    Left out with a warning: an object of an unknown class, with corners that enclose nothing, or
    wholly outside. Boxes are cut at the border, corners in another order put in order, and told.
    """

    def __init__(
        self,
        reference: Reference,
        picture: images.Picture,
        labels: Sequence[str],
        warn: Callable[[str, str], None],
        *,
        size: Sequence[float | None] | None = None,
        where: str = "",
        prefer: str = "",
        scalable: bool = True,
    ):
        self._warn, self._where = warn, where or reference.source_id
        prefer = prefer or reference.frame or "upright"
        frame = frame_of(picture, size, prefer, self._where, scalable)
        self.reference, self.picture, self.frame = reference, picture, frame
        self.height, self.width = frame.height, frame.width  # of the annotation
        self._class_ids = _index(tuple(labels))
        self._rows: list[dict] = []
        self._tell_frame()

    def _tell_frame(self) -> None:
        frame = self.frame
        if not frame.certain:
            told = (
                f"{self._where}: EXIF turns or mirrors the picture; taken as labelled {frame.name}"
            )
            self._warn(f"frame_{frame.name}", told)
        if frame.scaled:
            height, width = frame.turned.stored_size
            sizes = f"{self.width}x{self.height} pixels to the picture's {width}x{height}"
            self._warn("scaled_boxes", f"{self._where}: scaled from {sizes}")

    def __len__(self) -> int:
        return len(self._rows)

    def add(
        self,
        name: str,
        box: Sequence[float | None],
        *,
        difficult: bool = False,
        truncated: bool = False,
        crowd: bool = False,
        area: float | None = None,
        view: str = "",
        mask: np.ndarray | masks.Mask | None = None,
        keypoints: np.ndarray | None = None,
        actions: Sequence[int] = (),
        parts: Sequence[tuple[str, Sequence[float]]] = (),
    ) -> bool:
        """Whether the object was kept.

        box, and each part's: (ymin, xmin, ymax, xmax), continuous pixels. mask: [H, W], not 0 where
        the object is; kept as its PNG, so that one at a time is in memory. keypoints: [K, (y, x,
        visibility)]. area: pixels of the object; None = the mask's, or else the box's.
        """
        if name not in self._class_ids:
            self._warn("unknown_class", f"{self._where}: object {name!r} is not among the labels")
            return False
        clean = self._clean(name, box)
        if clean is None:
            return False
        if isinstance(mask, np.ndarray):
            mask = masks.of(mask)
        self._rows.append(
            {
                "box": clean,
                "class": self._class_ids[name],
                "difficult": difficult,
                "truncated": truncated,
                "crowd": crowd,
                "area": area,
                "view": view,
                "mask": None if mask is None else self.frame.mask(mask),
                "pixels": None if mask is None else np.count_nonzero(mask.values),
                "keypoints": keypoints,
                "actions": tuple(actions),
                "parts": [(n, b) for n, b in ((n, self._clean(n, b)) for n, b in parts) if b],
            }
        )
        return True

    def _clean(self, name: str, box) -> tuple[float, float, float, float] | None:
        if None in box:
            self._warn("missing_box", f"{self._where}: {name} has no complete box")
            return None
        ymin, xmin, ymax, xmax = self._ordered(name, *box)
        if ymax > ymin and xmax > xmin:
            if ymin >= 0 and xmin >= 0 and ymax <= self.height and xmax <= self.width:
                return ymin, xmin, ymax, xmax
            cut = max(ymin, 0), max(xmin, 0), min(ymax, self.height), min(xmax, self.width)
            reason = "clipped_box" if cut[2] > cut[0] and cut[3] > cut[1] else "outside_box"
            fault = "reaches" if reason == "clipped_box" else "lies"
            fault += f" outside the {self.width}x{self.height} picture"
        else:  # also for corners that are no numbers
            cut, reason, fault = None, "empty_box", "has no area"
        corners = f"[{ymin:g}, {xmin:g}, {ymax:g}, {xmax:g}]"
        self._warn(reason, f"{self._where}: {name} {corners} {fault}")
        return cut if reason == "clipped_box" else None

    def _ordered(self, name: str, ymin, xmin, ymax, xmax) -> tuple[float, float, float, float]:
        """The same two corners, the upper left first: some tools write the one drawn first."""
        if (ymax < ymin or xmax < xmin) and ymax != ymin and xmax != xmin:
            corners = f"[{ymin:g}, {xmin:g}, {ymax:g}, {xmax:g}]"
            self._warn("swapped_corners", f"{self._where}: {name} {corners}: corners put in order")
            return min(ymin, ymax), min(xmin, xmax), max(ymin, ymax), max(xmin, xmax)
        return ymin, xmin, ymax, xmax

    def sample(self, **extra) -> Sample:
        """The Sample; `extra` are further fields of it, for the upright picture."""
        rows, frame = self._rows, self.frame
        column = {key: [row[key] for row in rows] for key in _COLUMNS}
        boxes = np.array(column["box"], np.float32).reshape(-1, 4)
        parts = [(name, box, i) for i, row in enumerate(rows) for name, box in row["parts"]]
        part_boxes = np.array([box for _, box, _ in parts], np.float32).reshape(-1, 4)
        fields = {
            "labels": np.array(sorted(set(column["class"])), np.int64),
            "boxes": frame.boxes(boxes),
            "classes": np.array(column["class"], np.int64),
            "difficult": np.array(column["difficult"], bool),
            "truncated": np.array(column["truncated"], bool),
            "crowd": np.array(column["crowd"], bool),
            "areas": self._areas(boxes, column),
            "views": tuple(column["view"]) if any(column["view"]) else (),
            "masks": self._masks(column["mask"]),
            "keypoints": self._keypoints(column["keypoints"]),
            "actions": _stack(column["actions"]),
            "part_boxes": frame.boxes(part_boxes),
            "part_names": tuple(name for name, _, _ in parts),
            "part_owners": np.array([owner for _, _, owner in parts], np.int64),
        }
        return sample_of(self.reference, self.picture, **{**fields, **extra})

    def _areas(self, boxes: np.ndarray, column) -> np.ndarray:
        if all(value is None for value in (*column["area"], *column["pixels"])):
            return np.zeros(0, np.float32)
        of_boxes = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
        rows = zip(column["area"], column["pixels"], of_boxes, strict=True)
        areas = [a if a is not None else b if n is None else n for a, n, b in rows]
        scale_y, scale_x = self.frame.scale
        return np.array(areas, np.float32) * np.float32(scale_y * scale_x)

    def _masks(self, pngs: list[bytes | None]) -> tuple[bytes, ...]:
        if all(png is None for png in pngs):
            return ()
        empty = self.frame.mask(masks.Mask(np.zeros((0, 0), np.uint8), 0, 0))
        return tuple(empty if png is None else png for png in pngs)

    def _keypoints(self, per_object: list) -> np.ndarray:
        count = max((len(points) for points in per_object if points is not None), default=0)
        if not count:
            return np.zeros((0, 0, 3), np.float32)
        stacked = np.zeros((len(per_object), count, 3), np.float32)
        for row, points in zip(stacked, per_object, strict=True):
            if points is not None:
                row[: len(points)] = points
        labelled = stacked[..., 2:] > 0
        moved = np.concatenate([self.frame.points(stacked[..., :2]), stacked[..., 2:]], -1)
        limit = self.picture.height, self.picture.width
        beyond = ((moved[..., :2] < 0) | (moved[..., :2] > limit)).any(-1) & labelled[..., 0]
        for index in np.flatnonzero(beyond.any(1)):
            number = int(beyond[index].sum())
            told = f"{self._where}: {number} of {count} keypoints of object {index + 1} lie outside"
            self._warn("outside_keypoints", f"{told} the picture; kept, but not learnt")
        return np.where(labelled, moved, 0).astype(np.float32)


_COLUMNS = (
    "box",
    "class",
    "difficult",
    "truncated",
    "crowd",
    "area",
    "view",
    "mask",
    "pixels",
    "keypoints",
    "actions",
)


def sample_of(reference: Reference, picture: images.Picture, **fields) -> Sample:
    """The Sample of a picture with these further fields."""
    return Sample(
        source_id=reference.source_id,
        split=reference.split,
        image=picture.image,
        height=picture.height,
        width=picture.width,
        **fields,
    )


@functools.lru_cache(maxsize=8)
def _index(labels: tuple[str, ...]) -> dict[str, int]:
    return {name: index for index, name in enumerate(labels)}


def _stack(rows: list[tuple[int, ...]]) -> np.ndarray:
    """[N, A]; -1 where nothing is said of an action."""
    count = max(map(len, rows), default=0)
    return np.array([[*row, *[-1] * (count - len(row))] for row in rows], np.int64).reshape(
        len(rows) if count else 0, count
    )

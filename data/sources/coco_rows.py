"""The rows of one picture of COCO: checked, merged by annotation id, and made into a Sample."""

from __future__ import annotations

import io
import json

import numpy as np
import PIL.Image

from convoy.data import masks
from convoy.data.files import files, json_stream
from convoy.data.images import images
from convoy.data.objects import Objects
from convoy.data.sample import BadSample, Reference, Sample
from convoy.data.sources.coco_json import WHOLE_BODY, key_of


def sample(reference: Reference, labels, max_pixels: int, warn) -> Sample:
    """The Sample of a Reference of coco.scan. Raises BadSample."""
    size, parts, layout, panoptic = reference.annotation
    picture = images.load(reference.image, max_pixels)
    objects = Objects(reference, picture, labels, warn, size=size)
    rows, captions, segments = [], [], []
    for categories, raw, relative in parts:
        names = dict(categories)
        for row in (_parse(text, reference.source_id) for text in raw):
            if isinstance(row.get("segments_info"), list):
                segments += [(s, names) for s in row["segments_info"] if isinstance(s, dict)]
            elif "caption" in row:
                captions.append(row["caption"])
            else:
                rows.append((_in_pixels(row, objects) if relative else row, names))
    for row, names in _merged(rows):
        _add(objects, row, _name(row, names), layout, reference.source_id, warn)
    texts = [json_stream.plain(c).strip() for c in captions if isinstance(c, str) and c.strip()]
    if len(texts) < len(captions):
        warn("bad_caption", f"{reference.source_id}: a caption is empty or no text")
    segmentation = b""
    if panoptic:
        segmentation = _panoptic(objects, segments, panoptic, reference.source_id, warn)
    return objects.sample(captions=tuple(texts), segmentation=segmentation)


def _parse(raw: bytes, source_id: str) -> dict:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadSample("corrupt_annotation", f"{source_id}: {error}") from None


def content(raw: bytes) -> str:
    """A row but for its ids, equal for equal annotations."""
    try:
        row = json.loads(raw)
    except (ValueError, RecursionError):
        return repr(raw)
    return json.dumps({k: v for k, v in row.items() if k not in ("id", "image_id")}, sort_keys=True)


def _in_pixels(row: dict, objects: Objects) -> dict:
    """A row whose box and polygons are parts of the picture's size."""
    sides = objects.width, objects.height

    def scaled(values):
        if isinstance(values, list) and values and all(map(_number, values)):
            return [value * sides[i % 2] for i, value in enumerate(values)]
        return [scaled(inner) for inner in values] if isinstance(values, list) else values

    row = {**row, **{key: scaled(row[key]) for key in ("bbox", "segmentation") if key in row}}
    if _number(row.get("area")):
        row["area"] *= sides[0] * sides[1]
    return row


def _merged(rows: list[tuple[dict, dict]]) -> list[tuple[dict, dict]]:
    """Rows of keypoints given to the rows without any that have the same id and category."""
    plain: dict[tuple[str | None, str], dict] = {}
    merged, pointed = [], []
    for row, names in rows:
        key = key_of(row.get("id")), _name(row, names)
        if _has_points(row):
            pointed.append((key, row, names))
        else:
            row = dict(row)
            merged.append((row, names))
            plain.setdefault(key, row)
    for key, row, names in pointed:
        target = plain.get(key) if key[0] is not None else None
        if target is None or _has_points(target):
            merged.append((row, names))
        else:
            fields = ("keypoints", *(name for name, _ in WHOLE_BODY))
            target.update({name: row[name] for name in fields if name in row})
    return merged


def _has_points(row: dict) -> bool:
    return bool(row.get("keypoints")) or any(name in row for name, _ in WHOLE_BODY)


def _name(row: dict, names: dict[str, str]) -> str:
    key = key_of(row.get("category_id"))
    return names.get(key) or f"category_id {row.get('category_id')!r}"


def _add(objects: Objects, row: dict, name: str, layout, where: str, warn) -> None:
    points = _points(row, layout, where, warn)
    box = corners(row.get("bbox"))
    if box is None and "bbox" not in row and points is not None:
        labelled = points[points[:, 2] > 0, :2]
        if len(labelled):
            box = (*map(float, labelled.min(axis=0)), *map(float, labelled.max(axis=0)))
    area = row.get("area")
    objects.add(
        name,
        box or (None,) * 4,
        crowd=row.get("iscrowd") in (1, True, "1"),
        area=float(area) if _number(area) and area > 0 else None,
        mask=_mask(row.get("segmentation"), objects, f"{where}: {name}", warn),
        keypoints=points,
    )


def corners(bbox) -> tuple[float, float, float, float] | None:
    """[x, y, width, height] -> (ymin, xmin, ymax, xmax); None for what is no box."""
    if not (isinstance(bbox, list) and len(bbox) == 4 and all(map(_number, bbox))):
        return None
    x, y, width, height = map(float, bbox)
    return y, x, y + max(height, 0.0), x + max(width, 0.0)


def _number(value) -> bool:
    """Also not NaN, and of a size that float32 holds."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e9


def _mask(segmentation, objects: Objects, where: str, warn) -> np.ndarray | masks.Mask | None:
    """Of polygons or a run-length encoding; None where there is none that can be used."""
    if not segmentation:
        return None
    height, width = objects.height, objects.width
    if isinstance(segmentation, dict):
        try:
            return masks.from_rle(segmentation, height, width)
        except ValueError as error:
            warn("bad_segmentation", f"{where}: {error}")
            return None
    if not isinstance(segmentation, list):
        warn("bad_segmentation", f"{where}: expected polygons, got {type(segmentation).__name__}")
        return None
    if not isinstance(segmentation[0], (list, dict)):  # one polygon, not in a list
        segmentation = [segmentation]
    mask = masks.of_polygons([], height, width)
    usable = 0
    for polygon in segmentation:
        try:
            mask = masks.united(mask, masks.of_polygons([polygon], height, width))
            usable += 1
        except ValueError as error:
            warn("bad_segmentation", f"{where}: {error}")
    return mask if usable else None


def _points(row: dict, layout, where: str, warn) -> np.ndarray | None:
    """[K, (y, x, visibility)] of a row; zeros where it says nothing; None without keypoints."""
    count, whole = layout
    if not count:
        return None
    lists = [("keypoints", count), *(WHOLE_BODY if whole else ())]
    pieces = []
    for name, points in lists:
        values = row.get(name) or []
        piece = np.zeros((points, 3), np.float32)
        fits = isinstance(values, list) and len(values) % 3 == 0 and len(values) <= 3 * points
        if not fits or not all(map(_number, values)):
            warn("bad_keypoints", f"{where}: {name} is no list of up to {points} x, y, visibility")
        elif values:
            x, y, visibility = np.array(values, np.float32).reshape(-1, 3).T
            piece[: len(x)] = np.stack([y, x, np.ceil(np.clip(visibility, 0, 2))], axis=-1)
        pieces.append(piece)
    return np.concatenate(pieces)


def _panoptic(objects: Objects, segments, panoptic, where: str, warn) -> bytes:
    """The segmentation PNG; adds the segments of things as objects where they are wanted."""
    png, classes, things = panoptic
    ids = segment_ids(png, (objects.height, objects.width))
    places = {category: (value, thing) for category, value, thing in classes}
    values = np.full(ids.shape, 255, np.uint8)
    for segment, names in segments:
        category, number = key_of(segment.get("category_id")), segment.get("id")
        if category not in places:
            warn("unknown_class", f"{where}: segment of category_id {segment.get('category_id')!r}")
            continue
        mask = ids == number if isinstance(number, int) and number else None
        if mask is None or not mask.any():
            warn("bad_segmentation", f"{where}: segment {number!r} is not in {files.name_of(png)}")
            continue
        value, thing = places[category]
        values[mask] = value
        if things and thing:
            rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
            around = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
            objects.add(
                names[category],
                corners(segment.get("bbox")) or tuple(map(float, around)),
                crowd=segment.get("iscrowd") in (1, True),
                area=float(np.count_nonzero(mask)),
                mask=mask,
            )
    return images.encode(objects.frame.raster(values))


def segment_ids(where: files.Where, size: tuple[int, int]) -> np.ndarray:
    """int [H, W]: R + 256 G + 65536 B of a panoptic PNG; 0 is unlabelled.

    Raises BadSample bad_segmentation.
    """
    try:
        data = images.load(where, label=True).image
    except BadSample as error:
        raise BadSample("bad_segmentation", error.detail) from None
    values = np.asarray(PIL.Image.open(io.BytesIO(data)), np.int64)
    if values.shape != (*size, 3):
        detail = f"{files.name_of(where)}: expected an RGB PNG of {size}, got {values.shape}"
        raise BadSample("bad_segmentation", detail)
    return values @ np.array([1, 256, 65536])

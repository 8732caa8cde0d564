"""Label Studio's JSON: a list of tasks with annotations, or JSON-MIN, a list of flat objects.

Rectangles, ellipses and polygons are percent of the picture; those that are turned, ellipses and
polygons give masks. Brushes, key points and the like are left out with a warning. Choices are
classes of pictures, used where no picture has a shape. Of several annotations of a task the first
that was not cancelled counts, which is noted; predictions are not used. Pictures are found by what
their address means: uploads (1a2b3c4d-name.jpg), %20, local files (?d=folder/name.jpg).

Format: https://labelstud.io/guide/task_format and https://labelstud.io/guide/export
"""

from __future__ import annotations

import math
from typing import Any

from convoy.data import masks
from convoy.data.files import files
from convoy.data.sample import Listing
from convoy.data.sources import Options, SourceError, annotated, stated
from convoy.data.sources.annotated import Page, Shape, read

__all__ = ["detect", "read", "scan"]

_PROBE = 20  # tasks that detect looks at


def detect(tree: files.Tree) -> bool:
    """A JSON list of tasks."""
    return annotated.any_json(tree, _is_ours)


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of every file. Raises SourceError."""
    tree = files.tree(path)
    rejected: list[tuple[str, str, str]] = []
    pages, notes, several, empty = [], [], 0, 0
    for name, content in annotated.contents(tree, annotated.json_names(tree), _is_ours, rejected):
        for number, task in enumerate(content):
            file = _picture(task)
            if not file:
                detail = f"{name}: task {number} names no picture"
                rejected.append((f"{name}#{number}", "missing_image", detail))
                continue
            results, given = _results(task)
            several += given > 1
            if not given:
                empty += 1
                continue
            pages.append(_page(name, file, results))
    if not pages:
        found = f"; {empty} tasks have no annotation" if empty else ", found none"
        raise SourceError(
            f"{tree.root}: expected Label Studio's JSON with annotated tasks{found}. Of another "
            "tool? Say which with --format"
        )
    if several:
        notes.append(f"{several} tasks have several annotations: the first of each is taken")
    if empty:
        notes.append(f"{empty} tasks have no annotation, and are not used")
    return annotated.listing(tree, pages, options, rejected=rejected, notes=notes)


def _is_ours(content: Any) -> bool:
    if not isinstance(content, list) or not content:
        return False
    return any(
        isinstance(task, dict)
        and bool(_picture(task))
        and (isinstance(task.get("annotations"), list) or _flat(task) != [])
        for task in content[:_PROBE]
    )


def _picture(task: Any) -> str:
    """The address of the task's picture; "" where there is none."""
    if not isinstance(task, dict):
        return ""
    data = task.get("data") if isinstance(task.get("data"), dict) else task
    texts = [v for v in data.values() if isinstance(v, str) and len(v) < 4096]
    named = (
        n for text in texts for n in stated.alternatives(text.strip()) if files.names_picture(n)
    )
    first = next(named, "")
    return next((t.strip() for t in texts if first and first in stated.alternatives(t.strip())), "")


def _flat(task: dict) -> list[dict]:
    """The results of JSON-MIN: lists of values that know their picture's size, and choices."""
    found = []
    for value in task.values():
        for item in value if isinstance(value, list) else []:
            if isinstance(item, dict) and "original_width" in item:
                found.append({"value": item, **item})
    choice = task.get("choice")
    if isinstance(choice, str):
        found.append({"value": {"choices": [choice]}})
    elif isinstance(choice, dict) and isinstance(choice.get("choices"), list):
        found.append({"value": choice})
    return found


def _results(task: dict) -> tuple[list[dict], int]:
    """The results of the annotation that counts, and how many annotations there are."""
    rows = task.get("annotations")
    if not isinstance(rows, list):
        flat = _flat(task)
        return flat, int("annotation_id" in task or bool(flat))
    valid = [row for row in rows if isinstance(row, dict) and not row.get("was_cancelled")]
    if not valid:
        return [], 0
    results = valid[0].get("result")
    results = results if isinstance(results, list) else []
    return [row for row in results if isinstance(row, dict)], len(valid)


def _page(name: str, file: str, results: list[dict]) -> Page:
    shapes, faults, classes, size = [], [], [], None
    for number, row in enumerate(results):
        value = row.get("value")
        value = value if isinstance(value, dict) else {}
        where = f"{name}: {file}: result {number}"
        if isinstance(value.get("choices"), list):
            classes += filter(None, map(annotated.text, value["choices"]))
            continue
        sides = annotated.whole(row.get("original_height"), row.get("original_width"))
        size = size or sides
        try:
            shape = _shape(value, sides)
        except ValueError as error:
            faults.append(("bad_segmentation", f"{where}: {error}"))
            continue
        if shape is None:
            kind = str(row.get("type", "result"))[:40]
            faults.append(("unsupported_shape", f"{where}: {kind!r} is not read"))
        else:
            shapes.append(shape)
    return Page(file, name, tuple(shapes), tuple(classes), size=size, faults=tuple(faults))


def _shape(value: dict, size: tuple[int, int] | None) -> Shape | None:
    """Parts of the picture's size; None for what has no area. Raises ValueError."""
    label = next((annotated.text(v[0]) for key, v in value.items()
                  if key.endswith("labels") and isinstance(v, list) and v), "")  # fmt: skip
    if not label:
        if "width" in value or "points" in value or "radiusX" in value:
            raise ValueError("a shape without a class")
        return None
    if isinstance(value.get("points"), list):
        points = [annotated.numbers(point, 2) for point in value["points"]]
        if len(points) < 3:
            raise ValueError(f"a polygon of {len(points)} points")
        ring = tuple(v / 100 for point in points for v in point)
        return Shape(label, outlines=(ring,), relative=True)
    turned = annotated.numbers([value.get("rotation") or 0])[0]
    if "radiusX" in value:
        keys = ("x", "y", "radiusX", "radiusY")
        x, y, rx, ry = annotated.numbers([value.get(key) for key in keys])
        height, width = _sides(size) if turned else (size or (100, 100))
        ring = masks.ellipse(y / 100 * height, x / 100 * width, ry / 100 * height,
                             rx / 100 * width, math.radians(turned))  # fmt: skip
        return Shape(label, outlines=(_parts(ring, height, width),), relative=True)
    if "width" not in value or "height" not in value:
        return None
    sides = annotated.numbers([value.get(key) for key in ("x", "y", "width", "height")])
    if not turned:
        box = tuple(v / 100 for v in annotated.from_corner(sides))
        return Shape(label, box, relative=True)
    height, width = _sides(size)
    x, y = sides[0] / 100 * width, sides[1] / 100 * height  # the corner it is turned around
    dx, dy, angle = sides[2] / 100 * width, sides[3] / 100 * height, math.radians(turned)
    cos, sin = math.cos(angle), math.sin(angle)
    corners = ((0, 0), (dx, 0), (dx, dy), (0, dy))
    ring = [v for a, b in corners for v in (x + a * cos - b * sin, y + a * sin + b * cos)]
    return Shape(label, outlines=(_parts(ring, height, width),), relative=True)


def _sides(size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        raise ValueError("a turned shape without original_width and original_height")
    return size


def _parts(ring, height: float, width: float) -> tuple[float, ...]:
    return tuple(v / (height if i % 2 else width) for i, v in enumerate(ring))

"""Boxes in tables: four columns in any of their usual orders, one cell, or JSON.

Columns say by their names what they are: corners, or a corner (or the centre) and the sides. One
cell "[x, y, w, h]" holds a corner and the sides, as COCO and Kaggle's sets have it, unless its
column's name says xyxy, or sides would leave the picture whose size other columns state. JSON is
what Label Studio writes: rectangles in percent of `original_width` and `original_height`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from convoy.data.sample import BadSample
from convoy.data.sources.number import commas, finite

CORNERS, SIDES, CENTRE = "corners", "sides", "centre"
# (ymin, xmin, ymax, xmax), (ymin, xmin, height, width), (y, x of the centre, height, width)
_EDGES = (
    ("ymin", "xmin", "ymax", "xmax"),
    ("y1", "x1", "y2", "x2"),
    ("top", "left", "bottom", "right"),
    ("miny", "minx", "maxy", "maxx"),
    ("y0", "x0", "y1", "x1"),
)
_STARTS = (("y", "x"), ("top", "left"), ("ymin", "xmin"), ("y1", "x1"), ("miny", "minx"))
_STARTS += (("topy", "leftx"), ("y0", "x0"))
_MIDDLES = (("ycenter", "xcenter"), ("centery", "centerx"), ("ycentre", "xcentre"))
_MIDDLES += (("centrey", "centrex"), ("cy", "cx"), ("yc", "xc"), ("ymid", "xmid"))
_SIDES = (("h", "w"), ("height", "width"))
_CELLS = ("bbox", "box", "boundingbox", "bboxes", "boxes", "xywh", "xyxy", "coordinates", "rect")
# Names of columns that are a part of a box; what is left of them is not passed over in silence.
_PARTS = re.compile(
    r"[xy](min|max|[0-9]|cent(er|re)|mid)?|(min|max|cent(er|re)|top|bottom|left|right)[xy]?"
    r"|c[xy]|[xy]c|[wh]|d[xy]|bbox.*|box.*|boundingbox.*|rect.*|xywh|xyxy"
    r"|(col|column|row)(min|max|start|end)|[xy](start|end|from|to)|(start|end)[xy]"
)


class Box(NamedTuple):
    """Where a row's box is, and how it is written."""

    columns: tuple[int, ...]  # four, or the one of a cell
    form: str = CORNERS


def key_of(header: str) -> str:
    """A column's name as it is looked up: letters and digits, without a leading bbox."""
    return re.sub(r"^(bbox|box)(?=.)", "", re.sub(r"[\W_]", "", header.lower()))


def of_header(place: Mapping[str, int], header: Sequence[str], some: list[list[str]]) -> Box | None:
    """The columns of the box by their names' keys; `some` rows tell what a cell holds."""
    for names in _EDGES:
        if all(name in place for name in names):
            return Box(tuple(place[name] for name in names))
    for starts, form in ((_MIDDLES, CENTRE), (_STARTS, SIDES)):
        for start in starts:
            for sides in _SIDES:
                if all(name in place for name in (*start, *sides)):
                    return Box(tuple(place[name] for name in (*start, *sides)), form)
    for name in _CELLS:
        index = place.get(name, -1)
        if index >= 0 and any(four(row[index]) for row in some if index < len(row)):
            said = re.sub(r"[\W_]", "", header[index].lower())
            return Box((index,), CORNERS if "xyxy" in said or "x2" in said else SIDES)
    return None


def is_part(key: str) -> bool:
    """Whether a column of this key would be a part of a box."""
    return bool(_PARTS.fullmatch(key))


def four(text: str) -> list[float] | None:
    """The numbers of a cell such as "[10, 4, 20, 10]", "10 4 20 10" or "(10;4;20;10)"."""
    parts = [part for part in re.split(r"[\s,;]+", text.strip("[](){} \t")) if part]
    numbers = [finite(part) for part in parts]
    return numbers if len(numbers) == 4 and None not in numbers else None


def box_of(where: str, cells: Sequence[str], box: Box) -> list[float] | None:
    """[ymin, xmin, ymax, xmax] of a row, None where its cells are empty. Raises BadSample."""
    texts = [cells[index] for index in box.columns]
    if not any(texts):
        return None
    if len(texts) == 1:
        numbers = four(texts[0])
        # A cell has x before y.
        found = numbers and [numbers[1], numbers[0], numbers[3], numbers[2]]
    else:
        found = [finite(text) for text in texts]
    if not found or None in found:
        detail = f"{where}: expected four numbers as the box, got {', '.join(texts)!r}"
        detail += commas(texts)
        raise BadSample("corrupt_annotation", detail)
    y, x, a, b = found
    if box.form != CORNERS:
        a, b = max(a, 0.0), max(b, 0.0)  # a side below 0 encloses nothing
    if box.form == CENTRE:
        return [y - a / 2, x - b / 2, y + a / 2, x + b / 2]
    return [y, x, y + a, x + b] if box.form == SIDES else found


def settle(box: Box, rows: Sequence[Sequence[str]], size: tuple[int, ...]) -> tuple[Box, str]:
    """(the box as all rows have it, what was decided and by which rule) of one cell's numbers.

    size: the columns of the picture's height and width, if there are any.
    """
    if len(box.columns) > 1 or box.form == CORNERS:
        return box, ""
    (column,) = box.columns
    leave = backwards = 0
    for cells in rows:
        numbers = four(cells[column]) if column < len(cells) else None
        if not numbers:
            continue
        x, y, a, b = numbers
        backwards += a <= x or b <= y
        if size and max(size) < len(cells):
            height, width = (finite(cells[index]) for index in size)
            leave += bool(height and width and (x + a > width + 1 or y + b > height + 1))
    if leave and not backwards:
        why = "corners: as x, y, width, height some would leave the picture"
        return box._replace(form=CORNERS), why
    known = "" if backwards else "x, y, width, height: as corners they would be boxes, too"
    return box, known


def is_json(text: str) -> bool:
    return text[:1] in ("[", "{") and text[-1:] in ("]", "}")


def rectangles(where: str, text: str) -> list[tuple[str, tuple[float, ...]]]:
    """(class, box in pixels) of each rectangle of a Label Studio cell. Raises BadSample."""
    try:
        items = json.loads(text)
        found = []
        for item in items if isinstance(items, list) else [items]:
            (name,) = item["rectanglelabels"]
            width, height = float(item["original_width"]), float(item["original_height"])
            x, y, w, h = (float(item[key]) / 100 for key in ("x", "y", "width", "height"))
            corners = [(0.0, 0.0), (w * width, 0.0), (0.0, h * height), (w * width, h * height)]
            turn = math.radians(float(item.get("rotation") or 0))
            xs = [x * width + a * math.cos(turn) - b * math.sin(turn) for a, b in corners]
            ys = [y * height + a * math.sin(turn) + b * math.cos(turn) for a, b in corners]
            edges = (min(ys), min(xs), max(ys), max(xs))
            if not all(map(math.isfinite, edges)):
                raise ValueError("a number is not finite")
            found.append((str(name), edges))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        detail = (
            f"{where}: expected Label Studio's rectangles, x, y, width, height, original_width, "
            f"original_height and one of rectanglelabels, got {text[:80]!r} ({error!r:.60})"
        )
        raise BadSample("corrupt_annotation", detail) from None
    return found

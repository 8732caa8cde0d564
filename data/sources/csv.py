"""CSV tables of labelled pictures: boxes, one label or several per picture, or a column per class.

* Boxes, one row per object: filename, width, height, class, xmin, ymin, xmax, ymax, as TensorFlow's
  detection tutorials have them; x1, y1, x2, y2, class without header, as RetinaNet's have them,
  where empty cells mean a picture without objects; and the other ways of csv_boxes.py. Corners are
  continuous pixels (TensorFlow divides xmin by the width); all between 0 and 1 are parts of the
  size.
* path,label; or path,label1|label2 with "|", ";" or "," between, or blanks where the parts are
  fewer than what they make up.
* path, then a column of 0 and 1 for each class (Roboflow's _classes.csv).
* path, then the columns of data.attributes, each one property: the classes are COLUMN=VALUE, an
  empty cell says nothing of its property.

Rows of one picture belong together. A column Confidence of 0 says that the class was looked for and
is not there, as in Open Images: such a row gives no class. Splits: a column split or set, else the
table's name (train.csv) or folder, else the picture's folder, unless it is called as its class is,
else a hash. What columns mean, and how pictures are found: data/sources/csv_table.py.
"""

from __future__ import annotations

import collections
import posixpath
from collections.abc import Iterable

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import Objects, sample_of
from convoy.data.sample import BadSample, Listing, Reference, Sample, Told
from convoy.data.sources import Options, SourceError, csv_boxes, csv_table, csv_told, ignore
from convoy.data.sources.csv_index import Index
from convoy.data.sources.csv_table import Table
from convoy.data.sources.layout import pictures, split_of
from convoy.data.sources.number import commas, finite
from convoy.data.sources.numbered import in_order
from convoy.data.sources.split import SPLITS, hashed_split

OBJECT = "object"  # the class of boxes without one
_UNSURE = "Confidence between 0 and 1: taken as there"


def detect(tree: files.Tree) -> bool:
    """A table whose columns are understood."""
    tables, picture_names = csv_table.names(tree), pictures(tree)
    if not tables or not picture_names:
        return False
    index = Index(tree, picture_names)
    for name in tables:
        try:
            if csv_table.read(tree, name, index, whole=False).columns:
                return True
        except SourceError:  # reported by scan
            continue
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists the pictures of all tables that are understood. Raises SourceError."""
    tree = files.tree(path)
    picture_names = pictures(tree)
    index = Index(tree, picture_names)
    tables = [
        csv_table.read(tree, name, index, attributes=options.attributes)
        for name in csv_table.names(tree)
    ]
    understood = [table for table in tables if table.columns]
    if not understood:
        reasons = "; ".join(f"{table.name}: {table.why}" for table in tables[:5]) or "no table"
        raise SourceError(
            f"{tree.root}: expected a CSV with a column of pictures and columns class, or class "
            f"and xmin, ymin, xmax, ymax, or 0 and 1 for each class; found {reasons}"
        )
    rejected: list[tuple[str, str, str]] = []
    groups: dict[tuple[str, str], list] = collections.defaultdict(list)
    separator = _separator(understood)
    for table in understood:
        for split, name, row in _entries(table, index, separator, rejected):
            split = split or _split_of(name, row)
            split = split or hashed_split(name, options.holdout, options.seed)
            groups[split, name].append(row)
    relative = _relative(groups.values())
    absent, unsure = _confidences(understood)
    multi_label = separator is not None or bool(absent)
    labels = options.labels or _labels(understood, groups.values())
    if not labels:
        raise SourceError(
            f"{tree.root}: {understood[0].name} names no class in any row; expected a column class "
            f"or label, and boxes as numbers with a point; row {understood[0].rows[0][0]} is "
            f"{understood[0].rows[0][1]}{commas(understood[0].rows[0][1])}"
        )
    references = []
    for (split, name), rows in sorted(groups.items()):
        annotation, problem = _annotation(rows, labels, relative, multi_label)
        if problem:
            rejected.append((name, *problem))
        else:
            references.append(Reference(name, split, tree.where(name), annotation))
    notes = [f"{t.name} is not used: {t.why}" for t in tables if not t.columns]
    for table in tables:
        if not table.columns:
            tree.pass_over(table.name, table.why)
    _contradiction(tree, groups, multi_label)
    refused = {name for name, *_ in rejected}
    unused = len(set(picture_names) - {name for _, name in groups} - refused)
    if unused:
        notes.append(f"{unused} pictures are in no table, and are not used")
    notes += [
        f"{t.name}: columns that are not used: {', '.join(t.spare)}" for t in understood if t.spare
    ]
    if relative:
        notes.append("all corners are between 0 and 1: taken as parts of the picture's size")
    return Listing(
        tuple(references),
        labels,
        tuple(sorted(rejected)),
        notes=tuple(notes),
        unused=(Told("rows", absent, "Confidence 0: known to be absent"),) if absent else (),
        ambiguous=(
            *csv_told.two_ways(understood),
            *([Told("rows", unsure, _UNSURE)] if unsure else ()),
            *csv_told.several(groups, separator, absent > 0),
            *csv_told.in_folders(tree, groups),
        ),
    )


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One picture with its classes or objects. Raises BadSample."""
    size, relative, rows = reference.annotation
    picture = images.load(reference.image, max_pixels)
    if size is None:
        place = {name: number for number, name in enumerate(labels)}
        for where, name in rows:
            if name not in place:
                warn("unknown_class", f"{where}: {name!r} is not among the labels")
        classes = sorted({place[name] for _, name in rows if name in place})
        return sample_of(reference, picture, labels=np.array(classes, np.int64))
    objects = Objects(reference, picture, labels, warn, size=size)
    scale = (objects.height, objects.width) * 2 if relative else (1, 1, 1, 1)
    for name, box in rows:
        objects.add(name, [edge * by for edge, by in zip(box, scale, strict=True)])
    return objects.sample()


def _entries(table: Table, index, separator: str | None, rejected: list):
    """(split or None, picture, row) of each row; a row is (where, size, [(class, box or None)])."""
    columns, folder = table.columns, posixpath.dirname(table.name)
    default = csv_table.split_of_table(table.name)
    bad: dict[str, tuple] = {}
    entries = []
    for number, cells in table.rows:
        where = f"{table.name} row {number}"
        if len(cells) < table.count:
            detail = f"{where}: expected {table.count} cells, got {len(cells)}"
            text = cells[columns.picture] if columns.picture < len(cells) else ""
            name = index.find(text, folder, default) or where
            bad[name] = ("corrupt_annotation", detail)
            continue
        split = default
        if columns.split >= 0:
            said = cells[columns.split].lower().replace("unassigned", "")  # AutoML's: as one likes
            split = SPLITS.get(said, said) or default
        text = cells[columns.picture]
        name = index.find(text, folder, split)
        if name is None:
            bad[text or where] = ("missing_image", f"{where}: {text!r} is no picture, or several")
            continue
        try:
            entries.append((split, name, _row(where, cells, columns, separator)))
        except BadSample as error:
            bad[name] = (error.reason, error.detail)
    rejected += [(name, *problem) for name, problem in bad.items()]
    return [entry for entry in entries if entry[1] not in bad]


def _row(where: str, cells: list[str], columns, separator: str | None):
    """Raises BadSample."""
    label = cells[columns.label] if columns.label >= 0 else ""
    if columns.confidence >= 0 and finite(cells[columns.confidence]) == 0:
        return where, (None, None) if columns.box else None, []
    if columns.flags:
        flags = [(name, csv_table.flag(cells[i])) for i, name in columns.flags]
        if any(value is None for _, value in flags):
            raise BadSample("corrupt_annotation", f"{where}: expected 0 or 1 for each class")
        return where, None, [(name, None) for name, value in flags if value]
    if columns.attributes:
        values = [(name, cells[i]) for i, name in columns.attributes if cells[i]]
        return where, None, [(f"{name}={value}", None) for name, value in values]
    if columns.json:
        return where, (None, None), csv_boxes.rectangles(where, label) if label else []
    if not columns.box:
        parts = [label] if separator is None else label.split(separator)
        return where, None, [(part.strip(), None) for part in parts if part.strip()]
    size = tuple(finite(cells[i]) for i in columns.size) or (None, None)
    box = csv_boxes.box_of(where, cells, columns.box)
    if box is None:
        return where, size, []
    if not label and columns.label >= 0:
        raise BadSample("corrupt_annotation", f"{where}: a box without a class")
    return where, size, [(label or OBJECT, tuple(box))]


def _split_of(name: str, row) -> str | None:
    """Of the picture's folders, but those that are called as its class is."""
    classes = {label for label, _ in row[2]}
    folders = [folder for folder in name.split("/")[:-1] if folder not in classes]
    return split_of("/".join([*folders, "x"]))


def _annotation(rows: list, labels, relative: bool, multi_label: bool):
    """What travels with the reference, or (reason, detail) of a picture that cannot be used."""
    boxed = [row for row in rows if row[1] is not None]
    if boxed:
        objects = tuple(item for _, _, objects in boxed for item in objects)
        return (boxed[0][1], relative, objects), None
    names = [(where, name) for where, _, classes in rows for name, _ in classes]
    where = rows[0][0]
    if not names and not multi_label:
        return None, ("missing_annotation", f"{where}: no class")
    if names and not any(name in labels for _, name in names):
        return None, ("unknown_class", f"{where}: {names[0][1]!r} is not among the labels")
    return (None, False, tuple(names)), None


def _contradiction(tree, groups, multi_label: bool) -> None:
    """Raises SourceError where two tables say different classes of a picture without boxes."""
    if multi_label:
        return
    for (_, name), rows in groups.items():
        said = {where.rpartition(" row ")[0]: {c for c, _ in found} for where, _, found in rows}
        boxed = any(box for _, _, found in rows for _, box in found)
        first, *others = said.items()
        for other, classes in others:
            if not boxed and classes and first[1] and classes != first[1]:
                raise SourceError(
                    f"{tree.root}: {first[0]} says {', '.join(sorted(first[1]))} of {name}, and "
                    f"{other} says {', '.join(sorted(classes))}: leave one of the tables out"
                )


def _confidences(tables: list[Table]) -> tuple[int, int]:
    """Rows whose confidence is 0, and those where it is between 0 and 1."""
    values = [
        finite(row[table.columns.confidence])
        for table in tables
        if table.columns.confidence >= 0
        for _, row in table.rows
        if table.columns.confidence < len(row)
    ]
    return values.count(0), sum(value is not None and 0 < value < 1 for value in values)


def _separator(tables: list[Table]) -> str | None:
    """What is between the classes of a cell; "\\n" (never there) where columns are the classes."""
    if any(table.columns.flags or table.columns.attributes for table in tables):
        return "\n"
    cells = {
        row[table.columns.label]
        for table in tables
        if not table.columns.box and not table.columns.json
        for _, row in table.rows
        if table.columns.label < len(row)
    }
    for separator in "|;":
        if any(separator in cell for cell in cells):
            return separator
    # Names have commas, too ("tench, Tinca tinca"): several classes where each is one elsewhere.
    parts = {part.strip() for cell in cells for part in cell.split(",")}
    if any("," in cell for cell in cells) and (parts <= cells or 2 * len(parts) <= len(cells)):
        return ","
    joined = {cell for cell in cells if " " in cell}
    parts = {part for cell in cells for part in cell.split()}
    if joined and (parts <= cells or 2 * len(parts) <= len(cells)):
        return " "
    return None


def _relative(groups: Iterable[list]) -> bool:
    """Whether corners are parts of the size: none is over 1, and some are fractions."""
    values = [
        v for rows in groups for _, _, objects in rows for _, box in objects for v in box or ()
    ]
    return bool(values) and max(values) <= 1 and any(value % 1 for value in values)


def _labels(tables: list[Table], groups: Iterable[list]) -> tuple[str, ...]:
    """Columns in their order; else the names found, sorted, numbers as such."""
    flags = [name for table in tables for _, name in table.columns.flags]
    if flags:
        return tuple(dict.fromkeys(flags))
    names = {name for rows in groups for _, _, objects in rows for name, _ in objects}
    names |= {
        row[table.columns.label]
        for table in tables
        if table.columns.confidence >= 0 and table.columns.label >= 0
        for _, row in table.rows
        if len(row) >= table.count and row[table.columns.label]
    }
    return in_order(names)

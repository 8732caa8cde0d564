"""What of tables can be read in two ways, and how it was taken."""

from __future__ import annotations

from collections.abc import Iterator

from convoy.data.sample import Told
from convoy.data.sources import folder
from convoy.data.sources.csv_table import Table


def several(groups, separator: str | None, one_by_one: bool) -> Iterator[Told]:
    """Of tables without boxes: pictures with several rows or a cell that is cut, or without one.

    one_by_one: the table has a row for each class of a picture, and one where it is absent.
    """
    rows_of = {name: rows for (_, name), rows in groups.items()}
    unboxed = {n: rows for n, rows in rows_of.items() if not any(size for _, size, _ in rows)}
    said = {n: [{c for c, _ in found} for _, _, found in rows] for n, rows in unboxed.items()}
    apart = [n for n, own in said.items() if len({frozenset(c) for c in own if c}) > 1]
    if apart and not one_by_one:
        why = "several rows name other classes: taken as pictures of all these classes"
        yield Told("pictures", len(apart), why, tuple(sorted(apart)[:3]))
    if separator not in (None, "\n"):
        cut = [n for n, own in said.items() if any(len(classes) > 1 for classes in own)]
        why = f"cells of classes are cut at {separator!r}: taken as several classes"
        yield Told("pictures", len(cut), why, tuple(sorted(cut)[:3]))
        bare = [n for n, own in said.items() if not any(own)]
        if bare:
            why = "no class in their rows: taken as pictures of none of the classes"
            yield Told("pictures", len(bare), why, tuple(sorted(bare)[:3]))


def in_folders(tree, groups) -> Iterator[Told]:
    """Of tables without boxes: pictures in folders as of classes, of other names than theirs."""
    if any(size for rows in groups.values() for _, size, _ in rows) or not folder.detect(tree):
        return
    within = {r.source_id: r.annotation for r in folder.scan(tree).references}
    said = {
        name: {c for _, _, found in rows for c, _ in found} for (_, name), rows in groups.items()
    }
    other = sorted(n for n, own in said.items() if own and n in within and within[n] not in own)
    if other:
        why = (
            "lie in folders as of classes, of other names: the table counts (else --format folder)"
        )
        yield Told("pictures", len(other), why, tuple(other[:3]))


def two_ways(tables: list[Table]) -> list[Told]:
    """Cells of boxes by the rule of csv_boxes.settle, and -1 beside 0 and 1."""
    told = [Told(f"rows of {t.name}", len(t.rows), t.ambiguous) for t in tables if t.ambiguous]
    for table in tables:
        box, label = table.columns.box, table.columns.label
        bare = [
            row
            for _, row in table.rows
            if box
            and label >= 0
            and len(row) >= table.count
            and row[label]
            and not any(row[index] for index in box.columns)
        ]
        if bare:
            why = "a class without a box: taken as pictures without an object"
            told.append(Told(f"rows of {table.name}", len(bare), why))
        places = [i for i, _ in table.columns.flags]
        cells = {row[i] for _, row in table.rows for i in places if i < len(row)}
        if places and cells & {"-1", "-1.0"} and cells & {"0", "0.0"}:
            why = "-1 beside 0 and 1 (CheXpert's: unsure): taken as not there"
            told.append(Told(f"rows of {table.name}", len(table.rows), why))
    return told

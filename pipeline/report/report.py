"""One HTML file that tells how good a model is; report.html beside this file has its form."""

from __future__ import annotations

import dataclasses
import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from convoy.pipeline.evaluation.gate import Verdict
from convoy.pipeline.report import pages

TEMPLATE = "report.html"
GALLERY_BYTES = 3_000_000  # JPEG bytes of all gallery pictures; a third more in base64


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """What a report can show; a part that is empty is left out, with its heading."""

    title: str = "Evaluation"
    verdict: Verdict | None = None
    metrics: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # name -> number or None
    # class -> {column: number or None}; classes in any order, columns may differ
    per_class: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    manifest: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of the records
    figures: Mapping[str, bytes] = dataclasses.field(default_factory=dict)  # caption -> PNG
    # heading -> {row: {column: number or None}}; the same columns in each row of a table
    tables: Mapping[str, Mapping[str, Mapping[str, Any]]] = dataclasses.field(default_factory=dict)
    gallery: Sequence[Image.Image] = ()
    gallery_note: str = ""
    # name -> {column: text or number}; the same columns each
    examples: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    recipe: str = ""  # YAML
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_report(path: str | pathlib.Path, parts: Parts) -> None:
    """Writes the report as one UTF-8 file, aside and renamed."""
    pages.write(path, TEMPLATE, **_content(parts))


def render(parts: Parts) -> str:
    """The whole HTML document."""
    return pages.render(TEMPLATE, **_content(parts))


def _content(parts: Parts) -> dict[str, Any]:
    """What report.html shows."""
    class_columns = list(dict.fromkeys(c for row in parts.per_class.values() for c in row))
    return {
        "title": parts.title,
        "verdict": _verdict(parts.verdict) if parts.verdict else None,
        # Nested values, as `per_class` or `confusion`, have their own places.
        "metrics": {name: value for name, value in parts.metrics.items() if _is_plain(value)},
        "class_columns": class_columns,
        "classes": {
            name: [row.get(c) for c in class_columns] for name, row in parts.per_class.items()
        },
        "tables": _tables(parts.manifest),
        "details": [
            _table(
                heading,
                columns=list(next(iter(rows.values()), ())),
                rows={name: list(row.values()) for name, row in rows.items()},
            )
            for heading, rows in parts.tables.items()
        ],
        "charts": {text: pages.uri(content, "png") for text, content in parts.figures.items()},
        "pictures": [pages.uri(content, "jpeg") for content in _jpegs(parts.gallery)],
        "gallery_note": parts.gallery_note,
        "example_columns": list(next(iter(parts.examples.values()), ())),
        "examples": {name: list(row.values()) for name, row in parts.examples.items()},
        "recipe": parts.recipe,
        "environment": parts.environment,
    }


def _verdict(verdict: Verdict) -> dict[str, str]:
    kind = "blessed" if verdict.blessed else "refused"
    return {"kind": kind, "word": kind.capitalize(), "summary": " ".join(verdict.reasons)}


def _tables(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The manifest's numbers; knows no keys, so that it outlives changes of the manifest.

    Per table {"heading", "values": {key: value}, "columns", "rows": {key: values}}. A mapping of
    plain values becomes two columns; a mapping of mappings, as `splits`, one table of their plain
    values, and one per mapping inside them with a column per split. Lists are left out.
    """
    plain = {key: value for key, value in manifest.items() if _is_plain(value)}
    tables = [_table("", values=plain)] if plain else []
    for key, value in manifest.items():
        if isinstance(value, Mapping) and value:
            tables += _nested(key, value)
    return tables


def _nested(name: str, value: Mapping[str, Any]) -> list[dict[str, Any]]:
    plain = {key: inner for key, inner in value.items() if _is_plain(inner)}
    rows = {key: inner for key, inner in value.items() if isinstance(inner, Mapping)}
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    counts = [c for c in columns if any(_is_plain(row.get(c, [])) for row in rows.values())]
    cells = {k: [_plain(row.get(c)) for c in counts] for k, row in rows.items()} if counts else {}
    tables = [_table(name, plain, counts, cells)]
    for column in columns:
        inside = {k: row[column] for k, row in rows.items() if isinstance(row.get(column), Mapping)}
        keys = dict.fromkeys(key for inner in inside.values() for key in inner)
        if keys:
            cells = {key: [_plain(inner.get(key)) for inner in inside.values()] for key in keys}
            tables.append(_table(f"{name}: {column}", columns=list(inside), rows=cells))
    return tables


def _table(
    heading: str,
    values: Mapping[str, Any] | None = None,
    columns: Sequence[str] = (),
    rows: Mapping[str, Sequence[Any]] | None = None,
) -> dict[str, Any]:
    return {"heading": heading, "values": values or {}, "columns": columns, "rows": rows or {}}


def _jpegs(pictures: Sequence[Image.Image]) -> list[bytes]:
    """The best quality, then the largest size, at which all fit in GALLERY_BYTES."""
    contents: list[bytes] = []
    for quality, scale in ((88, 1), (75, 1), (60, 1), (60, 0.7), (50, 0.5), (40, 0.35)):
        contents = []
        for picture in pictures:
            size = tuple(max(1, round(side * scale)) for side in picture.size)
            buffer = io.BytesIO()
            # 4:4:4, because halved colour smears thin coloured lines and letters
            picture.resize(size).save(buffer, "JPEG", quality=quality, subsampling=0)
            contents.append(buffer.getvalue())
        if sum(map(len, contents)) <= GALLERY_BYTES:
            break
    return contents


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (Mapping, list, tuple))


def _plain(value: Any) -> Any:
    return value if _is_plain(value) else "…"

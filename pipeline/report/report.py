"""One HTML file that tells how good a model is: no script, no link to anything outside.

Pictures are data URIs; every text that comes from data is escaped. The frame and its style are in
report.html beside this file.
"""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import pathlib
import string
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image

from convoy.pipeline.artifacts import write_bytes
from convoy.pipeline.evaluation.gate import Verdict

TEMPLATE = pathlib.Path(__file__).with_name("report.html")
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
    gallery: Sequence[Image.Image] = ()
    gallery_note: str = ""
    # name -> {column: text or number}; the same columns each
    examples: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    recipe: str = ""  # YAML
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def write_report(path: str | pathlib.Path, parts: Parts) -> None:
    """Writes the report as one UTF-8 file, aside and renamed."""
    write_bytes(pathlib.Path(path), render(parts).encode())


def render(parts: Parts) -> str:
    """The whole HTML document."""
    sections = {
        "Metrics": _cards(parts.metrics),
        "Classes": _per_class(parts.per_class),
        "Data": _data(parts.manifest),
        "Charts": "".join(
            figure(uri(content, "png"), caption) for caption, content in parts.figures.items()
        ),
        "Gallery": _gallery(parts.gallery, parts.gallery_note),
        "Examples": _examples(parts.examples),
        "Recipe": f"<pre>{escaped(parts.recipe)}</pre>" if parts.recipe else "",
        "Environment": _key_values(parts.environment),
    }
    return page(parts.title, _verdict(parts.verdict) if parts.verdict else "", sections)


def page(title: str, top: str, sections: Mapping[str, str]) -> str:
    """A whole document of HTML parts: one word as heading -> content; empty ones are left out."""
    sections = {name: content for name, content in sections.items() if content}
    links = " ".join(f'<a href="#{name.lower()}">{name}</a>' for name in sections)
    body = [top, f"<nav>{links}</nav>"]
    for name, content in sections.items():
        body.append(f'<section id="{name.lower()}"><h2>{name}</h2>{content}</section>')
    template = string.Template(TEMPLATE.read_text(encoding="utf-8"))
    return template.substitute(title=escaped(title), body="\n".join(body))


def banner(kind: str, word: str, said: str) -> str:
    """The verdict on top; kind "blessed" or "refused" gives its colour."""
    return f'<p class="verdict {kind}"><strong>{word}.</strong> {escaped(said)}</p>'


def _verdict(verdict: Verdict) -> str:
    word = "blessed" if verdict.blessed else "refused"
    return banner(word, word.capitalize(), " ".join(verdict.reasons))


def _cards(metrics: Mapping[str, Any]) -> str:
    """The plain numbers; nested values, as `per_class` or `confusion`, have their own places."""
    cards = [
        f"<div><b>{_number(value)}</b><span>{escaped(name)}</span></div>"
        for name, value in metrics.items()
        if _is_plain(value)
    ]
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _per_class(rows: Mapping[str, Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    return table("class", columns, {k: [row.get(c) for c in columns] for k, row in rows.items()})


def _examples(rows: Mapping[str, Mapping[str, Any]]) -> str:
    columns = list(next(iter(rows.values()), ()))
    return table("", columns, {name: list(row.values()) for name, row in rows.items()}, "words")


def _data(manifest: Mapping[str, Any]) -> str:
    """The manifest's numbers; knows no keys, so that it outlives changes of the manifest.

    A mapping of plain values becomes two columns; a mapping of mappings, as `splits`, one table
    of their plain values, and one table for each mapping inside them with a column for each split.
    Lists are left out.
    """
    plain = {key: value for key, value in manifest.items() if _is_plain(value)}
    nested = {key: value for key, value in manifest.items() if isinstance(value, Mapping) and value}
    return _key_values(plain) + "".join(_nested(key, value) for key, value in nested.items())


def _nested(name: str, value: Mapping[str, Any]) -> str:
    plain = {key: inner for key, inner in value.items() if _is_plain(inner)}
    rows = {key: inner for key, inner in value.items() if isinstance(inner, Mapping)}
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    counts = [c for c in columns if any(_is_plain(row.get(c, [])) for row in rows.values())]
    parts = [f"<h3>{escaped(name)}</h3>", _key_values(plain)]
    if counts:
        cells = {k: [_plain(row.get(c)) for c in counts] for k, row in rows.items()}
        parts.append(table("", counts, cells))
    for column in columns:
        inside = {k: row[column] for k, row in rows.items() if isinstance(row.get(column), Mapping)}
        keys = dict.fromkeys(key for inner in inside.values() for key in inner)
        if keys:
            cells = {key: [_plain(inner.get(key)) for inner in inside.values()] for key in keys}
            parts += [
                f"<h3>{escaped(name)}: {escaped(column)}</h3>",
                table("", list(inside), cells),
            ]
    return "".join(parts)


def table(
    corner: str, columns: Sequence[str], rows: Mapping[str, Sequence[Any]], style: str = ""
) -> str:
    """A row a name; style "words" puts text to the left. Cells are escaped."""
    if not rows:
        return ""
    head = "".join(f'<th scope="col">{escaped(name)}</th>' for name in (corner, *columns))
    lines = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>'
        + "".join(f"<td>{_number(value)}</td>" for value in values)
        + "</tr>"
        for name, values in rows.items()
    )
    return (
        f'<div class="scroll"><table class="{style}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )


def _key_values(values: Mapping[str, Any]) -> str:
    if not values:
        return ""
    lines = "".join(
        f'<tr><th scope="row">{escaped(key)}</th><td>{_number(value)}</td></tr>'
        for key, value in values.items()
    )
    return f'<div class="scroll"><table class="words"><tbody>{lines}</tbody></table></div>'


def _gallery(pictures: Sequence[Image.Image], note: str) -> str:
    if not pictures:
        return ""
    figures = "".join(
        figure(uri(content, "jpeg"), f"picture {n}", caption=False)
        for n, content in enumerate(_jpegs(pictures), 1)
    )
    note = f'<p class="note">{escaped(note)}</p>' if note else ""
    return f'{note}<div class="gallery">{figures}</div>'


def _jpegs(pictures: Sequence[Image.Image]) -> list[bytes]:
    """The best quality, then the largest size, at which all fit in GALLERY_BYTES."""
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


def figure(source: str, text: str, caption: bool = True) -> str:
    below = f"<figcaption>{escaped(text)}</figcaption>" if caption else ""
    return f'<figure><img src="{source}" alt="{escaped(text)}">{below}</figure>'


def uri(content: bytes, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _is_plain(value: Any) -> bool:
    return not isinstance(value, (Mapping, list, tuple))


def _plain(value: Any) -> Any:
    return value if _is_plain(value) else "…"


def _number(value: Any) -> str:
    """Escaped text: integers whole, other numbers with four digits, None as a dash."""
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.4f}" if 1e-3 <= abs(value) < 1e6 or value == 0 else f"{value:.3g}"
    return escaped(value)


def escaped(value: Any) -> str:
    return html.escape(str(value), quote=True)

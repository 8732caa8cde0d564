"""HTML pages by Jinja2, each one file: no script, no link to anything outside.

page.html is the frame and its style, parts.html the tables and figures, and each other template
beside this file one page. What comes from data is escaped by Jinja2; pictures are data URIs.
"""

from __future__ import annotations

import base64
import pathlib
from typing import Any

import jinja2

from convoy.pipeline.artifacts import write_bytes


def write(path: str | pathlib.Path, template: str, **content: Any) -> None:
    """Writes a page as one UTF-8 file, aside and renamed."""
    write_bytes(pathlib.Path(path), render(template, **content).encode())


def render(template: str, **content: Any) -> str:
    """The whole document. Raises jinja2.UndefinedError where the template needs more."""
    return ENVIRONMENT.get_template(template).render(content)


def number(value: Any) -> Any:
    """Integers whole, other numbers with about four digits, None and NaN as a dash, text as it is.

    Parts of one, as most metrics are, have four decimals; 28.13, 412.5 and 12,345 have fewer.
    """
    if value is None or value != value:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        size = abs(value)
        if not 1e-3 <= size < 1e9 and value != 0:
            return f"{value:.3g}"
        decimals = 4 if size < 10 else 2 if size < 100 else 1 if size < 1000 else 0
        return f"{value:,.{decimals}f}"
    return value


def uri(content: bytes, kind: str) -> str:
    """A picture as the text of a `src`; kind: png or jpeg."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


# Named one by one, so that they count among what a component reads (pipeline/closure.py).
TEMPLATES = (
    pathlib.Path(__file__).with_name("page.html"),
    pathlib.Path(__file__).with_name("parts.html"),
    pathlib.Path(__file__).with_name("report.html"),
    pathlib.Path(__file__).with_name("validation.html"),
    pathlib.Path(__file__).with_name("doctor.html"),
    pathlib.Path(__file__).with_name("compare.html"),
    pathlib.Path(__file__).with_name("prune.html"),
    pathlib.Path(__file__).with_name("grid.html"),
)
ENVIRONMENT = jinja2.Environment(
    loader=jinja2.DictLoader({path.name: path.read_text("utf-8") for path in TEMPLATES}),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
ENVIRONMENT.filters["number"] = number

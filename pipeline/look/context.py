"""What all pages share: the folder that is looked at, templates, and how an error is told."""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import pathlib

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from convoy.pipeline.look.once import Once, Working
from convoy.pipeline.look.places import Places
from convoy.pipeline.look.worker import Worker
from convoy.pipeline.report.pages import number

HERE = pathlib.Path(__file__).parent
TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(HERE / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
TEMPLATES.filters["number"] = number
log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class Context:
    """What all pages share."""

    places: Places
    token: str = ""  # "" on loopback
    indexes: Once = dataclasses.field(default_factory=lambda: Once(4))
    judged: Once = dataclasses.field(default_factory=lambda: Once(4))
    worker: Worker = dataclasses.field(default_factory=Worker)
    server: str = ""  # HOST:PORT/NAME of a running one that is asked in place of the model's folder


class Json(JSONResponse):
    """Names need not be UTF-8, and what is no number is null."""

    def render(self, content) -> bytes:
        try:
            return json.dumps(content, allow_nan=False).encode()
        except ValueError:
            return json.dumps(finite(content)).encode()


def finite(value):
    """Of nested lists and dicts, with None for numbers that are infinite or none."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def page(request: Request, template: str, **content) -> HTMLResponse:
    """One of templates/*.html."""
    places: Places = request.app.state.context.places
    known = {"title": places.given.resolve().name, "role": places.role, "path": request.url.path}
    text = TEMPLATES.get_template(template).render(known | content)
    return HTMLResponse(text.encode("utf-8", "replace"))


def told(request: Request, error: Exception) -> Response:
    if isinstance(error, Working):
        return Json({"wait": str(error)}, 202)
    return failed(request, str(error), 422)


def not_found(request: Request, error: Exception) -> Response:
    return failed(request, f"{request.url.path}: there is no such page", 404)


def unforeseen(request: Request, error: Exception) -> Response:
    log.error("%s", request.url.path, exc_info=error)
    return failed(request, f"{type(error).__name__}: {error}", 500)


def failed(request: Request, text: str, status: int) -> Response:
    """One clear message: JSON for scripts, a page for people."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if request.url.path.startswith(("/api/", "/thumb/", "/picture/", "/static/")):
        return Json({"error": text}, status)
    shown = TEMPLATES.get_template("message.html").render(
        title="convoy look", role="", path="", message=text
    )
    return HTMLResponse(shown, status)

"""The page to try a model: a picture is dropped, or named on this machine; the answer is drawn."""

from __future__ import annotations

import base64
import http.client
import json
import pathlib
import shlex
import urllib.parse
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from convoy.data.images import images
from convoy.data.sample import BadSample
from convoy.models import tasks as table
from convoy.models.pose import skeleton
from convoy.pipeline import tasks, versions
from convoy.pipeline.look import pictures, results
from convoy.pipeline.look.context import Context, Json, page
from convoy.pipeline.look.guard import is_loopback
from convoy.pipeline.look.places import Places, is_run, key_of
from convoy.pipeline.look.worker import Ask
from convoy.pipeline.networks import saved

MOST_BYTES = 64 << 20  # of what is sent
ADDRESS_S = 10  # for a picture of an address of this machine


class Refused(ValueError):
    """What was asked for is not looked at; the message says what is."""


def show(request: Request) -> Response:
    context: Context = request.app.state.context
    known = [(key_of(path), str(path), request_of(path)) for path in context.places.models()]
    return page(request, "try.html", models=known, server=context.server)


async def answer(request: Request) -> Response:
    """The model's answer about the body, or about what its "named" parameter names."""
    body, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise Refused(f"more than {MOST_BYTES >> 20} MB: send a smaller picture")
        body.append(part)
    return await run_in_threadpool(_answer, request, b"".join(body))


def _answer(request: Request, content: bytes) -> Response:
    context: Context = request.app.state.context
    query = request.query_params
    known = {key_of(path): path for path in context.places.models()}
    if not known:
        raise Refused("nothing is trained here yet: there is no model to ask")
    key = query.get("model") or next(iter(known))
    if key not in known:
        raise Refused("this model is not there any more: load the page again")
    model, named = known[key], query.get("named", "")
    if named:
        content = fetched(named, context.places)
    if not content:
        raise Refused("nothing was sent: drop a picture, choose a file, or name one")
    kind = request_of(model)
    seen: dict[str, Any] = {}
    if kind == "image":
        try:
            upright = images.upright(content)
        except BadSample as error:
            raise Refused(f"this is no picture that can be read: {error.detail}") from None
        content = upright.image
        shown, media = pictures.shown(content)
        seen = {"picture": f"data:{media};base64,{base64.b64encode(shown).decode()}"}
        seen |= {"width": upright.width, "height": upright.height}
    told = context.worker.ask(Ask("predict", (str(model), content, context.server)))
    module = tasks.of(told["task"])
    threshold = _threshold(query.get("threshold"), told["threshold"])
    found = results.drawn(module, told["line"], told["labels"], threshold)
    best = [each["score"] for each in _objects(module, told)]
    return Json(
        {
            **seen,
            "found": found,
            "about": {"labels": told["labels"], **_bones(told)},
            "files": {name: f"data:image/png;base64,{png}" for name, png in told["files"].items()},
            **{name: told[name] for name in ("task", "said", "took_ms", "by")},
            "threshold": threshold,
            "best": max(best, default=None),
            "line": told["line"],
            "lines": lines_to_copy(model, named or "PICTURE", kind),
        }
    )


def _objects(module, told: dict) -> list[dict]:
    if not hasattr(module, "shapes"):
        return []
    return module.shapes(told["line"], told["labels"]).get("objects", [])


def _bones(told: dict) -> dict:
    if table.row(told["task"]).label_map != "keypoints":
        return {"keypoints": [], "bones": []}
    bones = skeleton.of(tuple(told["labels"])).bones
    return {"keypoints": told["labels"], "bones": [list(bone) for bone in bones]}


def request_of(model: pathlib.Path) -> str:
    """What a model is sent, of models/tasks.REQUESTS; a picture where it does not say."""
    if is_run(model):
        for path in model.glob("artifacts/evaluator/*/run.json"):
            task = versions.read(path).get("params", {}).get("task")
            if task:
                return table.row(task).request
    found = saved.find(model)
    report = versions.read(found / "assets.extra" / "export_report.json") if found else {}
    return table.row(report["task"]).request if "task" in report else "image"


def fetched(named: str, places: Places) -> bytes:
    """A file below the folders that may be looked at, or a picture at a loopback address.

    Raises Refused.
    """
    if "://" in named:
        return _of_address(named)
    path = pathlib.Path(named).expanduser().resolve()
    roots = places.roots()
    if not any(path.is_relative_to(root) for root in roots):
        allowed = ", ".join(dict.fromkeys(map(str, roots)))
        raise Refused(f"{named}: lies outside of what this page may read ({allowed})")
    try:
        if path.stat().st_size > MOST_BYTES:
            raise Refused(f"{named}: more than {MOST_BYTES >> 20} MB")
        return path.read_bytes()
    except OSError as error:
        raise Refused(f"{named}: {error.strerror}") from None


def _of_address(address: str) -> bytes:
    """By plain HTTP of this machine alone; nothing that it redirects to is followed."""
    parts = urllib.parse.urlsplit(address)
    try:
        host, port = parts.hostname or "", parts.port or 80
    except ValueError:
        raise Refused(f"{address}: not an address") from None
    if parts.scheme != "http" or not is_loopback(host):
        raise Refused(
            f"{address}: only http:// addresses of this machine (127.0.0.1, localhost) are asked"
        )
    host = "127.0.0.1" if host.rstrip(".") == "localhost" else host
    connection = http.client.HTTPConnection(host, port, timeout=ADDRESS_S)
    try:
        connection.request("GET", (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        reply = connection.getresponse()
        if reply.status != 200:
            raise Refused(f"{address}: answered {reply.status} {reply.reason}")
        content = reply.read(MOST_BYTES + 1)
    except (OSError, http.client.HTTPException, ValueError) as error:
        if isinstance(error, Refused):
            raise
        raise Refused(f"{address}: {type(error).__name__}: {error}") from None
    finally:
        connection.close()
    if len(content) > MOST_BYTES:
        raise Refused(f"{address}: more than {MOST_BYTES >> 20} MB")
    return content


def lines_to_copy(model: pathlib.Path, picture: str, kind: str) -> dict[str, str]:
    """The same question by hand: a server and curl, and Python."""
    found = saved.find(model / saved.SERVED) if is_run(model) else saved.find(model)
    name = found.parent.name if found and found.name.isdigit() else model.resolve().name
    field, file = table.REQUESTS[kind], shlex.quote(picture)
    body = '\'{"inputs": {"' + field + '": [{"b64": "\'"$(base64 -w0 ' + file + ")\"'\"}]}}'"
    if not field.endswith("_bytes"):
        picture = "a sentence"
        body = "'" + json.dumps({"inputs": {field: [picture]}}) + "'"
    address = f"http://127.0.0.1:8501/v1/models/{urllib.parse.quote(name)}"
    return {
        "serve": f"convoy serve {shlex.quote(str(model))}",
        "curl": f"curl -s {address}:predict -d {body}",
        "python": f"import convoy\nprint(convoy.predict({str(model)!r}, [{picture!r}])[0])",
    }


def _threshold(text: str | None, otherwise: float) -> float:
    return results.threshold_of({"threshold": text}) if text else otherwise


ROUTES = (Route("/try", show), Route("/api/try", answer, methods=["POST"]))

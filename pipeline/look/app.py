"""The application: which address is answered by what, and who may ask.

On a loopback address whoever is on this machine may look; the Host of a request must then be a
loopback name, so that no page of another site reaches it by a name that it lets point here. On
another address a token is asked for, once in the address, then in a cookie. Nothing but our own
files is loaded by a page, and no script stands in one (Content-Security-Policy).
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from convoy.pipeline.look import data, results, timeline, trying
from convoy.pipeline.look.context import HERE, Context, failed, not_found, told, unforeseen
from convoy.pipeline.look.guard import Guard
from convoy.pipeline.look.once import Working

STATIC = {path.name: path for path in sorted((HERE / "static").glob("*.*"))}
KINDS = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
ROOMS = (data, results, timeline, trying)


def application(context: Context) -> Starlette:
    async def home(request: Request) -> Response:
        first = {"records": "/data", "model": "/try"}.get(context.places.role, "/data")
        return RedirectResponse(first)

    def static(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return failed(request, f"no file {name}", 404)
        path = STATIC[name]
        headers = {"Cache-Control": "no-cache"}
        return FileResponse(path, media_type=KINDS[path.suffix], headers=headers)

    app = Starlette(
        routes=[
            Route("/", home),
            Route("/static/{name}", static),
            *(route for room in ROOMS for route in room.ROUTES),
        ],
        exception_handlers={Exception: unforeseen, 404: not_found, 405: not_found}
        | {kind: told for kind in (Working, ValueError, OSError, RuntimeError)},
    )
    app.state.context = context
    app.add_middleware(Guard, token=context.token)
    return app

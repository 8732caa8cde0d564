"""Who may ask: on this machine everybody, from elsewhere who has the token."""

from __future__ import annotations

import hmac
import ipaddress
import urllib.parse

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from convoy.pipeline.look.context import failed

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
COOKIE = "convoy_look"
ASKED = "x-convoy"  # a header that no other site's page can send along


class Guard:
    """Refuses who may not ask, and adds the headers that every answer has."""

    def __init__(self, app, token: str):
        self._app, self._token = app, token

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def headed(message):
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message["headers"],
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                    (b"cross-origin-resource-policy", b"same-origin"),
                ]
            await send(message)

        request = Request(scope)
        refusal = self._refusal(request)
        await (refusal or self._app)(scope, receive, headed)

    def _refusal(self, request: Request) -> Response | None:
        if self._token:
            given = request.query_params.get("token", "")
            if _same(given, self._token):
                rest = [(k, v) for k, v in request.query_params.multi_items() if k != "token"]
                where = request.url.path + (f"?{urllib.parse.urlencode(rest)}" if rest else "")
                answer = RedirectResponse(f"/{where.lstrip('/')}", 303)
                answer.set_cookie(COOKIE, self._token, httponly=True, samesite="strict")
                return answer
            if not _same(request.cookies.get(COOKIE, ""), self._token):
                text = "This page asks for the token that `convoy look` printed: add ?token=..."
                return failed(request, text, 403)
        elif not is_loopback(_host_of(request.headers.get("host", ""))):
            text = "Open this page as http://127.0.0.1 or http://localhost: another name is refused"
            return failed(request, text, 403)
        elsewhere = request.headers.get("sec-fetch-site") == "cross-site"
        if elsewhere and request.headers.get("sec-fetch-mode") != "navigate":
            return failed(request, "Another site's page cannot ask this one", 403)
        if request.method not in ("GET", "HEAD") and ASKED not in request.headers:
            return failed(request, "Only this page itself may send that", 403)
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or address, without a port, is of this machine alone."""
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _host_of(header: str) -> str:
    return header.rpartition(":")[0] if header.count(":") == 1 else header.split("]")[0]


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode(), token.encode())

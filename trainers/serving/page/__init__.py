"""The page that chats with the model that is served: files for a browser, and the routes that send them.

The page asks no other server than its own, and its policy forbids that. Everything that it shows of a model or a person
is put in as text.
"""

from __future__ import annotations

import ipaddress
from importlib.resources import files
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/chat.css": ("chat.css", "text/css; charset=utf-8"),
    "/chat.js": ("chat.js", "text/javascript; charset=utf-8"),
    "/points.js": ("points.js", "text/javascript; charset=utf-8"),
}
"""Each path with its file and type."""
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",
}


def routes() -> list[Route]:
    """The routes of the page's files; none asks for a key, because none holds anything of the model."""
    return [_route(path, name, kind) for path, (name, kind) in FILES.items()]


def _route(path: str, name: str, kind: str) -> Route:
    body = files(__name__).joinpath(name).read_bytes()

    async def send(http: Request) -> Response:
        return Response(body, media_type=kind, headers=HEADERS)

    return Route(path, send, methods=["GET"])


def is_of_another_site(http: Request) -> bool:
    """Whether a browser sends the request for a page of another site.

    Browsers name the page's origin with every request that writes. A server of this machine alone has a name of this
    machine: any other name that leads here was rebound by another site.
    """
    origin, host = http.headers.get("origin"), http.headers.get("host", "")
    if origin is None:
        return False
    if urlsplit(origin).netloc.lower() != host.lower():
        return True
    address = (http.scope.get("server") or ("",))[0]
    return _is_loopback(address) and not _is_loopback(urlsplit(f"//{host}").hostname or "")


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False

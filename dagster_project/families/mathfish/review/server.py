"""The server of the page: bound to 127.0.0.1, and to requests of its own page alone.

A page of another site can send requests to a port of this machine. So a request must name this server as its host,
which a rebound name of another site does not; one that writes must also come from this origin and carry the token that
the page was served with. Problems are strangers' text: the page shows them as text, and its policy allows no script but
its own, no picture and no other server.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs, urlsplit

from catalog.errors import WatershedError
from dagster_project.families.mathfish.review.verdicts import CHOICES, Verdicts, agreement, is_name

HOST = "127.0.0.1"
LARGEST_BODY = 20_000
SECONDS = 20
"""Seconds in which a request must have arrived."""


class ReviewServer(ThreadingHTTPServer):
    """Serves the page for the verdicts of a lake.

    Example:
        >>> server = ReviewServer(Verdicts(lake, items_of(lake)))
        >>> server.url
        'http://127.0.0.1:43210/'
    """

    daemon_threads = True

    def __init__(self, verdicts: Verdicts, port: int = 0) -> None:
        super().__init__((HOST, port), _Handler)
        self.verdicts = verdicts
        self.token = secrets.token_urlsafe(24)

    @cached_property
    def origins(self) -> dict[str, str]:
        """The origins of this server by host."""
        return {f"{name}:{self.server_port}": f"http://{name}:{self.server_port}" for name in (HOST, "localhost")}

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{HOST}:{self.server_port}/"

    def page(self, nonce: str) -> bytes:
        """The page, whose script and style carry `nonce`."""
        template = files("dagster_project.families.mathfish.review").joinpath("page.html").read_text("utf-8")
        return template.replace("NONCE", nonce).replace("TOKEN", self.token).encode()

    def state(self, rater: str, at: int | None) -> dict[str, Any]:
        """The item at a place, or the first one that the rater has not judged, with the rater's verdict of it."""
        items, own = self.verdicts.items, self.verdicts.of_rater(rater)
        left = [place for place, item in enumerate(items) if item.key not in own]
        place = (left[0] if left else len(items) - 1) if at is None else max(0, min(at, len(items) - 1))
        item = items[place]
        given = own.get(item.key, {})
        return {
            "place": place,
            "items": len(items),
            "judged": len(items) - len(left),
            "problem": item.problem,
            "standard": item.standard,
            "grade": item.grade,
            "text": item.text,
            "description": item.description,
            "verdict": given.get("verdict", ""),
            "comment": given.get("comment", ""),
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors of the server; a page that was left before its reply came is none."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer  # ty: ignore[incompatible-mutable-override]
    timeout = SECONDS
    server_version, sys_version = "watershed", ""

    def log_message(self, format: str, *args: Any) -> None:
        # Requests hold names of raters.
        return

    def do_GET(self) -> None:
        if not self._is_for_us():
            return
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/":
            self._page()
        elif parts.path == "/item":
            rater, at = query.get("rater", ""), query.get("at", "")
            if not is_name(rater) or not (at == "" or (at.isascii() and at.isdigit() and len(at) < 10)):
                self._refuse(HTTPStatus.BAD_REQUEST, "the rater has no name, or the place is not a number")
                return
            self._json(self.server.state(rater, int(at) if at else None))
        elif parts.path == "/agreement":
            self._json(agreement(self.server.verdicts.rows()))
        else:
            self._refuse(HTTPStatus.NOT_FOUND, "there is no such page")

    def do_POST(self) -> None:
        if not self._is_for_us() or not self._is_our_page():
            return
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 9 and int(length) <= LARGEST_BODY):
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a verdict has at most {LARGEST_BODY:,} bytes")
            return
        try:
            value = json.loads(self.rfile.read(int(length)))
            names = ("rater", "problem", "standard", "verdict", "comment")
            rater, problem, standard, verdict, comment = (value[name] for name in names)
            if not all(isinstance(value[name], str) for name in names) or verdict not in CHOICES:
                raise ValueError
            self.server.verdicts.enter(rater, (problem, standard), verdict, comment)
        except WatershedError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, error.cause)
        except (ValueError, KeyError, TypeError, RecursionError):
            self._refuse(HTTPStatus.BAD_REQUEST, "this is not a verdict")
        else:
            self._json(self.server.state(rater, None))

    def _is_for_us(self) -> bool:
        if self.headers.get("Host", "") in self.server.origins:
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "the request names another host")
        return False

    def _is_our_page(self) -> bool:
        token = self.headers.get("X-Watershed-Token", "")
        origin = self.server.origins[self.headers.get("Host", "")]
        known = hmac.compare_digest(token.encode("utf-8", "replace"), self.server.token.encode())
        plain = self.headers.get("Content-Type", "").split(";")[0] == "application/json"
        if self.path == "/verdict" and self.headers.get("Origin") == origin and known and plain:
            return True
        self._refuse(HTTPStatus.FORBIDDEN, "the request does not come from the page of this server")
        return False

    def _page(self) -> None:
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        self._send(
            HTTPStatus.OK, "text/html; charset=utf-8", self.server.page(nonce), {"Content-Security-Policy": policy}
        )

    def _json(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        self._send(status, "application/json", json.dumps(value).encode(), {})

    def _refuse(self, status: HTTPStatus, why: str) -> None:
        # What is left of the request is not read, so that the connection cannot be used again.
        self.close_connection = True
        self._json({"error": why}, status)

    def _send(self, status: HTTPStatus, kind: str, body: bytes, more: dict[str, str]) -> None:
        self.send_response(status)
        common = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **common, **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

"""A local page: a server bound to 127.0.0.1, and to requests of its own page alone.

A page of another site can send requests to a port of this machine. So a request must name this server as its host,
which a rebound name of another site does not; one that writes must also come from this origin and carry the token that
the page was served with. What the page shows may be strangers' text: its policy allows no script but its own.
"""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any, ClassVar, TypeVar
from urllib.parse import parse_qs, urlsplit

from catalog.errors import WatershedError

T = TypeVar("T")
HOST = "127.0.0.1"
SECONDS = 20
"""Seconds in which a request must have arrived."""


def is_number(text: str, digits: int) -> bool:
    """Whether a text is a whole number of so many digits at most.

    Example:
        >>> is_number("17", 2), is_number("170", 2), is_number("-1", 2), is_number("", 2)
        (True, False, False, False)
    """
    return text.isascii() and text.isdigit() and len(text) <= digits


class LocalServer(ThreadingHTTPServer):
    """Serves one page, `page.html` of a package, with its script's nonce and the token of the process.

    The script of the page begins with `local_page.js`, where it says LOCAL_PAGE.

    Raises:
        WatershedError: the port cannot be used.
    """

    daemon_threads = True

    def __init__(self, package: str, handler: type[LocalHandler], port: int = 0) -> None:
        try:
            super().__init__((HOST, port), handler)
        except OSError as error:
            raise WatershedError(
                f"port {port} cannot be used: {error.strerror or error}", "choose another --port"
            ) from None
        self.package = package
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
        template = files(self.package).joinpath("page.html").read_text("utf-8")
        shared = files("dagster_project.engine").joinpath("local_page.js").read_text("utf-8")
        return template.replace("LOCAL_PAGE", shared).replace("NONCE", nonce).replace("TOKEN", self.token).encode()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors of the server; a page that was left before its reply came is none."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class LocalHandler(BaseHTTPRequestHandler):
    """Answers requests to a `LocalServer`. Subclasses define `do_GET` and `do_POST`."""

    timeout = SECONDS
    server_version, sys_version = "watershed", ""
    POLICY: ClassVar[str] = ""
    """More directives of the page's Content-Security-Policy, as in "img-src 'self'; "."""

    @property
    def local(self) -> LocalServer:
        """The server."""
        assert isinstance(self.server, LocalServer)
        return self.server

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing: requests hold names of people."""

    def is_for_us(self) -> bool:
        """Whether the request names this server as its host; otherwise it is refused."""
        if self.headers.get("Host", "") in self.local.origins:
            return True
        self.refuse(HTTPStatus.FORBIDDEN, "the request names another host")
        return False

    def is_our_page(self, kind: str = "application/json") -> bool:
        """Whether a request that writes comes from our page with a body of `kind`; otherwise it is refused."""
        token = self.headers.get("X-Watershed-Token", "")
        origin = self.local.origins[self.headers.get("Host", "")]
        known = hmac.compare_digest(token.encode("utf-8", "replace"), self.local.token.encode())
        plain = self.headers.get("Content-Type", "").split(";")[0] == kind
        if self.headers.get("Origin") == origin and known and plain:
            return True
        self.refuse(HTTPStatus.FORBIDDEN, "the request does not come from the page of this server")
        return False

    def body(self, largest: int) -> bytes | None:
        """The body of a request; None if it has more than `largest` bytes or no length, and was refused."""
        length = self.headers.get("Content-Length", "")
        if not (is_number(length, 11) and int(length) <= largest):
            self.refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"a request has at most {largest:,} bytes")
            return None
        return self.rfile.read(int(length))

    def asked(self) -> tuple[str, dict[str, str]]:
        """The path of the request, and its query; of a name that comes twice, the last value."""
        parts = urlsplit(self.path)
        return parts.path, {name: values[-1] for name, values in parse_qs(parts.query).items()}

    def taken(self, largest: int, take: Callable[[Any], T], fault: str) -> T | None:
        """What `take` returns for the JSON of a request; None if the request was refused.

        Args:
            largest: the most bytes of the request.
            take: raises a ValueError, KeyError, TypeError or OverflowError if the value has another form, and a
                WatershedError if it cannot be taken.
            fault: the reply to a value of another form.
        """
        if (body := self.body(largest)) is None:
            return None
        try:
            return take(json.loads(body))
        except WatershedError as error:
            self.refuse(HTTPStatus.BAD_REQUEST, self.words(error))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
            self.refuse(HTTPStatus.BAD_REQUEST, fault)
        return None

    def words(self, error: WatershedError) -> str:
        """The reply to what cannot be taken."""
        return f"{error.cause}; {error.mend}"

    def send_page(self, made: Callable[[str], bytes] | None = None, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send the page.

        Args:
            made: returns the page, whose script and style carry the nonce that it is given; by default that of the
                server.
            status: the status of the reply.
        """
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            f"{self.POLICY}base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        page = (made or self.local.page)(nonce)
        self.send(status, "text/html; charset=utf-8", page, {"Content-Security-Policy": policy})

    def send_value(self, value: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        """Send a value as JSON."""
        self.send(status, "application/json", json.dumps(value).encode(), {})

    def refuse(self, status: HTTPStatus, why: str) -> None:
        """Send a refusal. What is left of the request is not read, so that the connection cannot be used again."""
        self.close_connection = True
        self.send_value({"error": why}, status)

    def send(self, status: HTTPStatus, kind: str, body: bytes, more: dict[str, str]) -> None:
        """Send a reply that no browser guesses the type of, or keeps."""
        self.send_response(status)
        common = {"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin"}
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **common, **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

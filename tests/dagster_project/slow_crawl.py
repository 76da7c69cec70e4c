"""A web server with an archive that it hands out when a test says so: a run that reads it stays in the middle."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from dagster_api import messages


class SlowCrawl(ThreadingHTTPServer):
    """A web server with an archive that it does not hand out until `open` is set."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.open = threading.Event()
        self.asked = threading.Event()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, SlowCrawl)
        self.server.asked.set()
        self.server.open.wait()
        body = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            # The process that asked may have been killed.
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing is printed."""


@contextmanager
def slow_crawl() -> Generator[SlowCrawl]:
    """Run the server until the block ends."""
    server = SlowCrawl()
    yield server
    server.open.set()
    server.shutdown()
    server.server_close()


def in_the_middle(address: str, run: str, crawl: SlowCrawl) -> bool:
    """Whether the step of a run has started, and the archive was asked for."""
    started = any("checking the tables that it reads" in line for line in messages(address, run))
    return started and crawl.asked.is_set()

"""A server that gives pictures as hosts do: redirected, late, too large, broken, changed and forbidden."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web
from PIL import Image

HUGE = 200_000_000


def picture(seed: int, size: tuple[int, int] = (40, 30), form: str = "PNG") -> bytes:
    """A picture of two colours that depend on the seed."""
    image = Image.new("RGB", size, (seed % 251, seed // 251 % 251, 90))
    image.putpixel((0, 0), (255, 255, 255))
    written = io.BytesIO()
    image.save(written, form)
    return written.getvalue()


def bomb() -> bytes:
    """A PNG of a few kilobytes that says that it has 30,000 x 30,000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    body = zlib.compress(bytes(1_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@dataclass
class PictureHost:
    """What the server was asked and gave."""

    url: str = ""
    hits: Counter[str] = field(default_factory=Counter)
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes of bodies that were sent."""
    open: int = 0
    most_open: int = 0
    agents: set[str] = field(default_factory=set)
    robots: str = "User-agent: *\nDisallow: /private/\nAllow: /private/but*this$\n"
    lost: set[str] = field(default_factory=set)
    """Paths that answer 404."""
    kill_after: int = 0
    """Requests after which `enough` is set."""
    enough: threading.Event = field(default_factory=threading.Event)

    @property
    def place(self) -> str:
        """HOST:PORT."""
        return self.url.removeprefix("http://")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer a request by the first part of its path."""
        self.hits[request.path_qs] += 1
        self.agents.add(request.headers.get("User-Agent", ""))
        kind, _, rest = request.path.lstrip("/").partition("/")
        if kind == "robots.txt":
            return web.Response(text=self.robots)
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            if self.kill_after and sum(self.hits.values()) >= self.kill_after:
                self.enough.set()
            return web.Response(status=404) if request.path in self.lost else await self._picture(request, kind, rest)
        finally:
            self.open -= 1

    async def _picture(self, request: web.Request, kind: str, rest: str) -> web.StreamResponse:
        seed = int(rest) if rest.isdigit() else 7
        hits = self.hits[request.path_qs]
        headers = {"Content-Type": "image/png"}
        plain = {
            "wrong": web.Response(body=b"<html>gone</html>", content_type="text/html"),
            "liar": web.Response(body=b"<html>gone</html>", headers=headers),
            "bomb": web.Response(body=bomb(), headers=headers),
            "cut": web.Response(body=picture(seed, (400, 300), "JPEG")[:-900], headers={"Content-Type": "image/jpeg"}),
            "noai": web.Response(body=picture(seed), headers={**headers, "X-Robots-Tag": "noindex, NoAI"}),
            "noimageai": web.Response(body=picture(seed), headers={**headers, "X-Robots-Tag": "noimageai"}),
            "others": web.Response(body=picture(seed), headers={**headers, "X-Robots-Tag": "otherbot: noai"}),
            "plain": web.Response(body=bytes(picture_of_one_colour()), headers=headers),
            "same": web.Response(body=picture(99), headers=headers),
            "gone": web.Response(status=404),
        }
        if kind in plain:
            return plain[kind]
        if kind == "moved":
            left = int(rest or 1)
            raise web.HTTPFound("/p/11" if left == 0 else f"/moved/{left - 1}")
        if kind == "to":
            raise web.HTTPFound(request.query["url"])
        if kind == "flickr":
            raise web.HTTPFound("/pw/images/photo_unavailable.png")
        if kind == "busy":
            return web.Response(status=429, headers={"Retry-After": "7"}) if hits < 3 else _png(seed)
        if kind == "error":
            return web.Response(status=500) if hits == 1 else _png(seed)
        if kind == "broken":
            return web.Response(status=503)
        if kind in ("drip", "huge", "short"):
            return await self._slowly(request, kind)
        return _png(seed)

    async def _slowly(self, request: web.Request, kind: str) -> web.StreamResponse:
        reply = web.StreamResponse(headers={"Content-Type": "image/png"})
        if kind == "short":
            reply.content_length = 5000
        if request.query.get("said"):
            reply.content_length = HUGE
        await reply.prepare(request)
        try:
            chunk = picture(1) if kind != "huge" else bytes(1_000_000)
            for _ in range({"drip": 10_000, "huge": HUGE // 1_000_000, "short": 1}[kind]):
                await reply.write(chunk[:1] if kind == "drip" else chunk)
                self.sent[request.path_qs] += len(chunk)
                if kind == "drip":
                    await asyncio.sleep(0.02)
            if kind == "short" and request.transport is not None:
                request.transport.close()
        except (ConnectionError, asyncio.CancelledError):
            pass
        return reply


def picture_of_one_colour() -> bytes:
    """A grey PNG."""
    written = io.BytesIO()
    Image.new("RGB", (20, 20), (128, 128, 128)).save(written, "PNG")
    return written.getvalue()


def _png(seed: int) -> web.Response:
    return web.Response(body=picture(seed), headers={"Content-Type": "image/png"})


@contextmanager
def picture_host() -> Generator[PictureHost]:
    """Run a host in a thread."""
    host, ready, loop = PictureHost(), threading.Event(), asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        application = web.Application()
        application.router.add_route("GET", "/{path:.*}", host.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner

    def work() -> None:
        asyncio.set_event_loop(loop)
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield host
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(30)

"""One address: from the first request to a stored picture, or the reason why there is none.

A body is streamed into a file and hashed on the way; it is never held in memory. Failures that may pass (5xx, 408, 425,
429, no connection, a body that ends early, no time left) are tried again after a pause that doubles, or as long as
Retry-After asks.
"""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import hashlib
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urljoin

import aiohttp

from catalog.errors import WatershedError
from catalog.files import PARTIAL
from spark_jobs.pictures.addresses import BadAddress, check_address, host_of
from spark_jobs.pictures.look import Looked, NotAPicture, look
from spark_jobs.pictures.placeholders import is_placeholder_address
from spark_jobs.pictures.robots import EVERYTHING, LARGEST, Robots, forbids_training, nothing, read_robots
from spark_jobs.pictures.rules import FetchRules
from spark_jobs.pictures.store import PictureStore

PASSING = frozenset({408, 425, 429, *range(500, 600)})
"""Statuses that may pass."""
MOVED = frozenset({301, 302, 303, 307, 308})
CHUNK = 65_536
Sleep = Callable[[float], Awaitable[None]]
REFUSED_TYPES = ("text/", "application/json", "application/xml", "application/pdf", "video/", "audio/", "image/svg")
"""Beginnings of Content-Type that no picture has. Others are decided by the bytes: hosts often give a wrong one."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A picture that is to be fetched."""

    url: str
    sha256: str | None = None
    """The digest that it must have, if that is known."""


@dataclass(kw_only=True)
class Fetched:
    """What became of an address; the fields are columns of the journal."""

    place: str
    host: str
    declared_sha256: str | None
    outcome: str = ""
    reason: str = ""
    status: int | None = None
    attempts: int = 0
    redirects: list[str] = field(default_factory=list)
    robots_tag: str | None = None
    observed_sha256: str | None = None
    format: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None
    at: str = ""


class Failed(Exception):
    """An attempt that gave no picture; `passing` says whether another one may give it, after `pause` seconds."""

    def __init__(self, outcome: str, reason: str, *, passing: bool = False, pause: float | None = None) -> None:
        super().__init__(reason)
        self.outcome, self.passing, self.pause = outcome, passing, pause


@dataclass(frozen=True)
class Answered:
    """What a host said of its robots.txt: the rules, or why it cannot be asked at all."""

    robots: Robots = EVERYTHING
    failed: tuple[str, str] | None = None
    """Outcome and reason."""


@dataclass
class Hosts:
    """robots.txt of each host, asked once, and the time of the last request to each."""

    session: aiohttp.ClientSession
    rules: FetchRules
    sleep: Sleep
    answered: dict[str, Answered] = field(default_factory=dict)
    asking: dict[str, asyncio.Lock] = field(default_factory=dict)
    next_at: dict[str, float] = field(default_factory=dict)

    async def turn(self, host: str) -> None:
        """Wait until the host may be asked again."""
        if self.rules.host_interval > 0:
            now = time.monotonic()
            at = max(now, self.next_at.get(host, now))
            self.next_at[host] = at + self.rules.host_interval
            await self.sleep(at - now)

    async def require(self, url: str) -> None:
        """Ask the host of an address for its robots.txt, unless it has answered, and hold the address against it.

        Raises:
            Failed: the host disallows the address, or cannot be asked.
            BadAddress: the host is an internal one.
        """
        origin = urljoin(url, "/")
        async with self.asking.setdefault(origin, asyncio.Lock()):
            if origin not in self.answered:
                self.answered[origin] = await self._ask(origin)
        answered = self.answered[origin]
        if answered.failed is not None:
            raise Failed(*answered.failed)
        if not answered.robots.allows(url):
            raise Failed("robots", answered.robots.reason)

    async def _ask(self, origin: str) -> Answered:
        """The answer of a host, asked again as long as its failure may pass."""
        chance = random.Random(origin)
        for attempt in range(self.rules.attempts):
            try:
                return Answered(await self._asked(origin))
            except Failed as error:
                if attempt + 1 == self.rules.attempts:
                    if error.outcome == "http_error":
                        return Answered(nothing(f"robots.txt is not given: {error}"))
                    return Answered(failed=(error.outcome, f"robots.txt: {error}"))
                await self.sleep(pause(self.rules, attempt, chance, error.pause))
        raise AssertionError("at least one attempt is made")

    async def _asked(self, origin: str) -> Robots:
        url = urljoin(origin, "/robots.txt")
        # Half of the time of a picture, so that a host which never answers fails here and not in each of its pictures.
        timeout = aiohttp.ClientTimeout(total=self.rules.timeout / 2, sock_connect=self.rules.connect_timeout)
        with named_failures(self.rules):
            for _ in range(self.rules.redirects + 1):
                check_address(url, self.rules.internal)
                await self.turn(host_of(url))
                async with self.session.get(url, allow_redirects=False, timeout=timeout) as reply:
                    if reply.status in MOVED and "Location" in reply.headers:
                        url = urljoin(url, reply.headers["Location"].strip())
                        continue
                    if reply.status in PASSING:
                        again = _retry_after(reply.headers.get("Retry-After", ""))
                        raise Failed("http_error", f"HTTP {reply.status}", passing=True, pause=again)
                    if reply.status >= 400:
                        return EVERYTHING
                    text = (await _beginning(reply, LARGEST)).decode("utf-8", "replace")
                    return read_robots(text, self.rules.agent)
        # RFC 9309, 2.3.1.2: after too many redirects the file counts as unavailable.
        return EVERYTHING


def pause(rules: FetchRules, attempt: int, chance: random.Random, asked: float | None) -> float:
    """Seconds before the attempt after `attempt`, which counts from 0."""
    own = rules.first_pause * 2**attempt * (1 + chance.random() / 2)
    return min(rules.longest_pause, max(own, asked or 0.0))


@contextmanager
def named_failures(rules: FetchRules) -> Generator[None]:
    """Turn the errors of the client into `Failed` and `BadAddress`."""
    try:
        yield
    except aiohttp.ConnectionTimeoutError:
        raise Failed("timeout", f"the host was not reached within {rules.connect_timeout:g} s", passing=True) from None
    except TimeoutError:
        raise Failed("timeout", f"not all had arrived after {rules.timeout:g} s", passing=True) from None
    except (aiohttp.ClientError, OSError) as error:
        if (inner := _bad_address(error)) is not None:
            raise inner from None
        if isinstance(error, aiohttp.InvalidURL):
            raise BadAddress("bad_address", f"it is malformed: {str(error)[:100]}") from None
        # A certificate does not become valid within minutes.
        lasting = isinstance(error, aiohttp.ClientSSLError)
        raise Failed("connection", _named(error), passing=not lasting) from None


async def _beginning(reply: aiohttp.ClientResponse, most: int) -> bytes:
    data = bytearray()
    async for chunk in reply.content.iter_chunked(CHUNK):
        data += chunk
        if len(data) >= most:
            break
    return bytes(data[:most])


def _bad_address(error: BaseException | None) -> BadAddress | None:
    """The refusal of the resolver that an error of the client wraps."""
    for _ in range(8):
        if error is None or isinstance(error, BadAddress):
            return error
        error = getattr(error, "os_error", None) or error.__cause__ or error.__context__
    return None


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:150]}" if str(error) else type(error).__name__


@dataclass
class Fetcher:
    """Fetches addresses into a store."""

    hosts: Hosts
    store: PictureStore
    rules: FetchRules
    scratch: Path
    """Folder of bodies that are still arriving, on the same disk as the store."""
    sleep: Sleep = asyncio.sleep

    async def fetch(self, wanted: Wanted) -> Fetched:
        """Fetch one address; never raises for what a host does.

        Raises:
            WatershedError: the picture cannot be written.
        """
        found = Fetched(place=wanted.url, host=host_of(wanted.url), declared_sha256=wanted.sha256)
        chance = random.Random(wanted.url)
        tries = 0
        while True:
            try:
                await self._attempt(wanted, found)
                found.outcome, found.reason = "ok", ""
            except BadAddress as error:
                found.outcome, found.reason = error.outcome, str(error)
            except Failed as error:
                found.outcome, found.reason = error.outcome, str(error)
                tries += 1
                if error.passing and tries < self.rules.attempts:
                    await self.sleep(pause(self.rules, tries - 1, chance, error.pause))
                    continue
            found.at = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            return found

    async def _attempt(self, wanted: Wanted, found: Fetched) -> None:
        found.redirects, found.status, found.robots_tag = [], None, None
        url, sent = wanted.url, False
        with named_failures(self.rules):
            while True:
                check_address(url, self.rules.internal)
                await self.hosts.require(url)
                await self.hosts.turn(host_of(url))
                found.attempts += not sent
                sent = True
                # The client's own limit of time covers the body too.
                async with self.hosts.session.get(url, allow_redirects=False) as reply:
                    found.status = reply.status
                    if reply.status in MOVED and "Location" in reply.headers:
                        url = urljoin(url, reply.headers["Location"].strip())
                        found.redirects.append(url[:4096])
                        if len(found.redirects) > self.rules.redirects:
                            raise Failed("redirects", f"more than {self.rules.redirects} redirects")
                        continue
                    await self._receive(wanted, found, reply)
                    return

    async def _receive(self, wanted: Wanted, found: Fetched, reply: aiohttp.ClientResponse) -> None:
        tags = reply.headers.getall("X-Robots-Tag", [])
        found.robots_tag = ", ".join(tags)[:500] or None
        if reply.status != 200:
            pause = _retry_after(reply.headers.get("Retry-After", ""))
            passing = reply.status in PASSING
            raise Failed("http_error", f"HTTP {reply.status}", passing=passing, pause=pause)
        if forbids_training(tags, self.rules.agent):
            raise Failed("noai", f"X-Robots-Tag: {found.robots_tag}")
        kind = reply.headers.get("Content-Type", "").split(";")[0].strip().lower()
        if kind.startswith(REFUSED_TYPES):
            raise Failed("wrong_type", f"its Content-Type is {kind[:60]}")
        most = self.rules.largest
        if (reply.content_length or 0) > most:
            raise Failed("too_large", f"{reply.content_length:,} bytes, more than {most:,}")
        if is_placeholder_address(str(reply.url)):
            raise Failed("placeholder", f"the host gave {str(reply.url)[:200]}")
        partial = self.scratch / f"{secrets.token_hex(12)}{PARTIAL}"
        try:
            found.observed_sha256 = digest = await self._stream(reply, partial, found)
            looked = await asyncio.to_thread(_look, partial, self.rules.most_pixels)
            found.format, found.width, found.height = looked.format, looked.width, looked.height
            if wanted.sha256 not in (None, digest):
                raise Failed("changed", "the bytes are others than those that were annotated")
            if looked.one_colour and wanted.sha256 is None:
                raise Failed("placeholder", "all of its pixels have one colour")
            with _disk(self.store.folder):
                await asyncio.to_thread(self.store.take, partial, digest, looked)
        finally:
            partial.unlink(missing_ok=True)

    async def _stream(self, reply: aiohttp.ClientResponse, partial: Path, found: Fetched) -> str:
        """Write the body to a file; returns its SHA-256."""
        digest, size = hashlib.sha256(), 0
        with _disk(self.store.folder):
            file = partial.open("wb")
        with file:
            async for chunk in reply.content.iter_chunked(CHUNK):
                size += len(chunk)
                if size > self.rules.largest:
                    raise Failed("too_large", f"more than {self.rules.largest:,} bytes")
                digest.update(chunk)
                with _disk(self.store.folder):
                    file.write(chunk)
            with _disk(self.store.folder):
                file.flush()
        found.bytes = size
        return digest.hexdigest()


@contextmanager
def _disk(folder: Path) -> Generator[None]:
    """Tell the errors of the disk from those of the network."""
    try:
        yield
    except OSError as error:
        raise WatershedError(
            f"{folder} was not written: {error.strerror or error}", "free some space, and run it again"
        ) from error


def _look(path: Path, most_pixels: int) -> Looked:
    try:
        return look(path, most_pixels)
    except NotAPicture as error:
        raise Failed(error.kind, str(error)) from None


def _retry_after(value: str) -> float | None:
    """Seconds that Retry-After asks for: a number, or a date."""
    if value.strip().isascii() and value.strip().isdigit() and len(value) < 9:
        return float(value)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return None
    now = datetime.datetime.now(at.tzinfo or datetime.UTC)
    return max(0.0, (at.replace(tzinfo=at.tzinfo or datetime.UTC) - now).total_seconds())

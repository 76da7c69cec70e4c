"""Many addresses: hosts in turn, within the limits of each, with a journal from which a killed download goes on.

Every outcome is one line of `journal.jsonl`, written as soon as it is known. An address in the journal is not asked
again; what was in flight when the process was killed is.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

import aiohttp

from catalog.errors import WatershedError
from catalog.files import PARTIAL
from spark_jobs.pictures.addresses import PublicResolver, host_of
from spark_jobs.pictures.fetch import Fetched, Fetcher, Hosts, Sleep, Wanted
from spark_jobs.pictures.rules import FetchRules
from spark_jobs.pictures.store import PictureStore

FSYNC_EVERY = 200
"""Lines of the journal after which it is flushed to the disk. A killed process loses none, a machine at most these."""


class Journal:
    """The outcomes of a download, a JSON line each. One process at a time holds it.

    Raises:
        WatershedError: the file is not a journal, or another process holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.known: dict[str, dict[str, Any]] = {}
        self._unsynced = 0
        self._file: IO[bytes] = path.open("ab+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise WatershedError(f"another process downloads by {path}", "wait until it has ended") from None
        self._file.seek(0)
        whole = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            self._remember(line)
            whole += len(line)
        # A line that a killed process did not end.
        self._file.truncate(whole)

    def _remember(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            self.known[row["place"]] = row
        except (ValueError, KeyError, TypeError):
            raise WatershedError(
                f"{self.path} is not a journal of downloads", "delete it, and download again"
            ) from None

    def add(self, found: Fetched) -> None:
        """Write an outcome."""
        row = asdict(found)
        self._file.write(json.dumps(row, ensure_ascii=True).encode() + b"\n")
        self._file.flush()
        self.known[found.place] = row
        self._unsynced += 1
        if self._unsynced >= FSYNC_EVERY:
            os.fsync(self._file.fileno())
            self._unsynced = 0

    def close(self) -> None:
        """Flush to the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


class _Turns:
    """Addresses by host. `take` gives one of a host that has a free place."""

    def __init__(self, wanted: Iterable[Wanted], per_host: int) -> None:
        self._waiting: dict[str, deque[Wanted]] = {}
        for each in wanted:
            self._waiting.setdefault(host_of(each.url), deque()).append(each)
        self._ready = deque(self._waiting)
        self._busy = dict.fromkeys(self._waiting, 0)
        self._per_host = per_host
        self._freed = asyncio.Condition()

    async def take(self) -> tuple[str, Wanted] | None:
        """An address and its host; None if all have been taken."""
        async with self._freed:
            while not self._ready:
                if not self._waiting:
                    return None
                await self._freed.wait()
            host = self._ready.popleft()
            wanted = self._waiting[host].popleft()
            self._busy[host] += 1
            if not self._waiting[host]:
                del self._waiting[host]
            elif self._busy[host] < self._per_host:
                self._ready.append(host)
            if not self._waiting:
                self._freed.notify_all()
            return host, wanted

    async def give_back(self, host: str) -> None:
        """Free the place of a host."""
        async with self._freed:
            self._busy[host] -= 1
            if host in self._waiting and self._busy[host] == self._per_host - 1:
                self._ready.append(host)
                self._freed.notify()


def download(
    wanted: Iterable[Wanted],
    store: PictureStore,
    journal: Path,
    rules: FetchRules,
    *,
    report: Callable[[Fetched], None] = lambda found: None,
    sleep: Sleep = asyncio.sleep,
) -> dict[str, dict[str, Any]]:
    """Fetch every address once, unless the journal has it; returns the outcome of each.

    Args:
        wanted: the addresses; repeated ones are asked once.
        store: where pictures go.
        journal: the file of outcomes.
        rules: limits.
        report: is called with each new outcome.
        sleep: how pauses are made.

    Raises:
        WatershedError: the journal is none, or the disk is full.

    Example:
        >>> store = PictureStore(Path("pictures"))
        >>> wanted = [Wanted(url="https://example.org/a.jpg")]
        >>> download(wanted, store, Path("journal.jsonl"), FetchRules())["https://example.org/a.jpg"]["outcome"]
        'ok'
    """
    book = Journal(journal)
    try:
        each = {one.url: one for one in wanted}
        if missing := [one for url, one in each.items() if url not in book.known]:
            _run(_all(missing, store, book, rules, report=report, sleep=sleep))
        return {url: book.known[url] for url in each}
    except OSError as error:
        raise WatershedError(
            f"{journal} was not written: {error.strerror or error}", "free some space, and run it again"
        ) from error
    except BaseExceptionGroup as group:
        # Tasks that fail together: the first of them says enough.
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        raise error from None
    finally:
        book.close()


def _run(work: Any) -> None:
    """Run a coroutine, also where the caller's thread has a running loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(work)
        return
    import threading

    failed: list[BaseException] = []

    def inside() -> None:
        try:
            asyncio.run(work)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]


async def _all(
    wanted: list[Wanted],
    store: PictureStore,
    book: Journal,
    rules: FetchRules,
    *,
    report: Callable[[Fetched], None],
    sleep: Sleep,
) -> None:
    # Of this journal alone: what a killed download of it left can go.
    scratch = store.folder / f"arriving-{book.path.stem}"
    scratch.mkdir(parents=True, exist_ok=True)
    for left in scratch.glob(f"*{PARTIAL}"):
        left.unlink(missing_ok=True)
    resolver = PublicResolver(rules.internal)
    connector = aiohttp.TCPConnector(
        resolver=resolver, socket_factory=resolver.open_socket, limit=rules.concurrency, ttl_dns_cache=300
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={
            "User-Agent": rules.user_agent,
            "Accept": "image/webp,image/png,image/jpeg,*/*;q=0.1",
            "Accept-Encoding": "identity",
        },
        timeout=aiohttp.ClientTimeout(total=rules.timeout, sock_connect=rules.connect_timeout),
        max_line_size=16_384,
        max_field_size=16_384,
        trust_env=False,
    )
    async with session:
        fetcher = Fetcher(Hosts(session, rules, sleep), store, rules, scratch, sleep)
        turns = _Turns(wanted, rules.per_host)

        async def work() -> None:
            while (taken := await turns.take()) is not None:
                host, one = taken
                found = await fetcher.fetch(one)
                book.add(found)
                report(found)
                await turns.give_back(host)

        async with asyncio.TaskGroup() as group:
            for _ in range(min(rules.concurrency, len(wanted))):
                group.create_task(work())

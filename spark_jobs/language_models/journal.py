"""The journal of attempts: what was sent, and what came back, on the disk before it counts.

A file of JSON lines, each after the CRC-32 of its text. An attempt is written before it is sent and again when its
outcome is known. Records that wait at the same time share one `fsync`. The last line may be cut short by a kill, and is
then left out. Any other line that differs from its checksum stops the reader: it could be a reply that was paid for.
"""

from __future__ import annotations

import asyncio
import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError


class Journal:
    """A file that records are appended to, from one event loop."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab")
        self._waiting: list[tuple[bytes, asyncio.Future[None]]] = []
        self._flushing: asyncio.Task[None] | None = None
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    async def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, and return when it is on the disk.

        Raises:
            WatershedError: the disk is full or cannot be written.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((line_of(record), done))
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush())
        # The record is written even if whoever waits for it is cancelled.
        await asyncio.shield(done)

    async def _flush(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                await asyncio.to_thread(self._write, b"".join(line for line, _ in waiting))
            except OSError as error:
                for _, done in waiting:
                    if not done.done():
                        done.set_exception(_unwritten(self.path, error))
                        # Whoever was cancelled asks no more.
                        done.exception()
            else:
                for _, done in waiting:
                    if not done.done():
                        done.set_result(None)
        self._flushing = None

    def write_now(self, records: list[Mapping[str, Any]]) -> None:
        """Add records outside of the event loop's turn, and return when they are on the disk."""
        try:
            self._write(b"".join(map(line_of, records)))
        except OSError as error:
            raise _unwritten(self.path, error) from error

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())

    async def drain(self) -> None:
        """Wait until everything that was added is on the disk."""
        if self._flushing:
            await self._flushing

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _unwritten(path: Path, error: OSError) -> WatershedError:
    return WatershedError(
        f"{path} was not written: {error.strerror or error}",
        "free some space and run it again; replies that are recorded are not paid for again",
    )


def line_of(record: Mapping[str, Any]) -> bytes:
    """Return a record as a line of the journal."""
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def read_journal(path: Path) -> list[dict[str, Any]]:
    """Return the records of a journal, without a last line that was cut short.

    Raises:
        WatershedError: a line differs from its checksum.
    """
    data = path.read_bytes()
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        crc, _, text = line.partition(b" ")
        if crc != b"%08x" % zlib.crc32(text):
            raise WatershedError(
                f"{path}: line {number} differs from its checksum",
                "restore the file, or remove it: its attempts are then unknown, and may be paid for again",
            )
        records.append(json.loads(text))
    return records

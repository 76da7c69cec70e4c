"""Many files read at any byte, with as many kept open as this process may have.

Bytes are read by position (pread) and not mapped into memory: a file that shrinks or cannot be read is then an error
that names it, where a mapped one ends the process with SIGBUS. A file stays open until the process comes near its
limit of open files, and then the ones not read for longest are closed.
"""

from __future__ import annotations

import os
import resource
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from trainers.process.errors import TrainerError

LEFT_TO_OTHERS = 256
"""Descriptors that are not used here, of a limit that is commonly 1024."""
MOST_DESCRIPTORS = 16_384
"""Up to here the process's soft limit is raised, where its hard limit allows it."""
MEND = "copy the shards again in full, and start the run again: it goes on from its last checkpoint"

_open_descriptors = 0


@lru_cache(maxsize=1)
def most_open() -> int:
    """Files that may be open here at a time, over all `OpenFiles` of the process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (ValueError, OSError):
            pass
    limit = MOST_DESCRIPTORS if soft == resource.RLIM_INFINITY else min(soft, MOST_DESCRIPTORS)
    return max(1, limit - LEFT_TO_OTHERS)


class OpenFiles:
    """Files by number, each opened when it is first read."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths
        self._open: OrderedDict[int, int] = OrderedDict()
        weakref.finalize(self, _close_all, self._open)

    def read_into(self, number: int, offset: int, row: memoryview) -> None:
        """Fill `row`, a view of bytes, with those of file `number` from `offset` on.

        Raises:
            TrainerError: the file is missing, cannot be read, or ends before the row is full.
        """
        descriptor = self._open.get(number)
        if descriptor is None:
            descriptor = self._descriptor(number)
        else:
            self._open.move_to_end(number)
        try:
            read = os.preadv(descriptor, (row,), offset)
        except OSError as error:
            raise TrainerError(f"{self._paths[number]} cannot be read: {error.strerror}", MEND) from None
        if read != row.nbytes:
            self._read_rest(number, descriptor, offset, row, read)

    def _read_rest(self, number: int, descriptor: int, offset: int, row: memoryview, read: int) -> None:
        """Read on after a short read: a file system may give a part at a time, and nothing only at the end."""
        while read < len(row):
            more = os.preadv(descriptor, (row[read:],), offset + read)
            if more == 0:
                size = os.fstat(descriptor).st_size
                raise TrainerError(
                    f"{self._paths[number]} was cut short while it was read: it has {size} bytes, and those from"
                    f" {offset} to {offset + len(row)} were asked for",
                    MEND,
                )
            read += more

    def _descriptor(self, number: int) -> int:
        global _open_descriptors  # noqa: PLW0603
        while self._open and _open_descriptors >= most_open():
            _, oldest = self._open.popitem(last=False)
            os.close(oldest)
            _open_descriptors -= 1
        try:
            descriptor = os.open(self._paths[number], os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise TrainerError(f"{self._paths[number]} cannot be opened: {error.strerror}", MEND) from None
        _open_descriptors += 1
        self._open[number] = descriptor
        return descriptor


def _close_all(descriptors: OrderedDict[int, int]) -> None:
    global _open_descriptors  # noqa: PLW0603
    while descriptors:
        os.close(descriptors.popitem()[1])
        _open_descriptors -= 1

"""What was found in local archives, kept beside the project, so that an unchanged archive is not read again.

A file counts as unchanged if its size and both of its times (of its contents and of its inode) are the same. What is
younger than RACY_NS is read again, because another write within the resolution of the clock would not be seen.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.files import whole_file

RACY_NS = 2_000_000_000

FIELDS = ("bytes", "digest", "state", "reason")

Describe = Callable[[str], dict[str, Any]]


class KnownFiles:
    """The file `path`, in JSON: for each archive its size, its times and FIELDS. A damaged file counts as empty."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries: dict[str, tuple[list[int], list[Any]]] = {}
        self._changed = False
        with suppress(OSError, ValueError, TypeError, AttributeError):
            for uri, (stamp, found) in json.loads(path.read_text()).items():
                if isinstance(stamp, list) and len(found) == len(FIELDS):
                    self._entries[uri] = (stamp, found)

    def remembered(self, describe: Describe) -> Describe:
        """`describe`, called only for remote archives and for local ones that have changed."""

        def lookup(uri: str) -> dict[str, Any]:
            stamp = _stamp(uri)
            entry = self._entries.get(uri)
            if stamp is not None and entry is not None and entry[0] == stamp:
                return dict(zip(FIELDS, entry[1], strict=True))
            found = describe(uri)
            settled = stamp is not None and max(stamp[1:]) < time.time_ns() - RACY_NS and stamp == _stamp(uri)
            if stamp is not None and settled:
                self._entries[uri] = (stamp, [found[name] for name in FIELDS])
                self._changed = True
            return found

        return lookup

    def keep(self, uris: Iterable[str]) -> None:
        """Write the entries of `uris`, if any is new. A disk that is full or read-only only costs a second reading."""
        if self._changed:
            wanted = set(uris)
            entries = {uri: entry for uri, entry in self._entries.items() if uri in wanted}
            with suppress(WatershedError), whole_file(self.path) as partial:
                partial.write_text(json.dumps(entries))
            self._changed = False


def _stamp(uri: str) -> list[int] | None:
    """Size, time of contents and time of inode in nanoseconds; None for what is not a file."""
    if "://" in uri:
        return None
    try:
        stat = Path(uri).stat()
    except OSError:
        return None
    return [stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]

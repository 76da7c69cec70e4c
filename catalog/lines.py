"""Lines of files from strangers, which may be compressed and whose lines may be of any length."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast


def opened(path: Path) -> BinaryIO:
    """Open a file for reading; one that ends with .gz or .zst is decompressed.

    Raises:
        OSError: It cannot be opened.
    """
    if path.suffix == ".gz":
        return cast(BinaryIO, io.BufferedReader(gzip.GzipFile(path)))
    if path.suffix == ".zst":
        import zstandard

        return cast(
            BinaryIO, io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(path.open("rb"), closefd=True))
        )
    return path.open("rb")


def bounded_lines(file: BinaryIO, longest: int) -> Iterator[tuple[int, bytes | None]]:
    """Yield the number, from 1, and the bytes of each line that is not blank; None for one of more than `longest`.

    No more than `longest` bytes are in memory.

    Example:
        >>> import io
        >>> from catalog.lines import bounded_lines
        >>> list(bounded_lines(io.BytesIO(b"ab\\n\\nabcdef\\ncd"), 3))
        [(1, b'ab\\n'), (3, None), (4, b'cd')]
    """
    number = 0
    while line := file.readline(longest + 1):
        number += 1
        if len(line) > longest:
            while line and not line.endswith(b"\n"):
                line = file.readline(longest)
            yield number, None
        elif line.strip():
            yield number, line

"""The text of a page's main content, equal to that of resiliparse 2.0.1, or None where equality is not certain.

The reference is `resiliparse.extract.html2text.extract_plain_text(html, main_content=True)`, which collects texts and
matches regular expressions again for each element. Here a page is parsed into a table of nodes (`html.parse`), one
automaton matches its classes (`html.classes`), and one walk (`html.walk`) writes the text. If a page contains anything
that may be read differently, the result is None, and the caller uses resiliparse.
"""

from __future__ import annotations

import threading

import numpy as np

from spark_jobs.kernels import compiled
from spark_jobs.kernels.html.classes import rules
from spark_jobs.kernels.html.filters import Measures
from spark_jobs.kernels.html.lines import Page, page
from spark_jobs.kernels.html.links import MEASURES
from spark_jobs.kernels.html.nodes import ATTRIBUTE_COLUMNS, NODE_COLUMNS
from spark_jobs.kernels.html.parse import parse_into, room
from spark_jobs.kernels.html.tree import NAME_COLUMNS, NODES, QUIRKS
from spark_jobs.kernels.html.walk import walk
from spark_jobs.kernels.text_buffers import BLOCK

MOST_BYTES = 1 << 28
"""Largest page in bytes; kernels count in 31 bits."""
MOST_OPEN = 1 << 14
"""Deepest nesting of tags, counted as if every tag had to be closed. The parser's time may grow with its square."""
_SLACK = 1 << 16
"""Bytes by which a text may be longer than its page: indents and line breaks."""


class _Room(threading.local):
    """Arrays of a thread for parsed pages and their texts; larger pages replace them by larger ones."""

    def __init__(self) -> None:
        # The arrays start with the size that an empty page needs.
        self.rows = self.bytes = -1

    def fit(self, size: int, tags: int) -> None:
        """Enlarge the arrays if a page of this many bytes and `<` needs it."""
        if size > self.bytes or 4 * tags > self.rows:
            self.bytes, self.rows = max(2 * size, self.bytes), max(8 * tags, self.rows)
            rows, attributes, characters, numbers = room(self.bytes, self.rows // 4)
            self.nodes = np.empty((rows, NODE_COLUMNS), np.int32)
            self.attributes = np.empty((attributes, ATTRIBUTE_COLUMNS), np.int32)
            self.buffer = np.empty(characters, np.uint8)
            self.names = np.empty((rows, NAME_COLUMNS), np.int64)
            self.state = np.empty(numbers, np.int64)
            self.measured = measures(rows)
            self.page = page(self.bytes + _SLACK)


_ROOM = _Room()


def is_ready() -> bool:
    """Whether `main_content` can be called without compiling first."""
    return compiled.is_ready(parse_into, walk)


def main_content(html: bytes) -> str | None:
    """The text of a page's main content; None if resiliparse must extract it.

    Args:
        html: UTF-8.
    """
    if len(html) > MOST_BYTES or b"\0" in html:
        return None
    own = _ROOM
    data = np.frombuffer(html + bytes(BLOCK), np.uint8)
    tags = int(np.count_nonzero(data == ord("<")))
    if tags > MOST_OPEN and _open_at_most(data) > MOST_OPEN:
        return None
    own.fit(len(html), tags)
    if parse_into(data, 0, len(html), own.nodes, own.attributes, own.buffer, own.names, own.state):
        return None
    count, quirks = own.state[NODES], own.state[QUIRKS] == 1
    return _text(walk(own.nodes, count, quirks, own.attributes, own.buffer, rules(), own.measured, own.page), own.page)


def _open_at_most(data: np.ndarray) -> int:
    """The deepest nesting of tags, if each had to be closed."""
    steps = np.where(data[np.flatnonzero(data == ord("<")) + 1] == ord("/"), -1, 1)
    height = np.cumsum(steps)
    return int((height - np.minimum(np.minimum.accumulate(height), 0)).max())


def text_of(nodes: np.ndarray, attributes: np.ndarray, buffer: np.ndarray, *, quirks: bool) -> str | None:
    """The text of the main content of a parsed page; None if resiliparse must extract it.

    Args:
        nodes: int32, [nodes, NODE_COLUMNS], in the layout of `html.nodes`.
        attributes: int32, [attributes, ATTRIBUTE_COLUMNS].
        buffer: uint8; BLOCK more bytes after the used part must be readable.
        quirks: the page is in quirks mode.
    """
    into = page(len(buffer) + _SLACK)
    count = np.int64(len(nodes))
    return _text(walk(nodes, count, np.bool_(quirks), attributes, buffer, rules(), measures(len(nodes)), into), into)


def measures(rows: int) -> Measures:
    """Arrays for the measures of a page with `rows` nodes."""
    return Measures(np.empty((rows, MEASURES), np.int32), np.empty(rows, np.uint8), np.empty(1, np.int32))


def _text(written: int, of: Page) -> str | None:
    return None if written < 0 else of.out[:written].tobytes().decode()

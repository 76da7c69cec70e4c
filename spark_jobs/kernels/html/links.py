"""How much of an element's text stands in links.

resiliparse 2.0.1 (resiliparse-rs/src/extract/filters.rs, `link_cluster`) gathers, for each element that it asks about,
the text below it and below its links anew. Here one pass over an element measures all that stand below it too.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import between64, equal64, low_bits, ones
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.nodes import ELEMENT, END, FIRST_CHILD, KIND, NEXT, PARENT, START, TAG, TEXT, tag

TEXT_BYTES = 0
"""Column of measures (int32): bytes of an element's text, white space collapsed."""
LINK_BYTES = 1
"""The same of the links below it, each by itself."""
_TEXTS = 2
"""While an element is open: how many texts came before it."""
MEASURES = 3

_A = np.int32(tag("a"))
_SPACE, _FIRST_SPACE, _LAST_SPACE = np.uint8(0x20), np.uint8(0x09), np.uint8(0x0D)
_ONE = np.uint64(1)


@inner
def spaces64(data, position):
    """Which of 64 bytes are white space: a blank, tab, newline, vertical tab, form feed or carriage return."""
    return between64(data, position, _FIRST_SPACE, _LAST_SPACE) | equal64(data, position, _SPACE)


@inner
def measure(root, nodes, buffer, measures, joins):
    """Write the measures of `root` and all elements below it.

    Args:
        joins: uint8, for each text that is not empty: it begins with white space, and the one before ended with some.
    """
    written = 0
    links = 0
    texts = 0
    in_space = np.uint64(0)
    node = root
    while True:
        if nodes[node, KIND] == TEXT:
            start, stop = nodes[node, START], nodes[node, END]
            if stop > start:
                first = spaces64(buffer, start) & _ONE
                joins[texts] = first & in_space
                texts += 1
                added, in_space = _collapsed(buffer, start, stop, in_space)
                written += added
        elif nodes[node, KIND] == ELEMENT:
            measures[node, TEXT_BYTES] = written
            measures[node, LINK_BYTES] = links
            measures[node, _TEXTS] = texts
            child = nodes[node, FIRST_CHILD]
            if child >= 0:
                node = child
                continue
            _close(node, measures, written, links, texts, joins)
        # On to the next node in document order, closing the elements that end before it.
        while node != root and nodes[node, NEXT] < 0:
            node = nodes[node, PARENT]
            size = _close(node, measures, written, links, texts, joins)
            links += size if nodes[node, TAG] == _A else 0
        if node == root:
            return
        node = nodes[node, NEXT]


@inner
def _close(node, measures, written, links, texts, joins):
    """Turn what had come before an element into what came inside; returns the bytes of its text."""
    before = measures[node, _TEXTS]
    size = written - measures[node, TEXT_BYTES]
    # White space that continues some before the element is its own first.
    if texts > before:
        size += joins[before]
    measures[node, TEXT_BYTES] = size
    measures[node, LINK_BYTES] = links - measures[node, LINK_BYTES]
    return size


@inner
def _collapsed(data, start, stop, in_space):
    """Bytes of a text of which each run of white space is one; whether it ends in white space, as 0 or 1."""
    size = 0
    for position in range(start, stop, 64):
        count = min(stop - position, 64)
        spaces = spaces64(data, position) & low_bits(count)
        size += count - ones(spaces & (spaces << _ONE | in_space))
        in_space = spaces >> np.uint64(count - 1) & _ONE
    return size, in_space


@inner
def is_link_cluster(node, measures, ratio, most):
    """Whether links have more than a ratio of the text of an element that has been measured.

    Args:
        most: bytes of text; of more, no ratio makes a cluster. 0 for any.
    """
    size, links = measures[node, TEXT_BYTES], measures[node, LINK_BYTES]
    return size > 0 and links > 0 and not (most > 0 and size > most) and links / size > ratio

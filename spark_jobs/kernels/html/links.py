"""The share of an element's text that is in links.

For each element that it tests, resiliparse 2.0.1 (resiliparse-rs/src/extract/filters.rs, `link_cluster`) collects the
text below it and below its links again. Here one pass over an element also measures all elements below it.
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
"""Column: the same for the links below it, each measured by itself."""
_TEXTS = 2
"""Column: while an element is open, the number of texts before it."""
MEASURES = 3

_A = np.int32(tag("a"))
_SPACE, _FIRST_SPACE, _LAST_SPACE = np.uint8(0x20), np.uint8(0x09), np.uint8(0x0D)
_ONE = np.uint64(1)


@inner
def spaces64(data, position):
    """A mask of the white space among 64 bytes: space, tab, newline, vertical tab, form feed and carriage return."""
    return between64(data, position, _FIRST_SPACE, _LAST_SPACE) | equal64(data, position, _SPACE)


@inner
def measure(root, nodes, buffer, measures, joins):
    """Write the measures of `root` and all elements below it.

    Args:
        joins: uint8, for each text that is not empty: it begins with white space and the text before ends with it.
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
        # Move to the next node in document order, and close the elements that end before it.
        while node != root and nodes[node, NEXT] < 0:
            node = nodes[node, PARENT]
            size = _close(node, measures, written, links, texts, joins)
            links += size if nodes[node, TAG] == _A else 0
        if node == root:
            return
        node = nodes[node, NEXT]


@inner
def _close(node, measures, written, links, texts, joins):
    """Replace the totals before an element by the totals inside it; return the bytes of its text."""
    before = measures[node, _TEXTS]
    size = written - measures[node, TEXT_BYTES]
    # White space that continues the white space before the element counts as the element's own.
    if texts > before:
        size += joins[before]
    measures[node, TEXT_BYTES] = size
    measures[node, LINK_BYTES] = links - measures[node, LINK_BYTES]
    return size


@inner
def _collapsed(data, start, stop, in_space):
    """Bytes of a text with each run of white space as one byte; 1 if it ends in white space, else 0."""
    size = 0
    for position in range(start, stop, 64):
        count = min(stop - position, 64)
        spaces = spaces64(data, position) & low_bits(count)
        size += count - ones(spaces & (spaces << _ONE | in_space))
        in_space = spaces >> np.uint64(count - 1) & _ONE
    return size, in_space


@inner
def is_link_cluster(node, measures, ratio, most):
    """Whether links hold more than `ratio` of the text of a measured element.

    Args:
        most: largest text, in bytes, that can be a cluster; 0 for no limit.
    """
    size, links = measures[node, TEXT_BYTES], measures[node, LINK_BYTES]
    return size > 0 and links > 0 and not (most > 0 and size > most) and links / size > ratio

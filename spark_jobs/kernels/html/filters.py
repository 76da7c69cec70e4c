"""Whether a node of a page belongs to its main content, by its tag, depth, attributes, class and share of links.

The rules and their order are those of resiliparse 2.0.1 (chatnoir-eu/chatnoir-resiliparse,
resiliparse-rs/src/extract/filters.rs), as `extract_plain_text(html, main_content=True)` applies them.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from spark_jobs.kernels.blocks import first_one
from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html import classes
from spark_jobs.kernels.html.classes import (
    ARIA_EXPANDED,
    ARIA_HIDDEN,
    ITEMPROP,
    REL,
    REL_MAIN,
    ROLE,
    STYLE,
    class_marks,
    value_marks,
)
from spark_jobs.kernels.html.links import is_link_cluster, measure, spaces64
from spark_jobs.kernels.html.nodes import (
    ATTRIBUTES,
    END,
    KIND,
    NAME,
    NEXT,
    PARENT,
    START,
    TAG,
    TAGS,
    TEXT,
    VALUE_END,
    VALUE_START,
    attribute,
    tag,
)
from spark_jobs.kernels.inlined import inlined

BLOCK, BIG, ALWAYS, NEVER, SKIPPED, APART, PREFORMATTED, LIST = (1 << bit for bit in range(8))
"""Properties of tags: is laid out on lines of its own; has blank lines around it; is always main content, whatever its
attributes; is never main content; is omitted from every text; begins a new piece of text; preserves white space; is a
list."""
_TAGS = {
    BLOCK: "address article aside blockquote br center details dd dt div dl fieldset figcaption figure footer form"
    " h1 h2 h3 h4 h5 h6 header hgroup hr li main nav ol p pre section table tr ul",
    BIG: "p h1 h2 h3 h4",
    ALWAYS: "body main h1",
    NEVER: "nav aside audio video time",
    SKIPPED: "script style iframe frame template noscript textarea input button select option label",
    APART: "textarea td th",
    PREFORMATTED: "pre textarea",
    LIST: "ul ol",
}


def _properties() -> np.ndarray:
    found = np.zeros(len(TAGS), np.uint8)
    for bit, names in _TAGS.items():
        for name in names.split():
            found[tag(name)] |= bit
    return found


PROPERTIES = _properties()
"""Properties of each tag, as bits."""

_DIV, _FOOTER, _UL, _ARTICLE, _A, _LI, _TD, _BODY = (
    np.int32(tag(name)) for name in ("div", "footer", "ul", "article", "a", "li", "td", "body")
)
_CLASS, _ID = np.int32(attribute("class")), np.int32(attribute("id"))

_HIDDEN, _ADVERTISEMENT = np.uint32(1 << 30), np.uint32(1 << 31)
_AGAINST = STYLE | REL | ITEMPROP | ARIA_HIDDEN | ARIA_EXPANDED | _HIDDEN
_ASKED = {
    "style": STYLE,
    "rel": REL | REL_MAIN,
    "itemprop": ITEMPROP,
    "aria-hidden": ARIA_HIDDEN,
    "aria-expanded": ARIA_EXPANDED,
    "role": ROLE,
}
_PRESENT = {
    "hidden": _HIDDEN,
    "data-ad": _ADVERTISEMENT,
    "data-advertisement": _ADVERTISEMENT,
    "data-text-ad": _ADVERTISEMENT,
}
ASKED = np.array([_ASKED.get(name, 0) for name in ATTRIBUTES], np.uint32)
"""Rules that apply to the value of each attribute."""
PRESENT = np.array([_PRESENT.get(name, 0) for name in ATTRIBUTES], np.uint32)
"""Marks that the presence of each attribute sets."""

_PILCROW = 0xB6C2
_ICONS = 0x8080EE, 0xBFA3EF
"""Bounds, as three UTF-8 bytes (first byte lowest), that contain the private use characters and some others."""


class Measures(NamedTuple):
    """Arrays that `html.links` writes, and the node it has reached."""

    measures: np.ndarray
    """int32, [node, MEASURES]."""
    joins: np.ndarray
    """uint8, a text each."""
    root: np.ndarray
    """int32, one value: the node that has been measured with all nodes below it; -1 if no node has."""


@inlined
def is_main_content(node, depth, nodes, attributes, buffer, rules, measured):
    """Whether an element `depth` levels below the body is main content."""
    name = nodes[node, TAG]
    properties = PROPERTIES[name]
    if properties & (ALWAYS | NEVER):
        return (properties & ALWAYS) != 0
    if name == _FOOTER:
        return depth >= 3 and not _is_cluster(node, nodes, buffer, measured, 0.2, 0) and _has_following(node, nodes)
    if name == _UL and (depth < 4 or _is_cluster(node, nodes, buffer, measured, 0.2, 0)):
        return False
    if name == _ARTICLE and depth > 2 and _is_cluster(node, nodes, buffer, measured, 0.2, 500):
        return False
    if nodes[node, START] == nodes[node, END]:
        return _is_main_by_depth(node, depth, nodes, buffer, measured)
    return _is_main_by_attributes(node, depth, nodes, attributes, buffer, rules, measured)


@inner
def _is_main_by_depth(node, depth, nodes, buffer, measured):
    """Whether an element without class and id is main content."""
    return nodes[node, TAG] != _DIV or depth <= 5 or not _is_cluster(node, nodes, buffer, measured, 0.6, 800)


@inner
def _is_main_by_attributes(node, depth, nodes, attributes, buffer, rules, measured):
    found, class_start, class_stop, id_start, id_stop = _read_attributes(node, nodes, attributes, buffer, rules.values)
    if found & _AGAINST:
        return False
    if class_start == class_stop and id_start == id_stop:
        return _is_main_by_depth(node, depth, nodes, buffer, measured)
    name = nodes[node, TAG]
    marks = class_marks(buffer, class_start, class_stop, id_start, id_stop, rules.classes)
    if found & _ADVERTISEMENT or _is_junk(name, depth, marks):
        return False
    if found & REL_MAIN or not (PROPERTIES[name] & BLOCK or name == _TD):
        return True
    is_named = name == _ARTICLE or marks & classes.ARTICLE
    if found & ROLE or is_named:
        return (found & ROLE) == 0
    if class_start < class_stop:
        marks |= value_marks(buffer, id_start, id_stop, rules.classes) & classes.LANDMARK
    is_deep_div = depth > 2 and name == _DIV
    return (marks & (classes.LANDMARK | classes.BOILERPLATE)) == 0 and not (
        is_deep_div and _is_cluster(node, nodes, buffer, measured, 0.6, 1500)
    )


@inner
def _read_attributes(node, nodes, attributes, buffer, rules):
    """Marks of all attributes, as bits, and the start and end of class and id."""
    class_start = class_stop = id_start = id_stop = np.int64(0)
    found = np.uint32(0)
    for row in range(nodes[node, START], nodes[node, END]):
        name = attributes[row, NAME]
        start, stop = np.int64(attributes[row, VALUE_START]), np.int64(attributes[row, VALUE_END])
        found |= PRESENT[name]
        if name == _CLASS:
            class_start, class_stop = start, stop
        elif name == _ID:
            id_start, id_stop = start, stop
        elif ASKED[name] and start < stop:
            found |= value_marks(buffer, start, stop, rules) & ASKED[name]
    return found, class_start, class_stop, id_start, id_stop


@inner
def _is_junk(name, depth, marks):
    """Whether the class or id marks an element that is never main content, whether it is a block or not."""
    refused = classes.HIDDEN | classes.JUNK
    if depth > 2:
        refused |= classes.DEEP
    if name in (_A, _DIV, _LI):
        refused |= classes.SKIPPING
    return (marks & refused) != 0


@inner
def _is_cluster(node, nodes, buffer, measured, ratio, most):
    if measured.root[0] < 0:
        measure(node, nodes, buffer, measured.measures, measured.joins)
        measured.root[0] = node
    return is_link_cluster(node, measured.measures, ratio, most)


@inner
def _has_following(node, nodes):
    """Whether more than one text follows an element or one of its ancestors below the body."""
    while nodes[node, PARENT] > 0:
        parent = nodes[node, PARENT]
        if nodes[parent, TAG] == _BODY:
            return False
        following = nodes[node, NEXT]
        if following >= 0 and (nodes[following, KIND] != TEXT or nodes[following, NEXT] >= 0):
            return True
        node = parent
    return False


@inner
def is_icon(data, start, stop):
    """Whether a text is only a pilcrow or a character of an icon font, apart from white space around it."""
    first = _first_other(data, start, stop)
    behind = min(first + 3, stop)
    if first == stop or _first_other(data, behind, stop) < stop:
        return False
    code = np.int64(0)
    size = 0
    for i in range(behind - first):
        byte = np.int64(data[first + i])
        if not (byte == 0x20 or 0x09 <= byte <= 0x0D):
            code |= byte << 8 * i
            size = i + 1
    return code == _PILCROW or (size == 3 and _ICONS[0] <= code <= _ICONS[1])


@inner
def _first_other(data, position, stop):
    """The first byte that is not white space; `stop` if all bytes are."""
    while position < stop:
        others = ~spaces64(data, position)
        if others:
            return min(position + first_one(others), stop)
        position += 64
    return stop

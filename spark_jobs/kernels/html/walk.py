"""The text of a parsed page's main content, written in one walk in document order.

The text equals `extract_plain_text(html, main_content=True)` of resiliparse 2.0.1 (chatnoir-eu/chatnoir-resiliparse,
resiliparse-rs/src/extract/html2text.rs) with its other defaults: bullets and alternative texts are written; addresses
of links, form fields, `noscript` and elements hidden by their class are not.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import ones
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.html.classes import ROOT_CLASSES, ROOT_ROLE, value_marks
from spark_jobs.kernels.html.filters import APART, BLOCK, PROPERTIES, SKIPPED, is_icon, is_main_content
from spark_jobs.kernels.html.lines import DEEPEST, WRITTEN, begin_piece, strip, write
from spark_jobs.kernels.html.nodes import (
    ELEMENT,
    END,
    FIRST_CHILD,
    KIND,
    NAME,
    NEXT,
    PARENT,
    START,
    TAG,
    TEXT,
    VALUE_END,
    VALUE_START,
    attribute,
    tag,
)
from spark_jobs.kernels.inlined import inlined

NO_BODY, TOO_LARGE = -1, -2
"""Reasons for a missing text: frames; elements, lists or rows nested too deep, or a text that exceeds its buffer."""

_HTML, _BODY = np.int32(tag("html")), np.int32(tag("body"))
_IMG, _AREA = np.int32(tag("img")), np.int32(tag("area"))
_CLASS, _ROLE, _ALT = (np.int32(attribute(name)) for name in ("class", "role", "alt"))
_EXACT = np.uint32((1 << ROOT_CLASSES) - 1)
_ANY_CASE = np.uint32(_EXACT << ROOT_CLASSES)


@entry
def walk(nodes, count, quirks, attributes, buffer, rules, measured, page):
    """Write the main content of `nodes[:count]`.

    Args:
        quirks: the page is in quirks mode, in which the case of a class does not count.

    Returns:
        the number of bytes written, or a negative number that gives the reason for a missing text.
    """
    page.state[:] = 0
    measured.root[0] = -1
    body = _child(_child(0, _HTML, nodes), _BODY, nodes)
    if body < 0:
        return np.int64(NO_BODY)
    root = _root(body, nodes, count, quirks, attributes, buffer, rules.roots)
    status = _walk_below(root, body, nodes, attributes, buffer, rules, measured, page)
    if status < 0:
        return np.int64(status)
    strip(page.out, page.state)
    return page.state[WRITTEN]


@inner
def _child(node, name, nodes):
    """The first child with a tag, or -1."""
    child = nodes[node, FIRST_CHILD] if node >= 0 else np.int32(-1)
    while child >= 0 and not (nodes[child, KIND] == ELEMENT and nodes[child, TAG] == name):
        child = nodes[child, NEXT]
    return child


@inner
def _root(body, nodes, count, quirks, attributes, buffer, rules):
    """The only element whose class or role marks main content; the body if there are several or none at all."""
    root = np.int64(body)
    found = 0
    asked = _ANY_CASE if quirks else _EXACT
    for node in range(count):
        if nodes[node, KIND] != ELEMENT or nodes[node, START] == nodes[node, END]:
            continue
        marks = np.uint32(0)
        for row in range(nodes[node, START], nodes[node, END]):
            name = attributes[row, NAME]
            if name in (_CLASS, _ROLE):
                of_attribute = asked if name == _CLASS else ROOT_ROLE
                start, stop = attributes[row, VALUE_START], attributes[row, VALUE_END]
                marks |= value_marks(buffer, start, stop, rules) & of_attribute
        if marks and _levels(node, body, nodes) > 0:
            # An element that matches two rules counts twice.
            found += ones(np.uint64(marks))
            root = np.int64(node)
            if found > 1:
                break
    return root if found == 1 else np.int64(body)


@inner
def _levels(node, body, nodes):
    """The number of levels from the body down to a node; -1 if the node is not below it."""
    levels = 0
    node = np.int64(node)
    while node != body:
        node = np.int64(nodes[node, PARENT])
        if node <= 0:
            return -1
        levels += 1
    return levels


@inner
def _walk_below(root, body, nodes, attributes, buffer, rules, measured, page):
    """Write the main content at and below a node; return 0, or the reason for a failure."""
    levels = _levels(root, body, nodes)
    node = np.int64(root)
    depth = 0
    depth_of_piece = np.int64(DEEPEST + 1)
    is_end = False
    while True:
        kind = nodes[node, KIND]
        name = nodes[node, TAG] if kind == ELEMENT else np.int32(0)
        if kind == TEXT:
            is_read = not is_icon(buffer, nodes[node, START], nodes[node, END])
        else:
            is_read = is_end or (
                kind == ELEMENT
                and (node == root or not PROPERTIES[name] & SKIPPED)
                and is_main_content(node, depth + levels, nodes, attributes, buffer, rules, measured)
            )
        if is_read:
            if depth < depth_of_piece or PROPERTIES[name] & (BLOCK | APART):
                depth_of_piece = depth
                if not begin_piece(name, is_end, page):
                    return TOO_LARGE
            if not _write_own(node, name, nodes, attributes, buffer, page):
                return TOO_LARGE
            child = np.int64(nodes[node, FIRST_CHILD])
            if not is_end and child >= 0:
                node = child
                depth += 1
                if depth > DEEPEST:
                    return TOO_LARGE
                continue
        if measured.root[0] == node:
            measured.root[0] = -1
        if node == root:
            return 0
        is_end = nodes[node, NEXT] < 0
        depth -= is_end
        node = np.int64(nodes[node, PARENT] if is_end else nodes[node, NEXT])


@inlined
def _write_own(node, name, nodes, attributes, buffer, page):
    """Write a node's own text, without its descendants; return false if out of space."""
    if nodes[node, KIND] == TEXT:
        return write(buffer, nodes[node, START], nodes[node, END], page)
    if name in (_IMG, _AREA):
        for row in range(nodes[node, START], nodes[node, END]):
            if attributes[row, NAME] == _ALT:
                return write(buffer, attributes[row, VALUE_START], attributes[row, VALUE_END], page)
    return True

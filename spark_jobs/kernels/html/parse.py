"""Parsing of HTML into a table of nodes: the tree that lexbor builds (resiliparse 2.0.1), by the WHATWG standard.

This is the standard's tree construction (WHATWG HTML 13.2.6, scripting disabled) for nearly all pages. Rare cases that
would take much code (framesets, tags cut off by the end of the page, some of MathML, malformed declarations) are not
handled: the status reports it, and the page is left to resiliparse. A tree that is built equals resiliparse's.
"""

# ruff: noqa: PLR0917, SIM110 (a compiled function takes arrays, and these by position; it knows no generators; a branch or return for each rule)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.blocks import find_byte
from spark_jobs.kernels.compiled import entry, inner
from spark_jobs.kernels.html.body import (
    BEFORE_HTML,
    IN_BODY,
    IN_CELL,
    IN_COLUMNS,
    IN_ROW,
    IN_SECTION,
    IN_TABLE,
    IN_TEMPLATE,
    INITIAL,
    PLAINTEXT,
    RCDATA,
    SCRIPT_DATA,
)
from spark_jobs.kernels.html.doctype import read_doctype
from spark_jobs.kernels.html.entities import decode
from spark_jobs.kernels.html.foreign import FOREIGN
from spark_jobs.kernels.html.marks import KINDS, LETTER, LOWER, apart, joined
from spark_jobs.kernels.html.modes import finish, put_body_text, put_comment, put_tag, put_text
from spark_jobs.kernels.html.nodes import ATTRIBUTE_COLUMNS, NODE_COLUMNS
from spark_jobs.kernels.html.tokens import (
    find_end_tag,
    find_script_end,
    find_tag,
    read_attributes,
    read_name,
    skip_comment,
)
from spark_jobs.kernels.html.tree import (
    ACTIVE,
    ATTRIBUTE_ROWS,
    CURSOR,
    FAILED,
    FORM,
    FRAMESET_OK,
    FULL,
    HEAD,
    MATH_TEXT,
    MODE,
    NAME_COLUMNS,
    NEW_DOCTYPE,
    NEW_DOCUMENT,
    NODES,
    NONE,
    NOTHING,
    QUIRKS,
    RAW,
    ROOM,
    SKIP_NEWLINE,
    STACK,
    SVG_POINT,
    TOKEN_HASH,
    UNHANDLED,
    USED,
    add_leaf,
    add_text,
    fail,
    new_node,
    pop,
    role,
)
from spark_jobs.kernels.text_buffers import BLOCK

_DECLARATION = np.frombuffer(b"doctype", np.uint8)
_CDATA = np.frombuffer(b"[cdata[", np.uint8)
_GREATER = np.uint8(ord(">"))
_SPARE = 128
_TRUE, _FALSE = np.bool_(True), np.bool_(False)


@inner
def _raw(page, position, end, nodes, names, attributes, buffer, state):
    """Read the content of an element without markup, up to its end tag; return the position of that tag."""
    apart()
    kind = state[RAW]
    state[RAW] = 0
    hashed = state[TOKEN_HASH]
    if kind == PLAINTEXT:
        stop = end
    elif kind == SCRIPT_DATA:
        stop = find_script_end(page, position, end, hashed)
    else:
        stop = find_end_tag(page, position, end, hashed)
    start = state[CURSOR]
    cursor = decode(page, position, stop, kind == RCDATA, _FALSE, buffer, start)
    if cursor < 0:
        fail(state, FULL)
        return stop
    state[CURSOR] = cursor
    start += state[SKIP_NEWLINE] and start < cursor and buffer[start] == 0x0A
    state[SKIP_NEWLINE] = 0
    if kind == PLAINTEXT:
        put_text(nodes, names, state, buffer, start, cursor)
        return stop
    add_text(nodes, names, state, buffer, start, cursor)
    pop(names, state)
    if stop == end:
        return stop
    stop = read_attributes(page, read_name(page, stop + 2, end, state), end, attributes, buffer, state, _TRUE)
    return stop if stop >= 0 else end


@inner
def _matches(page, position, end, word):
    if position + len(word) > end:
        return False
    for i in range(len(word)):
        if LOWER[page[position + i]] != word[i]:
            return False
    return True


@inner
def _declaration(page, position, end, nodes, names, buffer, state):
    """Read what begins with `<!`, `<?`, or `</` without a letter; return the position after it."""
    apart()
    start = position + 2
    if page[position + 1] == 0x21:
        if position + 3 < end and page[start] == 0x2D and page[start + 1] == 0x2D:
            stop, behind = skip_comment(page, start + 2, end)
            return _add_comment(page, start + 2, stop, behind, nodes, names, buffer, state)
        if _matches(page, start, end, _DECLARATION):
            behind, quirks = read_doctype(page, start + 7, end)
            # lexbor treats it as the end of a column group.
            if behind < 0 or state[MODE] in (IN_COLUMNS, IN_TEMPLATE):
                fail(state, UNHANDLED)
            elif state[MODE] == INITIAL:
                add_leaf(nodes, state, NEW_DOCTYPE, NOTHING, NONE, NOTHING, NOTHING)
                state[QUIRKS] = quirks
                state[MODE] = BEFORE_HTML
            return behind
        if _matches(page, start, end, _CDATA) and FOREIGN[role(names, state)]:
            return _section(page, start + 7, end, nodes, names, buffer, state)
    elif page[position + 1] == 0x3F:
        start = position + 1
    elif page[start] == _GREATER:
        if state[MODE] in (IN_TABLE, IN_SECTION, IN_ROW):
            fail(state, UNHANDLED)
        return start + 1
    stop = find_byte(page, start, end, _GREATER)
    return _add_comment(page, start, stop, stop + 1 if stop < end else -1, nodes, names, buffer, state)


@inner
def _section(page, position, end, nodes, names, buffer, state):
    """Read a CDATA section, which only SVG and MathML have; return the position after it."""
    apart()
    stop = position
    while stop + 2 < end and not (page[stop] == 0x5D and page[stop + 1] == 0x5D and page[stop + 2] == 0x3E):
        stop += 1
    if stop + 2 >= end or role(names, state) in (SVG_POINT, MATH_TEXT):
        fail(state, UNHANDLED)
        return end
    start = state[CURSOR]
    cursor = decode(page, position, stop, _FALSE, _FALSE, buffer, start)
    if cursor < 0:
        fail(state, FULL)
        return end
    state[CURSOR] = cursor
    put_text(nodes, names, state, buffer, start, cursor)
    return stop + 3


@inner
def _add_comment(page, start, stop, behind, nodes, names, buffer, state):
    apart()
    if behind < 0:
        fail(state, UNHANDLED)
        return behind
    cursor = decode(page, start, stop, _FALSE, _FALSE, buffer, state[CURSOR])
    if cursor < 0:
        fail(state, FULL)
        return behind
    put_comment(nodes, names, state, state[CURSOR], cursor)
    state[CURSOR] = cursor
    return behind


@inner
def _read_tag(page, position, end, nodes, names, attributes, buffer, state):
    """Read a tag at its `<`, and the text of an element without markup; return the position after it."""
    joined()
    is_end = page[position + 1] == 0x2F
    rows, cursor = state[ATTRIBUTE_ROWS], state[CURSOR]
    position = read_name(page, position + 1 + is_end, end, state)
    position = read_attributes(page, position, end, attributes, buffer, state, is_end)
    if position < 0:
        # The page ends inside the tag, so it does not count as a tag.
        state[ATTRIBUTE_ROWS], state[CURSOR] = rows, cursor
        return end
    state[USED] = 0
    put_tag(nodes, names, attributes, state, is_end)
    if not state[USED]:
        state[ATTRIBUTE_ROWS], state[CURSOR] = rows, cursor
    if state[RAW] and not state[FAILED]:
        position = _raw(page, position, end, nodes, names, attributes, buffer, state)
    return position


@inner
def _read_text(page, position, end, nodes, names, buffer, state):
    """Read text up to the next tag; return the position of the tag."""
    stop = find_tag(page, position, end)
    start = state[CURSOR]
    state[USED] = 0
    cursor = decode(page, position, stop, _TRUE, _FALSE, buffer, start)
    if cursor < 0:
        fail(state, FULL)
        return stop
    state[CURSOR] = cursor
    first = start
    if state[SKIP_NEWLINE] and start < cursor and buffer[start] == 0x0A:
        first += 1
    state[SKIP_NEWLINE] = 0
    if first == cursor:
        state[CURSOR] = start
        return stop
    if (state[MODE] == IN_BODY or state[MODE] == IN_CELL) and not FOREIGN[role(names, state)]:
        put_body_text(nodes, names, state, buffer, first, cursor)
    else:
        put_text(nodes, names, state, buffer, first, cursor)
    if not state[USED]:
        state[CURSOR] = start
    return stop


@inner
def parse(page, start, end, nodes, attributes, buffer, names, state):
    """Fill the table of nodes with the tree of `page[start:end]`.

    Args:
        page: uint8, UTF-8 without NUL; BLOCK bytes after `end` must be readable.
        start: its first byte.
        end: the byte after its last.
        nodes: int32 [nodes, NODE_COLUMNS], with at least as many rows as `room` returns.
        attributes: int32 [attributes, ATTRIBUTE_COLUMNS], sized by `room`.
        buffer: uint8, sized by `room`.
        names: int64 [nodes, NAME_COLUMNS], scratch.
        state: int64, scratch; afterwards `state[NODES]`, `state[ATTRIBUTE_ROWS]` and `state[CURSOR]` are the used
        sizes.

    Returns:
        0, or the reason why the page is left to resiliparse: UNHANDLED, or FULL if an array was too small.
    """
    for i in range(STACK):
        state[i] = 0
    state[HEAD] = state[FORM] = -1
    state[FRAMESET_OK] = 1
    state[ROOM] = min(len(nodes), len(names), (len(state) - STACK) // 2)
    if state[ROOM] < _SPARE:
        return FULL
    new_node(nodes, state, NEW_DOCUMENT)
    position = start
    while position < end and not state[FAILED]:
        if state[NODES] + 2 * state[ACTIVE] + _SPARE > state[ROOM]:
            return FULL
        stop = position
        following = page[position + 1] if position + 1 < end else 0
        third = page[position + 2] if position + 2 < end else 0
        is_sign = page[position] == 0x3C
        is_declaration = is_sign and following in (0x21, 0x2F, 0x3F)
        if is_sign and (KINDS[following] & LETTER or (following == 0x2F and KINDS[third] & LETTER)):
            state[SKIP_NEWLINE] = 0
            position = _read_tag(page, position, end, nodes, names, attributes, buffer, state)
        elif is_declaration:
            # `</>` produces no token.
            if following != 0x2F or third != _GREATER:
                state[SKIP_NEWLINE] = 0
            if position + 2 >= end:
                return UNHANDLED
            position = _declaration(page, position, end, nodes, names, buffer, state)
        else:
            position = _read_text(page, position, end, nodes, names, buffer, state)
        if position <= stop:
            break
    if not state[FAILED]:
        finish(nodes, names, state)
    return state[FAILED]


@entry
def parse_into(page, start, end, nodes, attributes, buffer, names, state):
    """`parse`, as an entry that Python calls."""
    return parse(page, start, end, nodes, attributes, buffer, names, state)


def room(size: int, tags: int) -> tuple[int, int, int, int]:
    """Sizes of the arrays for a parsed page: rows of nodes, rows of attributes, bytes of buffer, length of state.

    Args:
        size: bytes of the page.
        tags: number of `<` in it.

    Returns:
        `len(nodes)` (and of `names`), `len(attributes)`, `len(buffer)`, `len(state)`. A page with badly nested
        formatting may need more; its status is FULL.
    """
    rows = 4 * tags + 4 * _SPARE
    return rows, size // 3 + 64, 2 * size + 4 * BLOCK, STACK + 2 * rows


def parse_page(html: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray] | int:
    """Parse a page into new arrays.

    Args:
        html: UTF-8 without NUL.

    Returns:
        nodes, attributes and buffer (see `html.nodes`), or the status of a page that is not handled.
    """
    rows, attribute_rows, size, numbers = room(len(html), html.count(b"<"))
    page = np.frombuffer(html + bytes(BLOCK), np.uint8)
    nodes = np.empty((rows, NODE_COLUMNS), np.int32)
    attributes = np.empty((attribute_rows, ATTRIBUTE_COLUMNS), np.int32)
    buffer = np.empty(size, np.uint8)
    names = np.empty((rows, NAME_COLUMNS), np.int64)
    state = np.empty(numbers, np.int64)
    status = int(parse_into(page, 0, len(html), nodes, attributes, buffer, names, state))
    if status:
        return status
    return nodes[: state[NODES]], attributes[: state[ATTRIBUTE_ROWS]], buffer[: state[CURSOR]]

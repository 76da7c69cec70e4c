"""The tree under construction: rows of nodes, the stack of open elements, the list of active formatting elements.

WHATWG HTML 13.2.4.2, 13.2.4.3 and 13.2.6.1. `state` holds the parser's numbers, then the stack (from STACK on), then
the list (after the stack, see `active_base`). `names` holds data of nodes that only the parser uses.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.marks import apart, joined
from spark_jobs.kernels.html.nodes import (
    ATTRIBUTE_COLUMNS,
    COMMENT,
    DOCTYPE,
    DOCUMENT,
    ELEMENT,
    END,
    FIRST_CHILD,
    KIND,
    LAST_CHILD,
    NAME,
    NEXT,
    PARENT,
    PREVIOUS,
    START,
    TAG,
    TAGS,
    TEXT,
    tag,
)

# Indices in `state`.
(
    MODE, OPEN, ACTIVE, NODES, ATTRIBUTE_ROWS, CURSOR, HEAD, FORM, FRAMESET_OK, QUIRKS, FOSTER, FAILED, ROOM, RAW,
    SKIP_NEWLINE, USED, TOKEN_TAG, TOKEN_HASH, TOKEN_SOURCE, TOKEN_FIRST, TOKEN_LAST, TOKEN_CLOSED, TOKEN_HIDDEN,
    TOKEN_SUM, TEXT_START, TEXT_STOP,
) = range(26)  # fmt: skip
STACK = 32
MARKER = -1

# Columns of `names` (int64).
ROLE = 0
"""Number of the tag of an HTML element; one of the roles below for any other element."""
HASH = 1
SOURCE = 2
IS_OPEN = 3
TEMPLATE_MODE = 4
ATTRIBUTES_SUM = 5
NAME_COLUMNS = 6

SVG, SVG_POINT, MATH, MATH_TEXT = 250, 251, 252, 253
"""Roles of elements that are not HTML; POINT and TEXT (integration points) contain HTML."""

# Why a page is left to the reference parser.
UNHANDLED = np.int64(1)
FULL = np.int64(2)


def tag_set(names: str) -> np.ndarray:
    """A table by role: whether it is one of these tags."""
    member = np.zeros(256, np.bool_)
    member[[tag(name) for name in names.split()]] = True
    member[0] = False
    return member


SPECIAL = tag_set(
    "address applet area article aside base basefont bgsound blockquote body br button caption center col colgroup dd"
    " details dir div dl dt embed fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head header"
    " hgroup hr html iframe img input keygen li link listing main marquee menu meta nav noembed noframes noscript"
    " object ol p param plaintext pre script search section select source style summary table tbody td template"
    " textarea tfoot th thead title tr track ul wbr xmp"
)
SCOPE = tag_set("applet caption html table td th marquee object select template")
for _roles in (SPECIAL, SCOPE):
    _roles[[SVG_POINT, MATH_TEXT]] = True
BUTTON_SCOPE = SCOPE | tag_set("button")
LIST_SCOPE = SCOPE | tag_set("ol ul")
TABLE_SCOPE = tag_set("html table template")
IMPLIED = tag_set("dd dt li optgroup option p rb rp rt rtc")
THOROUGH = IMPLIED | tag_set("caption colgroup tbody td tfoot th thead tr")
HEADINGS = tag_set("h1 h2 h3 h4 h5 h6")
_FOSTERS = tag_set("table tbody tfoot thead tr")
TABLE, TEMPLATE, HTML = (np.int64(tag(name)) for name in ("table", "template", "html"))
# With plain integers, numba would compile a version for each value.
NONE, NOTHING = np.int64(-1), np.int64(0)
NEW_DOCUMENT, NEW_ELEMENT, NEW_TEXT, NEW_COMMENT, NEW_DOCTYPE = (
    np.int64(kind) for kind in (DOCUMENT, ELEMENT, TEXT, COMMENT, DOCTYPE)
)
assert len(TAGS) < SVG


@inner
def fail(state, cause):
    """Leave the page to the reference parser; the first cause is kept."""
    if not state[FAILED]:
        state[FAILED] = cause


@inner
def new_node(nodes, state, kind):
    """Return a new row without links. The caller has checked that a row is available."""
    joined()
    node = state[NODES]
    state[NODES] = node + 1
    for column in range(nodes.shape[1]):
        nodes[node, column] = -1
    nodes[node, KIND] = kind
    nodes[node, TAG] = 0
    nodes[node, START] = 0
    nodes[node, END] = 0
    return node


@inner
def link(nodes, node, parent, before):
    """Make a node a child of `parent`, before the child `before`, or as the last child if `before` is -1."""
    joined()
    previous = nodes[before, PREVIOUS] if before >= 0 else nodes[parent, LAST_CHILD]
    nodes[node, PARENT] = parent
    nodes[node, PREVIOUS] = previous
    nodes[node, NEXT] = before
    if previous >= 0:
        nodes[previous, NEXT] = node
    else:
        nodes[parent, FIRST_CHILD] = node
    if before >= 0:
        nodes[before, PREVIOUS] = node
    else:
        nodes[parent, LAST_CHILD] = node


@inner
def unlink(nodes, node):
    """Remove a node from its parent, if it has one."""
    parent, previous, following = nodes[node, PARENT], nodes[node, PREVIOUS], nodes[node, NEXT]
    if parent < 0:
        return
    if previous >= 0:
        nodes[previous, NEXT] = following
    else:
        nodes[parent, FIRST_CHILD] = following
    if following >= 0:
        nodes[following, PREVIOUS] = previous
    else:
        nodes[parent, LAST_CHILD] = previous
    nodes[node, PARENT] = nodes[node, PREVIOUS] = nodes[node, NEXT] = -1


@inner
def current(state):
    """The element opened last."""
    joined()
    return state[STACK + state[OPEN] - 1]


@inner
def role(names, state):
    """The role of the element opened last; -1 if none is open."""
    joined()
    if state[OPEN] == 0:
        return -1
    return names[state[STACK + state[OPEN] - 1], ROLE]


@inner
def push(names, state, node):
    """Open an element."""
    joined()
    state[STACK + state[OPEN]] = node
    state[OPEN] += 1
    names[node, IS_OPEN] = 1


@inner
def pop(names, state):
    """Close the element opened last."""
    joined()
    state[OPEN] -= 1
    names[state[STACK + state[OPEN]], IS_OPEN] = 0


@inner
def pop_to(names, state, depth):
    """Close elements until `depth` are open."""
    apart()
    while state[OPEN] > depth:
        pop(names, state)


@inner
def depth_of(state, node):
    """The index of an open element in the stack; -1 if it is not open."""
    depth = state[OPEN] - 1
    while depth >= 0 and state[STACK + depth] != node:
        depth -= 1
    return depth


@inner
def close(names, state, node):
    """Remove an element from the stack, at any index."""
    apart()
    depth = depth_of(state, node)
    if depth < 0:
        return
    names[node, IS_OPEN] = 0
    state[OPEN] -= 1
    for i in range(depth, state[OPEN]):
        state[STACK + i] = state[STACK + i + 1]


@inner
def find_open(names, state, wanted):
    """The index in the stack of the last element of a role, or -1."""
    apart()
    depth = state[OPEN] - 1
    while depth >= 0 and names[state[STACK + depth], ROLE] != wanted:
        depth -= 1
    return depth


@inner
def in_scope(names, state, wanted, scope):
    """The index in the stack of the last element of a role with no element of `scope` above it, or -1."""
    apart()
    depth = state[OPEN] - 1
    while depth >= 0:
        met = names[state[STACK + depth], ROLE]
        if met == wanted:
            return depth
        if scope[met]:
            return -1
        depth -= 1
    return -1


@inner
def any_in_scope(names, state, wanted, scope):
    """The same as `in_scope`, for a set of roles."""
    apart()
    depth = state[OPEN] - 1
    while depth >= 0:
        met = names[state[STACK + depth], ROLE]
        if wanted[met]:
            return depth
        if scope[met]:
            return -1
        depth -= 1
    return -1


@inner
def close_implied(names, state, implied, but):
    """Close elements whose end tags may be implied, except for one role."""
    apart()
    while state[OPEN] > 0:
        met = names[state[STACK + state[OPEN] - 1], ROLE]
        if not implied[met] or met == but:
            return
        pop(names, state)


@inner
def inside(names, node):
    """The parent row of an element's children; for a template, the next row, which stands for its contents."""
    return node + 1 if names[node, ROLE] == TEMPLATE else node


@inner
def place(nodes, names, state, target):
    """The appropriate place for inserting a node: the parent, and the child that it precedes, or -1."""
    joined()
    if not state[FOSTER] or not _FOSTERS[names[target, ROLE]]:
        return inside(names, target), NONE
    table = find_open(names, state, TABLE)
    template = find_open(names, state, TEMPLATE)
    if template >= 0 and template > table:
        return state[STACK + template] + 1, NONE
    if table < 0:
        return state[STACK], NONE
    node = state[STACK + table]
    if nodes[node, PARENT] >= 0:
        return np.int64(nodes[node, PARENT]), node
    return inside(names, state[STACK + table - 1]), NONE


@inner
def new_element(nodes, names, state, number, hashed, is_role):
    """Return a new row for an element without attributes."""
    joined()
    node = new_node(nodes, state, NEW_ELEMENT)
    nodes[node, TAG] = number
    names[node, ROLE] = is_role
    names[node, HASH] = hashed
    names[node, SOURCE] = -1
    names[node, IS_OPEN] = 0
    names[node, TEMPLATE_MODE] = 0
    names[node, ATTRIBUTES_SUM] = 0
    if is_role == TEMPLATE:
        new_node(nodes, state, NEW_DOCUMENT)
    return node


@inner
def insert(nodes, names, state, is_role):
    """Insert the token's element and open it."""
    apart()
    node = new_element(nodes, names, state, state[TOKEN_TAG], state[TOKEN_HASH], is_role)
    nodes[node, START] = state[TOKEN_FIRST]
    nodes[node, END] = state[TOKEN_LAST]
    names[node, SOURCE] = state[TOKEN_SOURCE]
    names[node, ATTRIBUTES_SUM] = state[TOKEN_SUM]
    state[USED] = 1
    parent, before = place(nodes, names, state, current(state))
    link(nodes, node, parent, before)
    push(names, state, node)
    return node


@inner
def insert_html(nodes, names, state):
    """Insert the token's HTML element and open it."""
    joined()
    return insert(nodes, names, state, state[TOKEN_TAG])


@inner
def insert_implied(nodes, names, state, number):
    """Insert an element whose tag is missing, and open it."""
    apart()
    node = new_element(nodes, names, state, number, NOTHING, number)
    if state[OPEN] == 0:
        link(nodes, node, NOTHING, NONE)
    else:
        parent, before = place(nodes, names, state, current(state))
        link(nodes, node, parent, before)
    push(names, state, node)
    return node


@inner
def clone(nodes, names, state, node):
    """Return a new row for a copy of an element, with the same attributes."""
    copy = new_element(nodes, names, state, np.int64(nodes[node, TAG]), names[node, HASH], names[node, ROLE])
    nodes[copy, START] = nodes[node, START]
    nodes[copy, END] = nodes[node, END]
    names[copy, SOURCE] = names[node, SOURCE]
    names[copy, ATTRIBUTES_SUM] = names[node, ATTRIBUTES_SUM]
    return copy


@inner
def add_leaf(nodes, state, kind, parent, before, start, stop):
    """Insert a text or comment at a place."""
    node = new_node(nodes, state, kind)
    nodes[node, START] = start
    nodes[node, END] = stop
    link(nodes, node, parent, before)
    state[USED] = 1


@inner
def add_text(nodes, names, state, buffer, start, stop):
    """Insert characters, `buffer[start:stop]`, at the appropriate place."""
    apart()
    if start == stop:
        return
    parent, before = place(nodes, names, state, current(state))
    if parent == 0:
        return
    previous = nodes[before, PREVIOUS] if before >= 0 else nodes[parent, LAST_CHILD]
    if previous < 0 or nodes[previous, KIND] != TEXT:
        add_leaf(nodes, state, NEW_TEXT, parent, before, start, stop)
        return
    state[USED] = 1
    if nodes[previous, END] != start:
        # Other characters lie between the two, so the whole text is copied to the end of the buffer.
        cursor = state[CURSOR]
        size = nodes[previous, END] - nodes[previous, START]
        if cursor + size + stop - start + 64 > len(buffer):
            fail(state, FULL)
            return
        for i in range(size):
            buffer[cursor + i] = buffer[nodes[previous, START] + i]
        for i in range(stop - start):
            buffer[cursor + size + i] = buffer[start + i]
        nodes[previous, START] = cursor
        stop = cursor + size + stop - start
        state[CURSOR] = stop
    nodes[previous, END] = stop


@inner
def merge_attributes(nodes, attributes, state, node):
    """Add to an element the token's attributes that it lacks."""
    apart()
    first, last = np.int64(nodes[node, START]), np.int64(nodes[node, END])
    start = state[ATTRIBUTE_ROWS]
    if start + last - first + state[TOKEN_LAST] - state[TOKEN_FIRST] > len(attributes):
        fail(state, FULL)
        return
    row = start
    for source in range(first, last):
        for column in range(ATTRIBUTE_COLUMNS):
            attributes[row, column] = attributes[source, column]
        row += 1
    for source in range(state[TOKEN_FIRST], state[TOKEN_LAST]):
        is_new = True
        for other in range(first, last):
            is_new &= attributes[other, NAME] != attributes[source, NAME]
        if is_new:
            for column in range(ATTRIBUTE_COLUMNS):
                attributes[row, column] = attributes[source, column]
            row += 1
    if row - start == last - first:
        return
    nodes[node, START] = start
    nodes[node, END] = row
    state[ATTRIBUTE_ROWS] = row
    state[USED] = 1

"""The list of active formatting elements and the adoption agency (WHATWG HTML 13.2.4.3, 13.2.6.4.7).

The list is stored in `state` after the stack of open elements. It is as long as the table of nodes and holds nodes and
markers.
"""

# ruff: noqa: PLR0917, SIM110 (a compiled function takes arrays, and these by position; it knows no generators)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.marks import apart, joined
from spark_jobs.kernels.html.nodes import FIRST_CHILD
from spark_jobs.kernels.html.tree import (
    ACTIVE,
    ATTRIBUTES_SUM,
    HASH,
    IMPLIED,
    IS_OPEN,
    MARKER,
    NONE,
    NOTHING,
    OPEN,
    ROLE,
    ROOM,
    SCOPE,
    SPECIAL,
    STACK,
    clone,
    close,
    close_implied,
    current,
    depth_of,
    inside,
    link,
    place,
    pop,
    pop_to,
    push,
    unlink,
)


@inner
def active_base(state):
    """The index in `state` at which the list begins."""
    return STACK + state[ROOM]


@inner
def add_marker(state):
    """Begin a new part of the list, which earlier formatting does not affect."""
    state[active_base(state) + state[ACTIVE]] = MARKER
    state[ACTIVE] += 1


@inner
def clear_to_marker(state):
    """Remove the elements of the list down to the last marker, and the marker."""
    apart()
    base = active_base(state)
    while state[ACTIVE] > 0:
        state[ACTIVE] -= 1
        if state[base + state[ACTIVE]] == MARKER:
            return


@inner
def _remove_at(state, index):
    base = active_base(state)
    state[ACTIVE] -= 1
    for i in range(index, state[ACTIVE]):
        state[base + i] = state[base + i + 1]


@inner
def _insert_at(state, index, node):
    base = active_base(state)
    for i in range(state[ACTIVE], index, -1):
        state[base + i] = state[base + i - 1]
    state[base + index] = node
    state[ACTIVE] += 1


@inner
def _index_of(state, node):
    base = active_base(state)
    index = state[ACTIVE] - 1
    while index >= 0 and state[base + index] != node:
        index -= 1
    return index


@inner
def forget(state, node):
    """Remove an element from the list, if it is in the list."""
    apart()
    index = _index_of(state, node)
    if index >= 0:
        _remove_at(state, index)


@inner
def find_active(names, state, wanted):
    """The last element of a role after the last marker, or -1."""
    base = active_base(state)
    for index in range(state[ACTIVE] - 1, -1, -1):
        node = state[base + index]
        if node == MARKER:
            return -1
        if names[node, ROLE] == wanted:
            return node
    return -1


@inner
def add_active(names, state, node):
    """Append an element to the list; the earliest of four equal elements is removed."""
    apart()
    base = active_base(state)
    alike = 0
    earliest = -1
    for index in range(state[ACTIVE] - 1, -1, -1):
        other = state[base + index]
        if other == MARKER:
            break
        if names[other, ROLE] == names[node, ROLE] and names[other, ATTRIBUTES_SUM] == names[node, ATTRIBUTES_SUM]:
            alike += 1
            earliest = index
    if alike >= 3:
        _remove_at(state, earliest)
    state[base + state[ACTIVE]] = node
    state[ACTIVE] += 1


@inner
def reconstruct(nodes, names, state):
    """Reopen the active formatting elements that other elements closed."""
    joined()
    if state[ACTIVE] > 0:
        last = state[active_base(state) + state[ACTIVE] - 1]
        if last != MARKER and not names[last, IS_OPEN]:
            _reopen(nodes, names, state)


@inner
def _reopen(nodes, names, state):
    apart()
    base = active_base(state)
    index = state[ACTIVE] - 1
    while index >= 0 and state[base + index] != MARKER and not names[state[base + index], IS_OPEN]:
        index -= 1
    for again in range(index + 1, state[ACTIVE]):
        copy = clone(nodes, names, state, state[base + again])
        parent, before = place(nodes, names, state, current(state))
        link(nodes, copy, parent, before)
        push(names, state, copy)
        state[base + again] = copy


@inner
def end_any_other(names, state, number, hashed):
    """Handle any other end tag in the body: close down to the element of this name, unless a special one is above."""
    apart()
    depth = state[OPEN] - 1
    while depth >= 0:
        node = state[STACK + depth]
        met = names[node, ROLE]
        if met == number and (number != 0 or names[node, HASH] == hashed):
            # An element without a number has no implied end tag.
            close_implied(names, state, IMPLIED, number)
            pop_to(names, state, depth)
            return
        if SPECIAL[met]:
            return
        depth -= 1


@inner
def _furthest_block(names, state, depth):
    """The lowest special element above `depth` in the stack, or -1."""
    for above in range(depth + 1, state[OPEN]):
        if SPECIAL[names[state[STACK + above], ROLE]]:
            return above
    return -1


@inner
def _element_in_scope(names, state, depth):
    for above in range(state[OPEN] - 1, depth, -1):
        if SCOPE[names[state[STACK + above], ROLE]]:
            return False
    return True


@inner
def _carry(nodes, names, state, formatting, block, block_depth):
    """Run the inner loop: the elements between the formatting element and the block move with the block.

    Returns:
        the last node moved, and the index in the list for the clone of the formatting element; -1 for its own index.
    """
    apart()
    base = active_base(state)
    bookmark = -1
    last = block
    depth = block_depth
    counter = 0
    while True:
        counter += 1
        # Only elements above are removed from the stack, so the elements below keep their indices.
        depth -= 1
        node = state[STACK + depth]
        if node == formatting:
            return last, bookmark
        index = _index_of(state, node)
        if counter > 3 and index >= 0:
            if bookmark > index:
                bookmark -= 1
            _remove_at(state, index)
            index = -1
        if index < 0:
            close(names, state, node)
            continue
        copy = clone(nodes, names, state, node)
        state[base + index] = copy
        state[STACK + depth] = copy
        names[node, IS_OPEN] = 0
        names[copy, IS_OPEN] = 1
        if last == block:
            bookmark = index + 1
        unlink(nodes, last)
        link(nodes, last, copy, NONE)
        last = copy


@inner
def _adopt(nodes, names, state, formatting, formatting_depth, block_depth):
    """Run one round of the adoption agency around the furthest block."""
    apart()
    ancestor = state[STACK + formatting_depth - 1]
    block = state[STACK + block_depth]
    last, bookmark = _carry(nodes, names, state, formatting, block, block_depth)
    parent, before = place(nodes, names, state, ancestor)
    unlink(nodes, last)
    link(nodes, last, parent, before)
    copy = clone(nodes, names, state, formatting)
    home = inside(names, block)
    child = np.int64(nodes[home, FIRST_CHILD])
    while child >= 0:
        unlink(nodes, child)
        link(nodes, child, copy, NONE)
        child = np.int64(nodes[home, FIRST_CHILD])
    link(nodes, copy, home, NONE)
    index = _index_of(state, formatting)
    if bookmark < 0:
        bookmark = index
    elif index < bookmark:
        bookmark -= 1
    _remove_at(state, index)
    _insert_at(state, bookmark, copy)
    close(names, state, formatting)
    # The clone goes just above the block.
    depth = depth_of(state, block) + 1
    for i in range(state[OPEN], depth, -1):
        state[STACK + i] = state[STACK + i - 1]
    state[STACK + depth] = copy
    state[OPEN] += 1
    names[copy, IS_OPEN] = 1


@inner
def adoption_agency(nodes, names, state, number):
    """Handle the end tag of a formatting element."""
    apart()
    node = current(state)
    if names[node, ROLE] == number and _index_of(state, node) < 0:
        pop(names, state)
        return
    for _ in range(8):
        formatting = find_active(names, state, number)
        if formatting < 0:
            end_any_other(names, state, number, NOTHING)
            return
        if not names[formatting, IS_OPEN]:
            forget(state, formatting)
            return
        depth = depth_of(state, formatting)
        if not _element_in_scope(names, state, depth):
            return
        block = _furthest_block(names, state, depth)
        if block < 0:
            pop_to(names, state, depth)
            forget(state, formatting)
            return
        _adopt(nodes, names, state, formatting, depth, block)

"""Handling of text, comments, tags and the end of the page in each insertion mode (WHATWG HTML 13.2.6)."""

# ruff: noqa: PLR0911, PLR0912, PLR0917 (a compiled function takes arrays, and these by position; a return for each rule)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.body import (
    AFTER_AFTER_BODY,
    AFTER_BODY,
    AFTER_HEAD,
    BEFORE_HEAD,
    BEFORE_HTML,
    IN_BODY,
    IN_CAPTION,
    IN_CELL,
    IN_COLUMNS,
    IN_HEAD,
    IN_NOSCRIPT,
    IN_ROW,
    IN_SECTION,
    IN_TABLE,
    IN_TEMPLATE,
    INITIAL,
    IS_OF_HEAD,
    end_in_body,
    end_template,
    start_in_body,
    start_in_head,
)
from spark_jobs.kernels.html.foreign import FOREIGN, end_in_foreign, start_in_foreign
from spark_jobs.kernels.html.formatting import clear_to_marker, reconstruct
from spark_jobs.kernels.html.marks import KINDS, SPACE, apart, joined
from spark_jobs.kernels.html.nodes import END, START, tag
from spark_jobs.kernels.html.tables import (
    leave_columns,
    reset_mode,
    tag_in_caption,
    tag_in_cell,
    tag_in_columns,
    tag_in_row,
    tag_in_section,
    tag_in_table,
    tag_in_template,
)
from spark_jobs.kernels.html.tree import (
    FAILED,
    FOSTER,
    FRAMESET_OK,
    HEAD,
    HTML,
    MATH_TEXT,
    MODE,
    NEW_COMMENT,
    NONE,
    NOTHING,
    QUIRKS,
    STACK,
    SVG_POINT,
    TEMPLATE,
    TOKEN_FIRST,
    TOKEN_LAST,
    TOKEN_TAG,
    UNHANDLED,
    USED,
    add_leaf,
    add_text,
    close,
    current,
    fail,
    find_open,
    insert_html,
    insert_implied,
    merge_attributes,
    place,
    pop,
    pop_to,
    push,
    role,
    tag_set,
)

_BODY, _BR, _FRAMESET, _HEAD, _NOSCRIPT = (np.int64(tag(name)) for name in "body br frameset head noscript".split())
_END_HEAD = tag_set("body br html")
_IN_NOSCRIPT = tag_set("basefont bgsound link meta noframes style")
_TABLE_TEXT = tag_set("table tbody template tfoot thead tr")


@inner
def _skip_space(buffer, start, stop):
    while start < stop and KINDS[buffer[start]] & SPACE:
        start += 1
    return start


@inner
def _begin_html(nodes, names, state):
    insert_implied(nodes, names, state, HTML)
    state[MODE] = BEFORE_HEAD


@inner
def _begin_head(nodes, names, state):
    state[HEAD] = insert_implied(nodes, names, state, _HEAD)
    state[MODE] = IN_HEAD


@inner
def _advance(nodes, names, state):
    """Switch to the next mode before the body, because of text, an unexpected tag or the end of the page."""
    apart()
    mode = state[MODE]
    if mode == INITIAL:
        state[QUIRKS] = 1
        state[MODE] = BEFORE_HTML
    elif mode == BEFORE_HTML:
        _begin_html(nodes, names, state)
    elif mode == BEFORE_HEAD:
        _begin_head(nodes, names, state)
    elif mode == IN_NOSCRIPT:
        pop(names, state)
        state[MODE] = IN_HEAD
    elif mode == IN_HEAD:
        pop(names, state)
        state[MODE] = AFTER_HEAD
    else:
        insert_implied(nodes, names, state, _BODY)
        state[MODE] = IN_BODY


@inner
def put_body_text(nodes, names, state, buffer, start, stop):
    """Handle characters in the body."""
    joined()
    reconstruct(nodes, names, state)
    if state[FRAMESET_OK] and _skip_space(buffer, start, stop) < stop:
        state[FRAMESET_OK] = 0
    add_text(nodes, names, state, buffer, start, stop)


@inner
def _table_text(nodes, names, state, buffer, start, stop):
    """Handle characters in a table but outside its cells: all go before it unless all are white space."""
    if _TABLE_TEXT[role(names, state)] and _skip_space(buffer, start, stop) == stop:
        add_text(nodes, names, state, buffer, start, stop)
        return
    state[FOSTER] = 1
    put_body_text(nodes, names, state, buffer, start, stop)
    state[FOSTER] = 0


@inner
def put_text(nodes, names, state, buffer, start, stop):
    """Handle characters in any mode."""
    apart()
    if FOREIGN[role(names, state)] and role(names, state) != SVG_POINT and role(names, state) != MATH_TEXT:
        if _skip_space(buffer, start, stop) < stop:
            state[FRAMESET_OK] = 0
        add_text(nodes, names, state, buffer, start, stop)
        return
    while start < stop:
        mode = state[MODE]
        if mode <= AFTER_HEAD:
            first = _skip_space(buffer, start, stop)
            if mode >= IN_HEAD:
                add_text(nodes, names, state, buffer, start, first)
            start = first
            if start < stop:
                _advance(nodes, names, state)
        elif mode == IN_COLUMNS:
            first = _skip_space(buffer, start, stop)
            add_text(nodes, names, state, buffer, start, first)
            start = first
            if start < stop and not leave_columns(names, state):
                return
        elif mode in (IN_TABLE, IN_SECTION, IN_ROW):
            _table_text(nodes, names, state, buffer, start, stop)
            return
        else:
            if mode >= AFTER_BODY and _skip_space(buffer, start, stop) < stop:
                state[MODE] = IN_BODY
            put_body_text(nodes, names, state, buffer, start, stop)
            return


@inner
def put_comment(nodes, names, state, start, stop):
    """Handle a comment in any mode."""
    apart()
    met = role(names, state)
    # After the body an element of SVG may still be open; it gets the comment.
    mode = IN_BODY if met >= 0 and FOREIGN[met] else state[MODE]
    if mode in (INITIAL, BEFORE_HTML, AFTER_AFTER_BODY):
        add_leaf(nodes, state, NEW_COMMENT, NOTHING, NONE, start, stop)
    elif mode == AFTER_BODY:
        add_leaf(nodes, state, NEW_COMMENT, state[STACK], NONE, start, stop)
    else:
        parent, before = place(nodes, names, state, current(state))
        add_leaf(nodes, state, NEW_COMMENT, parent, before, start, stop)


@inner
def _tag_before_body(nodes, names, attributes, state, is_end):
    """Handle a tag in a mode up to AFTER_HEAD; return whether to handle it again."""
    apart()
    mode, number = state[MODE], state[TOKEN_TAG]
    if mode == INITIAL:
        _advance(nodes, names, state)
        return True
    if is_end:
        if mode == IN_HEAD and number == _HEAD:
            _advance(nodes, names, state)
            return False
        if mode == IN_NOSCRIPT and number == _NOSCRIPT:
            _advance(nodes, names, state)
            return False
        if mode in (IN_HEAD, AFTER_HEAD) and number == TEMPLATE:
            end_template(names, state)
            return False
        goes_on = number == _BR if mode == IN_NOSCRIPT else _END_HEAD[number] or (mode < IN_HEAD and number == _HEAD)
        if goes_on:
            _advance(nodes, names, state)
        return goes_on
    if number == HTML:
        if mode == BEFORE_HTML:
            insert_first(nodes, names, state)
            state[MODE] = BEFORE_HEAD
        elif find_open(names, state, TEMPLATE) < 0:
            merge_attributes(nodes, attributes, state, state[STACK])
        return False
    if mode == BEFORE_HEAD and number == _HEAD:
        state[HEAD] = insert_html(nodes, names, state)
        state[MODE] = IN_HEAD
        return False
    if mode >= IN_HEAD and number == _HEAD:
        return False
    if mode == IN_NOSCRIPT:
        if _IN_NOSCRIPT[number]:
            start_in_head(nodes, names, state)
            return False
        if number == _NOSCRIPT:
            return False
    elif mode == IN_HEAD:
        if IS_OF_HEAD[number]:
            start_in_head(nodes, names, state)
            return False
        if number == _NOSCRIPT:
            insert_html(nodes, names, state)
            state[MODE] = IN_NOSCRIPT
            return False
    elif mode == AFTER_HEAD:
        return _tag_after_head(nodes, names, state, number)
    _advance(nodes, names, state)
    return True


@inner
def _tag_after_head(nodes, names, state, number):
    if number == _BODY:
        insert_html(nodes, names, state)
        state[FRAMESET_OK] = 0
        state[MODE] = IN_BODY
        return False
    if number == _FRAMESET:
        fail(state, UNHANDLED)
        return False
    if IS_OF_HEAD[number]:
        push(names, state, state[HEAD])
        start_in_head(nodes, names, state)
        close(names, state, state[HEAD])
        return False
    _advance(nodes, names, state)
    return True


@inner
def insert_first(nodes, names, state):
    """Insert the token's html element into the document."""
    node = insert_implied(nodes, names, state, HTML)
    nodes[node, START] = state[TOKEN_FIRST]
    nodes[node, END] = state[TOKEN_LAST]
    state[USED] = 1


@inner
def _tag_after_body(state, is_end):
    """Handle a tag after the body; return whether to handle it again."""
    if is_end and state[MODE] == AFTER_BODY and state[TOKEN_TAG] == HTML:
        state[MODE] = AFTER_AFTER_BODY
        return False
    state[MODE] = IN_BODY
    return True


@inner
def _by_mode(nodes, names, attributes, state, is_end):
    """Handle a tag by the insertion mode; return whether to handle it again."""
    joined()
    mode = state[MODE]
    if mode == IN_BODY:
        if is_end:
            return end_in_body(nodes, names, state)
        start_in_body(nodes, names, attributes, state)
        return False
    if mode <= AFTER_HEAD:
        return _tag_before_body(nodes, names, attributes, state, is_end)
    if mode == IN_TABLE:
        return tag_in_table(nodes, names, attributes, state, is_end)
    if mode == IN_CAPTION:
        return tag_in_caption(nodes, names, attributes, state, is_end)
    if mode == IN_COLUMNS:
        return tag_in_columns(nodes, names, attributes, state, is_end)
    if mode == IN_SECTION:
        return tag_in_section(nodes, names, attributes, state, is_end)
    if mode == IN_ROW:
        return tag_in_row(nodes, names, attributes, state, is_end)
    if mode == IN_CELL:
        return tag_in_cell(nodes, names, attributes, state, is_end)
    if mode == IN_TEMPLATE:
        return tag_in_template(nodes, names, state, is_end)
    if not is_end and state[TOKEN_TAG] == HTML:
        start_in_body(nodes, names, attributes, state)
        return False
    return _tag_after_body(state, is_end)


@inner
def put_tag(nodes, names, attributes, state, is_end):
    """Handle a tag in any mode."""
    joined()
    again = True
    while again and not state[FAILED]:
        met = role(names, state)
        if met >= 0 and FOREIGN[met] and (is_end or (met not in (SVG_POINT, MATH_TEXT))):
            again = end_in_foreign(names, state) if is_end else start_in_foreign(nodes, names, state)
            if not again:
                return
        again = _by_mode(nodes, names, attributes, state, is_end)
        if state[MODE] < 0:
            reset_mode(names, state)


@inner
def finish(nodes, names, state):
    """Handle the end of the page."""
    apart()
    while find_open(names, state, TEMPLATE) >= 0:
        pop_to(names, state, find_open(names, state, TEMPLATE))
        clear_to_marker(state)
        reset_mode(names, state)
    while state[MODE] <= AFTER_HEAD:
        _advance(nodes, names, state)

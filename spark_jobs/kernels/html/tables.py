"""Tags in tables and templates (WHATWG HTML 13.2.6.4.9 to 13.2.6.4.16).

Each function handles the tag that is the token in `state`, and returns whether a new mode must handle it again.
"""

# ruff: noqa: PLR0911 (a compiled function takes arrays, and these by position; a return for each rule)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.body import (
    AFTER_HEAD,
    BEFORE_HEAD,
    IN_BODY,
    IN_CAPTION,
    IN_CELL,
    IN_COLUMNS,
    IN_HEAD,
    IN_ROW,
    IN_SECTION,
    IN_TABLE,
    IS_OF_HEAD,
    end_in_body,
    end_template,
    start_in_body,
    start_in_head,
)
from spark_jobs.kernels.html.formatting import add_marker, clear_to_marker
from spark_jobs.kernels.html.marks import apart
from spark_jobs.kernels.html.nodes import tag
from spark_jobs.kernels.html.tree import (
    FORM,
    FOSTER,
    HEAD,
    HTML,
    MODE,
    OPEN,
    ROLE,
    STACK,
    TABLE,
    TABLE_SCOPE,
    TEMPLATE,
    TEMPLATE_MODE,
    TOKEN_HIDDEN,
    TOKEN_TAG,
    any_in_scope,
    find_open,
    in_scope,
    insert_html,
    insert_implied,
    pop,
    pop_to,
    role,
    tag_set,
)

_BODY, _CAPTION, _COL, _COLGROUP, _FORM, _HEAD, _INPUT, _TBODY, _TR = (
    np.int64(tag(name)) for name in "body caption col colgroup form head input tbody tr".split()
)
_SECTIONS = tag_set("tbody tfoot thead")
_CELLS = tag_set("td th")
_IN_HEAD = tag_set("script style template")
_PARTS = tag_set("caption col colgroup tbody td tfoot th thead tr")
_BOUNDS = tag_set("body caption col colgroup html tbody td tfoot th thead tr")
_ROW_STARTS = tag_set("caption col colgroup tbody tfoot thead tr")
_SECTION_STARTS = tag_set("caption col colgroup tbody tfoot thead")
_TABLE_CONTEXT = tag_set("table template html")
_SECTION_CONTEXT = tag_set("tbody tfoot thead template html")
_ROW_CONTEXT = tag_set("tr template html")
_AFTER_CELL = tag_set("table tbody tfoot thead tr")
_OUTER = tag_set("body caption col colgroup html")


@inner
def _clear_to(names, state, context):
    """Close elements down to one of these roles."""
    while not context[role(names, state)]:
        pop(names, state)


@inner
def reset_mode(names, state):
    """Derive the insertion mode from the open elements."""
    apart()
    for depth in range(state[OPEN] - 1, -1, -1):
        node = state[STACK + depth]
        met = names[node, ROLE]
        mode = -1
        if _CELLS[met]:
            mode = IN_CELL
        elif met == _TR:
            mode = IN_ROW
        elif _SECTIONS[met]:
            mode = IN_SECTION
        elif met == _CAPTION:
            mode = IN_CAPTION
        elif met == _COLGROUP:
            mode = IN_COLUMNS
        elif met == TABLE:
            mode = IN_TABLE
        elif met == TEMPLATE:
            mode = names[node, TEMPLATE_MODE]
        elif met == _HEAD:
            mode = IN_HEAD
        elif met == _BODY:
            mode = IN_BODY
        elif met == HTML:
            mode = BEFORE_HEAD if state[HEAD] < 0 else AFTER_HEAD
        if mode >= 0:
            state[MODE] = mode
            return


@inner
def _fostered(nodes, names, attributes, state, is_end):
    """Put a tag that may not occur in a table before the table."""
    state[FOSTER] = 1
    again = False
    if is_end:
        again = end_in_body(nodes, names, state)
    else:
        start_in_body(nodes, names, attributes, state)
    state[FOSTER] = 0
    return again


@inner
def _in_body(nodes, names, attributes, state, is_end):
    if is_end:
        return end_in_body(nodes, names, state)
    start_in_body(nodes, names, attributes, state)
    return False


@inner
def _start_part(nodes, names, state, number):
    """Handle a start tag of a part of a table; return whether to handle it again."""
    _clear_to(names, state, _TABLE_CONTEXT)
    if number == _CAPTION:
        add_marker(state)
        insert_html(nodes, names, state)
        state[MODE] = IN_CAPTION
    elif number == _COLGROUP:
        insert_html(nodes, names, state)
        state[MODE] = IN_COLUMNS
    elif number == _COL:
        insert_implied(nodes, names, state, _COLGROUP)
        state[MODE] = IN_COLUMNS
        return True
    elif _SECTIONS[number]:
        insert_html(nodes, names, state)
        state[MODE] = IN_SECTION
    else:
        insert_implied(nodes, names, state, _TBODY)
        state[MODE] = IN_SECTION
        return True
    return False


@inner
def tag_in_table(nodes, names, attributes, state, is_end):
    """Handle a tag where parts of a table are expected."""
    apart()
    number = state[TOKEN_TAG]
    if number == TABLE:
        depth = in_scope(names, state, TABLE, TABLE_SCOPE)
        if depth < 0:
            return False
        pop_to(names, state, depth)
        reset_mode(names, state)
        return not is_end
    if is_end and _BOUNDS[number]:
        return False
    if not is_end and _PARTS[number]:
        return _start_part(nodes, names, state, number)
    if not is_end and _IN_HEAD[number]:
        start_in_head(nodes, names, state)
        return False
    if is_end and number == TEMPLATE:
        end_template(names, state)
        return False
    if not is_end and number == _INPUT and state[TOKEN_HIDDEN]:
        insert_html(nodes, names, state)
        pop(names, state)
        return False
    if not is_end and number == _FORM:
        if find_open(names, state, TEMPLATE) < 0 and state[FORM] < 0:
            state[FORM] = insert_html(nodes, names, state)
            pop(names, state)
        return False
    return _fostered(nodes, names, attributes, state, is_end)


@inner
def tag_in_caption(nodes, names, attributes, state, is_end):
    """Handle a tag in a caption."""
    apart()
    number = state[TOKEN_TAG]
    ends = number in (_CAPTION, TABLE) if is_end else _PARTS[number]
    if ends:
        depth = in_scope(names, state, _CAPTION, TABLE_SCOPE)
        if depth < 0:
            return False
        pop_to(names, state, depth)
        clear_to_marker(state)
        state[MODE] = IN_TABLE
        return not (is_end and number == _CAPTION)
    if is_end and _BOUNDS[number]:
        return False
    return _in_body(nodes, names, attributes, state, is_end)


@inner
def leave_columns(names, state):
    """End the column group at a tag that is not a column; return whether one was open."""
    if role(names, state) != _COLGROUP:
        return False
    pop(names, state)
    state[MODE] = IN_TABLE
    return True


@inner
def tag_in_columns(nodes, names, attributes, state, is_end):
    """Handle a tag in a column group."""
    apart()
    number = state[TOKEN_TAG]
    if is_end and number == _COLGROUP:
        leave_columns(names, state)
        return False
    if is_end and number == _COL:
        return False
    if not is_end and number == _COL:
        insert_html(nodes, names, state)
        pop(names, state)
        return False
    if number == TEMPLATE:
        if is_end:
            end_template(names, state)
        else:
            start_in_head(nodes, names, state)
        return False
    if not is_end and number == HTML:
        return _in_body(nodes, names, attributes, state, is_end)
    return leave_columns(names, state)


@inner
def tag_in_section(nodes, names, attributes, state, is_end):
    """Handle a tag in tbody, tfoot or thead."""
    apart()
    number = state[TOKEN_TAG]
    if not is_end and (number == _TR or _CELLS[number]):
        _clear_to(names, state, _SECTION_CONTEXT)
        state[MODE] = IN_ROW
        if number == _TR:
            insert_html(nodes, names, state)
            return False
        insert_implied(nodes, names, state, _TR)
        return True
    if is_end and _SECTIONS[number]:
        if in_scope(names, state, number, TABLE_SCOPE) >= 0:
            _clear_to(names, state, _SECTION_CONTEXT)
            pop(names, state)
            state[MODE] = IN_TABLE
        return False
    ends = number == TABLE if is_end else _SECTION_STARTS[number]
    if ends:
        if any_in_scope(names, state, _SECTIONS, TABLE_SCOPE) < 0:
            return False
        _clear_to(names, state, _SECTION_CONTEXT)
        pop(names, state)
        state[MODE] = IN_TABLE
        return True
    if is_end and _BOUNDS[number]:
        return False
    return tag_in_table(nodes, names, attributes, state, is_end)


@inner
def tag_in_row(nodes, names, attributes, state, is_end):
    """Handle a tag in a row."""
    apart()
    number = state[TOKEN_TAG]
    if not is_end and _CELLS[number]:
        _clear_to(names, state, _ROW_CONTEXT)
        insert_html(nodes, names, state)
        state[MODE] = IN_CELL
        add_marker(state)
        return False
    ends = number in (_TR, TABLE) or _SECTIONS[number] if is_end else _ROW_STARTS[number]
    if ends:
        if is_end and _SECTIONS[number] and in_scope(names, state, number, TABLE_SCOPE) < 0:
            return False
        if in_scope(names, state, _TR, TABLE_SCOPE) < 0:
            return False
        _clear_to(names, state, _ROW_CONTEXT)
        pop(names, state)
        state[MODE] = IN_SECTION
        return not (is_end and number == _TR)
    if is_end and _BOUNDS[number]:
        return False
    return tag_in_table(nodes, names, attributes, state, is_end)


@inner
def tag_in_cell(nodes, names, attributes, state, is_end):
    """Handle a tag in a cell."""
    apart()
    number = state[TOKEN_TAG]
    if is_end and _CELLS[number]:
        depth = in_scope(names, state, number, TABLE_SCOPE)
        if depth >= 0:
            pop_to(names, state, depth)
            clear_to_marker(state)
            state[MODE] = IN_ROW
        return False
    if is_end and _OUTER[number]:
        return False
    ends = _AFTER_CELL[number] if is_end else _PARTS[number]
    if ends:
        if is_end and in_scope(names, state, number, TABLE_SCOPE) < 0:
            return False
        depth = any_in_scope(names, state, _CELLS, TABLE_SCOPE)
        if depth < 0:
            return False
        pop_to(names, state, depth)
        clear_to_marker(state)
        state[MODE] = IN_ROW
        return True
    return _in_body(nodes, names, attributes, state, is_end)


@inner
def tag_in_template(nodes, names, state, is_end):
    """Handle a tag in a template, whose first tag determines the mode for the rest."""
    apart()
    number = state[TOKEN_TAG]
    if is_end:
        if number == TEMPLATE:
            end_template(names, state)
        return False
    if IS_OF_HEAD[number]:
        start_in_head(nodes, names, state)
        return False
    mode = IN_BODY
    if _SECTIONS[number] or number in (_CAPTION, _COLGROUP):
        mode = IN_TABLE
    elif number == _COL:
        mode = IN_COLUMNS
    elif number == _TR:
        mode = IN_SECTION
    elif _CELLS[number]:
        mode = IN_ROW
    state[MODE] = mode
    names[state[STACK + find_open(names, state, TEMPLATE)], TEMPLATE_MODE] = mode
    return True

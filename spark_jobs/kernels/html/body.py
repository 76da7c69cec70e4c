"""Tags in the head and in the body (WHATWG HTML 13.2.6.4.4, 13.2.6.4.7).

The tag is the token in `state`. Each function returns whether a new mode must handle the tag again.
"""

# ruff: noqa: PLR0912, PLR0915 (a compiled function takes arrays, and these by position; a branch for each rule)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.formatting import (
    add_active,
    add_marker,
    adoption_agency,
    clear_to_marker,
    end_any_other,
    find_active,
    forget,
    reconstruct,
)
from spark_jobs.kernels.html.marks import apart, name_hash
from spark_jobs.kernels.html.nodes import tag
from spark_jobs.kernels.html.tree import (
    BUTTON_SCOPE,
    FORM,
    FOSTER,
    FRAMESET_OK,
    HEADINGS,
    IMPLIED,
    IS_OPEN,
    LIST_SCOPE,
    MATH,
    MODE,
    NONE,
    OPEN,
    QUIRKS,
    RAW,
    ROLE,
    SCOPE,
    SKIP_NEWLINE,
    SPECIAL,
    STACK,
    SVG,
    TEMPLATE,
    TEMPLATE_MODE,
    THOROUGH,
    TOKEN_CLOSED,
    TOKEN_HASH,
    TOKEN_HIDDEN,
    TOKEN_TAG,
    UNHANDLED,
    any_in_scope,
    close,
    close_implied,
    current,
    depth_of,
    fail,
    find_open,
    in_scope,
    insert,
    insert_html,
    insert_implied,
    merge_attributes,
    pop,
    pop_to,
    role,
    tag_set,
)

# Insertion modes.
(
    INITIAL, BEFORE_HTML, BEFORE_HEAD, IN_HEAD, IN_NOSCRIPT, AFTER_HEAD, IN_BODY, IN_TABLE, IN_CAPTION, IN_COLUMNS,
    IN_SECTION, IN_ROW, IN_CELL, IN_TEMPLATE, AFTER_BODY, AFTER_AFTER_BODY,
) = range(16)  # fmt: skip

# Values of `state[RAW]`: how the content after a start tag is read.
RAWTEXT, RCDATA, SCRIPT_DATA, PLAINTEXT = 1, 2, 3, 4

(
    ORDINARY, BLOCK, HEADING, PREFORMATTED, FORM_TAG, LIST_ITEM, DEFINITION, PLAINTEXT_TAG, BUTTON, LINK, FORMATTING,
    UNBROKEN, OBJECT, TABLE_TAG, VOID, INPUT, PARAMETER, RULE, TEXTAREA, XMP, IFRAME, NOEMBED, SELECT, OPTION, GROUP,
    RUBY_BASE, RUBY_TEXT, MATH_TAG, SVG_TAG, IGNORED, OF_HEAD, HTML_TAG, BODY_TAG, FRAMESET_TAG, PARAGRAPH, BREAK,
    TEMPLATE_END,
) = range(37)  # fmt: skip
_BLOCKS = (
    "address article aside blockquote center details dialog dir div dl fieldset figcaption figure footer header hgroup"
    " main menu nav ol search section summary ul"
)
_FORMATTING = "b big code em font i s small strike strong tt u"


def _classes(rules: tuple[tuple[int, str], ...]) -> np.ndarray:
    classes = np.zeros(256, np.uint8)
    for number, names in rules:
        for name in names.split():
            classes[tag(name)] = number
    classes[0] = ORDINARY
    return classes


_STARTS = _classes((
    (BLOCK, _BLOCKS + " p"), (HEADING, "h1 h2 h3 h4 h5 h6"), (PREFORMATTED, "pre listing"), (FORM_TAG, "form"),
    (LIST_ITEM, "li"), (DEFINITION, "dd dt"), (PLAINTEXT_TAG, "plaintext"), (BUTTON, "button"), (LINK, "a"),
    (FORMATTING, _FORMATTING), (UNBROKEN, "nobr"), (OBJECT, "applet marquee object"), (TABLE_TAG, "table"),
    (VOID, "area br embed img image keygen wbr"), (INPUT, "input"), (PARAMETER, "param source track"), (RULE, "hr"),
    (TEXTAREA, "textarea"), (XMP, "xmp"), (IFRAME, "iframe"), (NOEMBED, "noembed"), (SELECT, "select"),
    (OPTION, "option"), (GROUP, "optgroup"), (RUBY_BASE, "rb rtc"), (RUBY_TEXT, "rp rt"), (MATH_TAG, "math"),
    (SVG_TAG, "svg"), (IGNORED, "caption col colgroup frame head tbody td tfoot th thead tr"),
    (OF_HEAD, "base basefont bgsound link meta noframes script style template title"), (HTML_TAG, "html"),
    (BODY_TAG, "body"), (FRAMESET_TAG, "frameset"),
))  # fmt: skip
_ENDS = _classes((
    (BLOCK, _BLOCKS + " button listing pre select"), (FORM_TAG, "form"), (PARAGRAPH, "p"), (LIST_ITEM, "li"),
    (DEFINITION, "dd dt"), (HEADING, "h1 h2 h3 h4 h5 h6"), (FORMATTING, _FORMATTING + " a nobr"),
    (OBJECT, "applet marquee object"), (BREAK, "br"), (BODY_TAG, "body"), (HTML_TAG, "html"),
    (TEMPLATE_END, "template"),
))  # fmt: skip
IS_OF_HEAD = _STARTS == OF_HEAD

_A, _BODY, _BR, _BUTTON, _DD, _DT, _FORM, _HEAD, _IMAGE, _IMG, _LI, _NOBR, _NOSCRIPT, _OPTGROUP, _OPTION, _P = (
    np.int64(tag(name))
    for name in "a body br button dd dt form head image img li nobr noscript optgroup option p".split()
)
_RTC, _RUBY, _SCRIPT, _SELECT, _STYLE, _TITLE, _NOFRAMES = (
    np.int64(tag(name)) for name in "rtc ruby script select style title noframes".split()
)
_LIST_STOPS = SPECIAL & ~tag_set("address div p")
_SELECTED_CONTENT = np.array([name_hash("selectedcontent")], np.uint64).view(np.int64)[0]


@inner
def start_in_head(nodes, names, state):
    """Handle a start tag that belongs in the head: base, link, meta, title, script, style and similar tags."""
    apart()
    number = state[TOKEN_TAG]
    insert_html(nodes, names, state)
    if number == TEMPLATE:
        names[current(state), TEMPLATE_MODE] = IN_TEMPLATE
        add_marker(state)
        state[FRAMESET_OK] = 0
        state[MODE] = IN_TEMPLATE
    elif number == _TITLE:
        state[RAW] = RCDATA
    elif number == _SCRIPT:
        state[RAW] = SCRIPT_DATA
    elif number in (_STYLE, _NOFRAMES):
        state[RAW] = RAWTEXT
    else:
        pop(names, state)


@inner
def close_p(names, state):
    """Close the paragraph in button scope, if there is one."""
    depth = in_scope(names, state, _P, BUTTON_SCOPE)
    if depth >= 0:
        pop_to(names, state, depth)


@inner
def _close_items(names, state, one, other):
    """Close the item before a li, dd or dt."""
    apart()
    state[FRAMESET_OK] = 0
    depth = state[OPEN] - 1
    while depth >= 0:
        met = names[state[STACK + depth], ROLE]
        if met in (one, other):
            pop_to(names, state, depth)
            return
        if _LIST_STOPS[met]:
            return
        depth -= 1


@inner
def _start_link(nodes, names, state, number):
    """Handle the start tags a and nobr, which do not nest."""
    apart()
    if number == _A:
        before = find_active(names, state, _A)
        if before >= 0:
            adoption_agency(nodes, names, state, _A)
            forget(state, before)
            if names[before, IS_OPEN]:
                close(names, state, before)
        reconstruct(nodes, names, state)
    else:
        reconstruct(nodes, names, state)
        if in_scope(names, state, _NOBR, SCOPE) >= 0:
            adoption_agency(nodes, names, state, _NOBR)
            reconstruct(nodes, names, state)
    add_active(names, state, insert_html(nodes, names, state))


@inner
def _start_select(nodes, names, state, kind):
    """Handle select, option, optgroup, input and hr, which depend on whether a select is open."""
    apart()
    depth = in_scope(names, state, _SELECT, SCOPE)
    if kind == SELECT:
        if depth >= 0:
            pop_to(names, state, depth)
            return
        reconstruct(nodes, names, state)
        insert_html(nodes, names, state)
        state[FRAMESET_OK] = 0
    elif kind == INPUT:
        if depth >= 0:
            pop_to(names, state, depth)
        reconstruct(nodes, names, state)
        insert_html(nodes, names, state)
        pop(names, state)
        if not state[TOKEN_HIDDEN]:
            state[FRAMESET_OK] = 0
    elif kind == RULE:
        close_p(names, state)
        if depth >= 0:
            close_implied(names, state, IMPLIED, NONE)
        insert_html(nodes, names, state)
        pop(names, state)
        state[FRAMESET_OK] = 0
    else:
        if depth >= 0:
            close_implied(names, state, IMPLIED, _OPTGROUP if kind == OPTION else NONE)
        elif role(names, state) == _OPTION:
            pop(names, state)
        reconstruct(nodes, names, state)
        insert_html(nodes, names, state)


@inner
def _start_block(nodes, names, state, kind):
    """Handle start tags that close a paragraph."""
    apart()
    if kind == FORM_TAG:
        inside_template = find_open(names, state, TEMPLATE) >= 0
        if state[FORM] >= 0 and not inside_template:
            return
        close_p(names, state)
        node = insert_html(nodes, names, state)
        if not inside_template:
            state[FORM] = node
        return
    if kind == LIST_ITEM:
        _close_items(names, state, _LI, _LI)
    elif kind == DEFINITION:
        _close_items(names, state, _DD, _DT)
    close_p(names, state)
    if kind == HEADING and HEADINGS[role(names, state)]:
        pop(names, state)
    if kind == XMP:
        reconstruct(nodes, names, state)
        state[FRAMESET_OK] = 0
        state[RAW] = RAWTEXT
    insert_html(nodes, names, state)
    if kind == PREFORMATTED:
        state[SKIP_NEWLINE] = 1
        state[FRAMESET_OK] = 0
    elif kind == PLAINTEXT_TAG:
        state[RAW] = PLAINTEXT


@inner
def _start_rare(nodes, names, attributes, state, kind):
    """Handle start tags of html, body, frameset, ruby, SVG, MathML, and of elements whose content is not markup."""
    apart()
    if kind == HTML_TAG:
        if find_open(names, state, TEMPLATE) < 0:
            merge_attributes(nodes, attributes, state, state[STACK])
    elif kind == BODY_TAG:
        if state[OPEN] > 1 and names[state[STACK + 1], ROLE] == _BODY and find_open(names, state, TEMPLATE) < 0:
            state[FRAMESET_OK] = 0
            merge_attributes(nodes, attributes, state, state[STACK + 1])
    elif kind == FRAMESET_TAG:
        if state[OPEN] > 1 and names[state[STACK + 1], ROLE] == _BODY and state[FRAMESET_OK]:
            fail(state, UNHANDLED)
    elif kind in (RUBY_BASE, RUBY_TEXT):
        if in_scope(names, state, _RUBY, SCOPE) >= 0:
            close_implied(names, state, IMPLIED, _RTC if kind == RUBY_TEXT else NONE)
        insert_html(nodes, names, state)
    elif kind in (MATH_TAG, SVG_TAG):
        reconstruct(nodes, names, state)
        insert(nodes, names, state, MATH if kind == MATH_TAG else SVG)
        if state[TOKEN_CLOSED]:
            pop(names, state)
    elif kind in (TEXTAREA, IFRAME, NOEMBED):
        insert_html(nodes, names, state)
        state[RAW] = RCDATA if kind == TEXTAREA else RAWTEXT
        if kind != NOEMBED:
            state[FRAMESET_OK] = 0
        if kind == TEXTAREA:
            state[SKIP_NEWLINE] = 1


@inner
def start_in_body(nodes, names, attributes, state):
    """Handle a start tag in the body."""
    apart()
    number = state[TOKEN_TAG]
    kind = _STARTS[number]
    if kind == ORDINARY:
        if number == 0 and state[TOKEN_HASH] == _SELECTED_CONTENT:
            fail(state, UNHANDLED)
        reconstruct(nodes, names, state)
        insert_html(nodes, names, state)
    elif kind in (LINK, UNBROKEN):
        _start_link(nodes, names, state, number)
    elif kind == FORMATTING:
        reconstruct(nodes, names, state)
        add_active(names, state, insert_html(nodes, names, state))
    elif kind in (BLOCK, HEADING, LIST_ITEM, DEFINITION, PREFORMATTED, FORM_TAG, PLAINTEXT_TAG, XMP):
        _start_block(nodes, names, state, kind)
    elif kind == VOID:
        if number == _IMAGE:
            state[TOKEN_TAG] = _IMG
            if state[FOSTER]:
                # lexbor drops it.
                fail(state, UNHANDLED)
        reconstruct(nodes, names, state)
        insert_html(nodes, names, state)
        pop(names, state)
        state[FRAMESET_OK] = 0
    elif kind in (INPUT, SELECT, OPTION, GROUP, RULE):
        _start_select(nodes, names, state, kind)
    elif kind == OF_HEAD:
        start_in_head(nodes, names, state)
    elif kind == BUTTON:
        depth = in_scope(names, state, _BUTTON, SCOPE)
        if depth >= 0:
            pop_to(names, state, depth)
        reconstruct(nodes, names, state)
        insert_html(nodes, names, state)
        state[FRAMESET_OK] = 0
    elif kind == TABLE_TAG:
        if not state[QUIRKS]:
            close_p(names, state)
        insert_html(nodes, names, state)
        state[FRAMESET_OK] = 0
        state[MODE] = IN_TABLE
    elif kind == OBJECT:
        reconstruct(nodes, names, state)
        insert_html(nodes, names, state)
        add_marker(state)
        state[FRAMESET_OK] = 0
    elif kind == PARAMETER:
        insert_html(nodes, names, state)
        pop(names, state)
    elif kind != IGNORED:
        _start_rare(nodes, names, attributes, state, kind)


@inner
def _end_form(names, state):
    """Handle the end tag of a form."""
    apart()
    if find_open(names, state, TEMPLATE) >= 0:
        depth = in_scope(names, state, _FORM, SCOPE)
        if depth >= 0:
            pop_to(names, state, depth)
        return
    node = state[FORM]
    state[FORM] = -1
    if node < 0 or not names[node, IS_OPEN]:
        return
    depth = depth_of(state, node)
    for above in range(depth + 1, state[OPEN]):
        if SCOPE[names[state[STACK + above], ROLE]]:
            return
    close_implied(names, state, IMPLIED, NONE)
    close(names, state, node)


@inner
def end_in_body(nodes, names, state):
    """Handle an end tag in the body; return whether to handle it again."""
    apart()
    number = state[TOKEN_TAG]
    kind = _ENDS[number]
    if kind == ORDINARY:
        end_any_other(names, state, number, state[TOKEN_HASH])
    elif kind == FORMATTING:
        adoption_agency(nodes, names, state, number)
    elif kind in (BLOCK, DEFINITION, LIST_ITEM, OBJECT):
        # This closes the elements with implied end tags as well.
        depth = in_scope(names, state, number, LIST_SCOPE if kind == LIST_ITEM else SCOPE)
        if depth >= 0:
            pop_to(names, state, depth)
            if kind == OBJECT:
                clear_to_marker(state)
    elif kind == PARAGRAPH:
        depth = in_scope(names, state, _P, BUTTON_SCOPE)
        if depth < 0:
            depth = state[OPEN]
            insert_implied(nodes, names, state, _P)
        pop_to(names, state, depth)
    elif kind == HEADING:
        depth = any_in_scope(names, state, HEADINGS, SCOPE)
        if depth >= 0:
            pop_to(names, state, depth)
    elif kind == FORM_TAG:
        _end_form(names, state)
    elif kind in (BODY_TAG, HTML_TAG):
        if in_scope(names, state, _BODY, SCOPE) >= 0:
            state[MODE] = AFTER_BODY
            return kind == HTML_TAG
    elif kind == BREAK:
        reconstruct(nodes, names, state)
        insert_implied(nodes, names, state, _BR)
        pop(names, state)
        state[FRAMESET_OK] = 0
    elif kind == TEMPLATE_END:
        end_template(names, state)
    return False


@inner
def end_template(names, state):
    """Handle the end tag of a template; the mode -1 requests a call of `reset_mode`."""
    apart()
    depth = find_open(names, state, TEMPLATE)
    if depth < 0:
        return
    close_implied(names, state, THOROUGH, NONE)
    pop_to(names, state, depth)
    clear_to_marker(state)
    state[MODE] = -1

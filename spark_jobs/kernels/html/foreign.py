"""Tags inside SVG and MathML (WHATWG HTML 13.2.6.5).

The tag is the token in `state`. Each function returns whether to handle the tag again, as an HTML tag.
"""

# ruff: noqa: SIM110 (compiled functions know no generators)

from __future__ import annotations

import numpy as np

from spark_jobs.kernels.compiled import inner
from spark_jobs.kernels.html.marks import apart, name_hash
from spark_jobs.kernels.html.nodes import tag
from spark_jobs.kernels.html.tree import (
    HASH,
    MATH,
    MATH_TEXT,
    OPEN,
    ROLE,
    STACK,
    SVG,
    SVG_POINT,
    TOKEN_CLOSED,
    TOKEN_HASH,
    TOKEN_TAG,
    UNHANDLED,
    fail,
    insert,
    pop,
    pop_to,
    role,
    tag_set,
)

_P, _BR = np.int64(tag("p")), np.int64(tag("br"))
# The standard lists sup among these; lexbor does not.
_BREAKOUT = tag_set(
    "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img li listing menu meta"
    " nobr ol p pre ruby s small span strong strike sub table tt u ul var"
)
# Other names that SVG and MathML share with HTML, and that no rule of HTML depends on.
_SHARED = tag_set("a audio canvas image link map math object script style sup svg title video")
_SHARED[0] = True
_POINTS = tuple(name_hash(name) for name in ("foreignobject", "desc", "title"))
_MATH_POINTS = tuple(name_hash(name) for name in ("mi", "mo", "mn", "ms", "mtext"))
_ODD = tuple(name_hash(name) for name in ("annotation-xml", "mglyph", "malignmark", "selectedcontent"))
_POINT_HASHES = np.array(_POINTS, np.uint64).view(np.int64)
_MATH_HASHES = np.array(_MATH_POINTS, np.uint64).view(np.int64)
_ODD_HASHES = np.array(_ODD, np.uint64).view(np.int64)
FOREIGN = np.zeros(256, np.bool_)
FOREIGN[[SVG, SVG_POINT, MATH, MATH_TEXT]] = True
_PLAIN_FOREIGN = np.zeros(256, np.bool_)
_PLAIN_FOREIGN[[SVG, MATH]] = True


@inner
def _is_among(hashed, hashes):
    for i in range(len(hashes)):
        if hashes[i] == hashed:
            return True
    return False


@inner
def start_in_foreign(nodes, names, state):
    """Handle a start tag inside SVG or MathML; return whether to handle it again, as an HTML tag."""
    apart()
    number = state[TOKEN_TAG]
    if _BREAKOUT[number]:
        while _PLAIN_FOREIGN[role(names, state)]:
            pop(names, state)
        return True
    if not _SHARED[number] or _is_among(state[TOKEN_HASH], _ODD_HASHES):
        fail(state, UNHANDLED)
        return False
    is_math = role(names, state) in (MATH, MATH_TEXT)
    kind = MATH if is_math else SVG
    if is_math and _is_among(state[TOKEN_HASH], _MATH_HASHES):
        kind = MATH_TEXT
    elif not is_math and _is_among(state[TOKEN_HASH], _POINT_HASHES):
        kind = SVG_POINT
    insert(nodes, names, state, kind)
    if state[TOKEN_CLOSED]:
        pop(names, state)
    return False


@inner
def end_in_foreign(names, state):
    """Handle an end tag inside SVG or MathML; return whether to handle it again, as an HTML tag."""
    number = state[TOKEN_TAG]
    if number in (_P, _BR):
        if not _PLAIN_FOREIGN[role(names, state)]:
            fail(state, UNHANDLED)
            return False
        while _PLAIN_FOREIGN[role(names, state)]:
            pop(names, state)
        return True
    depth = state[OPEN] - 1
    while depth > 0:
        node = state[STACK + depth]
        if not FOREIGN[names[node, ROLE]]:
            return True
        if names[node, HASH] == state[TOKEN_HASH]:
            pop_to(names, state, depth)
            return False
        depth -= 1
    return False

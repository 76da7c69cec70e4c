"""The memory layout of a parsed page: a row per node, a row per attribute, and one buffer of characters.

Rows link to one another by number; -1 means no row. A parser may move nodes, so document order is given by the links,
not by the order of rows. Row 0 is the document itself.
"""

from __future__ import annotations

# Columns of a node's row (int32).
KIND = 0
TAG = 1
PARENT = 2
NEXT = 3
PREVIOUS = 4
FIRST_CHILD = 5
LAST_CHILD = 6
START = 7
"""First byte in the buffer of a text or comment; first row of attributes of an element."""
END = 8
"""One past the last byte or row."""
NODE_COLUMNS = 9

# KIND
DOCUMENT = 0
ELEMENT = 1
TEXT = 2
COMMENT = 3
DOCTYPE = 4

# Columns of an attribute's row (int32). Only the attributes below have rows; only the first of a name is kept.
NAME = 0
VALUE_START = 1
VALUE_END = 2
ATTRIBUTE_COLUMNS = 3

ATTRIBUTES = (
    "class",
    "id",
    "role",
    "rel",
    "itemprop",
    "hidden",
    "aria-hidden",
    "aria-expanded",
    "style",
    "alt",
    "data-ad",
    "data-advertisement",
    "data-text-ad",
)
"""Names of attributes that are kept, in the order of their numbers."""

OTHER = 0
"""TAG of an element whose name is not in TAGS. SVG and MathML elements have the number of their name, like HTML's."""

TAGS = (
    "",
    *("a abbr acronym address applet area article aside audio b base basefont bdi bdo bgsound big blink blockquote body"
      " br button canvas caption center cite code col colgroup data datalist dd del details dfn dialog dir div dl dt em"
      " embed fieldset figcaption figure font footer form frame frameset h1 h2 h3 h4 h5 h6 head header hgroup hr html i"
      " iframe image img input ins isindex kbd keygen label legend li link listing main map mark marquee math menu"
      " menuitem meta meter nav nobr noembed noframes noscript object ol optgroup option output p param picture"
      " plaintext portal pre progress q rb rp rt rtc ruby s samp script search section select slot small source spacer"
      " span strike strong style sub summary sup svg table tbody td template textarea tfoot th thead time title tr"
      " track tt u ul var video wbr xmp").split(),
)  # fmt: skip
"""Names of HTML elements, in the order of their numbers."""


def tag(name: str) -> int:
    """The number of an HTML element's name; OTHER for one that TAGS lacks."""
    return TAGS.index(name) if name in TAGS else OTHER


def attribute(name: str) -> int:
    """The number of an attribute that is kept."""
    return ATTRIBUTES.index(name)

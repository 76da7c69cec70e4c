"""Rules for the class and id of an element, which contain words of navigation, advertising, sharing and similar.

The rules are those of resiliparse 2.0.1 (chatnoir-eu/chatnoir-resiliparse, resiliparse-rs/src/extract/filters.rs). Each
is a regular expression that is searched without regard to case. Here one pass finds all of them: their positions
(Glushkov, "The abstract theory of automata", 1961) are compiled to one deterministic automaton, whose states record
which rules have matched.
"""

# ruff: noqa: PLR0917 (a compiled function takes arrays, and these by position)

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from spark_jobs.kernels.compiled import inner

_SPACE = "(^ ,)", "($ ,)"
"""Requires white space, or an end of the value, before and after the words."""
_PART = "(^ , ~)", "($ , ~)"
"""White space, a hyphen or an underscore, in the notation of `Rule`."""
_SITE = "l wp global page site full sticky"


class Rule(NamedTuple):
    """A search pattern in a short notation.

    A space separates alternatives, `( )` group them, and `? * +` follow what is optional or repeated. `~` is `-` or
    `_`, `,` is white space, `.` is HTML's white space (no vertical tab), `#` is a hexadecimal digit, `^` and `$` are
    the ends of the value. Every other character stands for itself.
    """

    before: str
    words: str
    after: str
    any_case: bool = True

    @property
    def notation(self) -> str:
        """The whole pattern."""
        return f"({self.before})({self.words})({self.after})"


CLASS_RULES = {
    "hidden": Rule(
        _SPACE[0],
        "((is visually)~)?(display-none hidden invisible collapsed h-0 nocontent expandable)(-xs -sm -lg -2?xl)?",
        _SPACE[1],
    ),
    "account": Rule(_PART[0], "log~?in sign~?(in up) account user~(info profile settings actions)", _PART[1]),
    "sharing": Rule(
        "^ , __ -- mobile- desktop- l- m- c-",
        "(social(media search)? share(daddy)? syndication newsletter sharing follow email likes? (give~?)?feedback"
        " (brand~)?engagement facebook twitter subscribe wa jp aptf-follow)"
        "(~?(post links? section icons? btn buttons? target))?",
        _PART[1],
    ),
    "views": Rule("^ ,", "short-view-count", "", any_case=False),
    "spinner": Rule("", "spinner", _PART[1], any_case=False),
}
"""Rules searched in the class only."""

BOTH_RULES = {
    "skipping": Rule(
        _SPACE[0],
        "(link~?)?(skip(~?(to link))? scroll~?(up down) next prev(ious)? permalink pagination skip-to-(main-)?content)",
        "$ , ~?(post article)",
    ),
    "logo": Rule("", "(brand(ing)?~*)?logo", _SPACE[1]),
    "advertising": Rule(
        _SPACE[0],
        "(google wide)~?ads? ad(vert vertise(ment link)? _#+) sponsor(ed)? promoted paid (wide)?banner donate",
        _PART[1],
    ),
    "advertisement": Rule(_SPACE[0], "ad", "$"),
    "article": Rule(_PART[0], "article entry post story single~?post (main~)?content body text page", _PART[1]),
    "header": Rule(_SPACE[0], f"(m {_SITE})~*header(~?wrap(per)? bar)?", _SPACE[1]),
    "footer": Rule(
        _SPACE[0],
        "((global page site)~?)?(footer copyright cookie consent legal fcontainer)"
        "(~(wrap(per)? container banner notice bar consent))?",
        _SPACE[1],
    ),
    "navigation": Rule(
        _SPACE[0],
        "((l m wp main site page sub article global sticky)~*)?(nav(igation bar)?(~(bar menu container wrapper))?"
        " menu(~item)? drop~?down bread~?crumbs? links?~?(bar box list container section wrapper))",
        _SPACE[1],
    ),
    "recommended": Rule(
        _PART[0],
        "trends trending recommended featured popular editors?~picks read-next"
        " related(~?(links articles posts guides stories))?",
        _PART[1],
    ),
    "search": Rule(_SPACE[0], "search(~?(bar facility box))?", _SPACE[1]),
    "sidebar": Rule(_SPACE[0], "((l wp global sticky)~*)?((side sticky)~?(bars? box) one-third)", _SPACE[1]),
    "modal": Rule(_SPACE[0], "(wp- p- -l)?(modal popup lightbox)(~*(window pane box))?", _SPACE[1]),
    "gallery": Rule(_SPACE[0], "gallery carousel", _SPACE[1]),
    "print": Rule(_SPACE[0], "print~", ""),
}
"""Rules searched in the class, a space, and the id."""

ID_RULES = {"landmark": Rule("^", f"(({_SITE})~*)?((head foot)(er)? right)", "$")}
"""Rules searched in the id only."""

_TRIMMED = "^,*", ",*$"
VALUE_RULES = {
    "style": Rule("^ ;,*", "display,?:,?none visibility,?:,?hidden", "$ ,?;"),
    "rel": Rule(_TRIMMED[0], "author icon search prev next tag", _TRIMMED[1], any_case=False),
    "rel_main": Rule(_TRIMMED[0], "main", _TRIMMED[1], any_case=False),
    "itemprop": Rule(_TRIMMED[0], "datePublished author url", _TRIMMED[1], any_case=False),
    "aria_hidden": Rule(_TRIMMED[0], "true", _TRIMMED[1], any_case=False),
    "aria_expanded": Rule(_TRIMMED[0], "false", _TRIMMED[1], any_case=False),
    "role": Rule(
        _TRIMMED[0],
        "alert banner checkbox comment complementary contentinfo dialog img menu menubar menuitem navigation"
        " presentation radio search searchbox separator tab toolbar tooltip",
        _TRIMMED[1],
        any_case=False,
    ),
}
"""Rules that exclude an element (`rel_main` includes it), each searched in the attribute that it is named after."""

_ROOTS = "article-body articleBody contentBody article-text main-content postcontent post-content single-post".split()
ROOT_RULES = {
    **{name: Rule("^ .", name, "$ .", any_case=False) for name in _ROOTS},
    **{f"{name} in any case": Rule("^ .", name, "$ .") for name in _ROOTS},
    "role": Rule("^", "main", "$", any_case=False),
}
"""Classes and the role of a main element: if a page has exactly one, only that element is read."""

_RULES = {**CLASS_RULES, **BOTH_RULES, **ID_RULES}


def _bits(all_rules: Iterable[str], *names: str) -> np.uint32:
    order = list(all_rules)
    return np.uint32(sum(1 << order.index(name) for name in names))


HIDDEN = _bits(_RULES, "hidden")
SKIPPING = _bits(_RULES, "skipping")
DEEP = _bits(_RULES, "account", "sharing")
"""Rules for elements more than two levels below the body."""
JUNK = _bits(_RULES, "logo", "advertising", "advertisement", "views", "spinner")
ARTICLE = _bits(_RULES, "article")
LANDMARK = _bits(_RULES, "landmark")
BOILERPLATE = _bits(_RULES, *"header footer navigation recommended search sidebar modal gallery print".split())
STYLE, REL, REL_MAIN, ITEMPROP, ARIA_HIDDEN, ARIA_EXPANDED, ROLE = (_bits(VALUE_RULES, name) for name in VALUE_RULES)
ROOT_ROLE = _bits(ROOT_RULES, "role")
ROOT_CLASSES = len(_ROOTS)
"""Number of case-sensitive root rules, which come first; the same rules without regard to case follow."""
_OF_CLASS = _bits(_RULES, *CLASS_RULES)
_OF_BOTH_OR_ID = _bits(_RULES, *BOTH_RULES, *ID_RULES)

_BYTES = 256
_BEGIN, _END = _BYTES, _BYTES + 1
_NAMED = {",": b" \t\n\v\f\r", ".": b" \t\n\f\r", "~": b"-_", "#": b"0123456789abcdef"}
_MARKS, _END_MARKS, _MOVES = range(3)
"""Columns of an automaton's row."""
_START = _BYTES
"""The state before the first byte of a value."""


class _Positions:
    """The positions of a set of rules at which a symbol is read, each a bit of an int."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.reads: list[frozenset[int]] = []
        """Symbols (bytes, _BEGIN, _END) that are read at a position."""
        self.follow: list[int] = []
        """Positions that may follow a position."""
        self.first = 0
        """Positions at which a rule may begin."""
        self.ends: list[int] = []
        """For each rule, the positions at which it has matched."""
        for rule in rules:
            self._rest = rule.notation
            self._any_case = rule.any_case
            first, last, nullable = self._alternatives()
            assert not self._rest and not nullable, rule
            self.first |= first
            self.ends.append(last)

    def _alternatives(self) -> tuple[int, int, bool]:
        first, last, nullable = self._sequence()
        while self._rest.startswith(" "):
            self._rest = self._rest[1:]
            another = self._sequence()
            first, last, nullable = first | another[0], last | another[1], nullable or another[2]
        return first, last, nullable

    def _sequence(self) -> tuple[int, int, bool]:
        first, last, nullable = 0, 0, True
        while self._rest and self._rest[0] not in " )":
            behind = self._repeated()
            self._join(last, behind[0])
            first |= behind[0] if nullable else 0
            last = behind[1] | (last if behind[2] else 0)
            nullable = nullable and behind[2]
        return first, last, nullable

    def _repeated(self) -> tuple[int, int, bool]:
        first, last, nullable = self._one()
        sign = self._rest[:1]
        if sign and sign in "?*+":
            self._rest = self._rest[1:]
            nullable = nullable or sign in "?*"
            if sign in "*+":
                self._join(last, first)
        return first, last, nullable

    def _one(self) -> tuple[int, int, bool]:
        sign, self._rest = self._rest[0], self._rest[1:]
        if sign == "(":
            found = self._alternatives()
            assert self._rest.startswith(")")
            self._rest = self._rest[1:]
            return found
        position = 1 << len(self.reads)
        self.reads.append(self._symbols(sign))
        self.follow.append(0)
        return position, position, False

    def _symbols(self, sign: str) -> frozenset[int]:
        if sign in "^$":
            return frozenset({_BEGIN if sign == "^" else _END})
        read = _NAMED.get(sign, sign.encode())
        return frozenset(read.lower() + read.upper() if self._any_case else read)

    def _join(self, last: int, first: int) -> None:
        for position in _ones(last):
            self.follow[position] |= first

    def behind(self, state: int) -> int:
        """Positions that may be next: a rule may begin anywhere."""
        found = self.first
        for position in _ones(state):
            found |= self.follow[position]
        return found

    def matched(self, state: int) -> int:
        """A bit for each rule that has matched in a state."""
        return sum(1 << rule for rule, ends in enumerate(self.ends) if ends & state)


def _ones(mask: int) -> Iterable[int]:
    while mask:
        lowest = mask & -mask
        yield lowest.bit_length() - 1
        mask ^= lowest


def automaton(rules: Iterable[Rule]) -> np.ndarray:
    """Build the automaton of some rules; the first rule has the lowest bit of its marks.

    Its states are the sets of positions that can be reached together.

    Returns:
        uint32. The first 256 values are the column of each byte's transition. From _START on there is a row for each
        state: a bit for each rule that has matched when the state is reached; the same if the value ends there; and the
        transitions, each the index of another row.
    """
    positions = _Positions(rules)
    reading = [0] * (_END + 1)
    for position, symbols in enumerate(positions.reads):
        for symbol in symbols:
            reading[symbol] |= 1 << position
    # Bytes that are read at the same positions share a column.
    columns = list(dict.fromkeys(reading[:_BYTES]))
    width = _MOVES + len(columns)
    found = {positions.behind(0) & reading[_BEGIN]: _START}
    table = [_MOVES + columns.index(read) for read in reading[:_BYTES]]
    # New states are appended to the list, so this loop reaches them in turn.
    waiting = list(found)
    for state in waiting:
        behind = positions.behind(state)
        table += [positions.matched(state), positions.matched(behind & reading[_END])]
        for read in columns:
            following = behind & read
            if following not in found:
                found[following] = _START + width * len(found)
                waiting.append(following)
            table.append(found[following])
    return np.array(table, np.uint32)


class Rules(NamedTuple):
    """The automata of all rules, each built by `automaton`."""

    classes: np.ndarray
    values: np.ndarray
    roots: np.ndarray


@functools.cache
def rules() -> Rules:
    """Build the automata, once per process."""
    return Rules(automaton(_RULES.values()), automaton(VALUE_RULES.values()), automaton(ROOT_RULES.values()))


@inner
def _run(data, start, stop, state, seen, automaton):
    for position in range(start, stop):
        state = np.int64(automaton[state + np.int64(automaton[data[position]])])
        seen |= automaton[state]
    return state, seen


@inner
def value_marks(data, start, stop, automaton):
    """Rules that match in `data[start:stop]`."""
    state, seen = _run(data, start, stop, np.int64(_START), np.uint32(0), automaton)
    return seen | automaton[state + _END_MARKS]


@inner
def class_marks(data, class_start, class_stop, id_start, id_stop, automaton):
    """Rules that match in a class and an id; the rules for the id alone apply only if the class is missing."""
    if class_start == class_stop:
        return value_marks(data, id_start, id_stop, automaton) & _OF_BOTH_OR_ID
    state, seen = _run(data, class_start, class_stop, np.int64(_START), np.uint32(0), automaton)
    of_class = (seen | automaton[state + _END_MARKS]) & _OF_CLASS
    state = np.int64(automaton[state + np.int64(automaton[0x20])])
    seen |= automaton[state]
    state, seen = _run(data, id_start, id_stop, state, seen, automaton)
    return (seen | automaton[state + _END_MARKS]) & _OF_BOTH_OR_ID | of_class

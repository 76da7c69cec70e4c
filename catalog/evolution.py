"""How the columns of a stored table differ from its contract, and what that means for those who read it.

A column that is added and may be null changes no reader. A wider type (a 32-bit integer that becomes one of 64 bits)
holds every value that was there. Anything else breaks a reader, or cannot be done to rows that are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

WIDER = {
    "byte": ("short", "integer", "long"),
    "short": ("integer", "long"),
    "integer": ("long", "double"),
    "float": ("double",),
    "date": ("timestamp_ntz",),
}
"""The types that hold every value of a type, as Delta names them (protocol, type widening)."""


@dataclass(frozen=True)
class Change:
    """One column of a contract that is not as the table has it."""

    column: str
    kind: str
    """`added`; `missing` (added, but it may not be null, which rows that are there would be); `widened`; `retyped`;
    `removed`; `required` (it was nullable); or `relaxed` (it may be null now)."""
    before: str = ""
    after: str = ""

    @property
    def breaking(self) -> bool:
        """Whether rows that are there do not fit, or a reader may fail."""
        return self.kind in ("retyped", "removed", "required", "missing")

    def __str__(self) -> str:
        words = {
            "added": f"is added as {self.after}",
            "missing": f"is added as {self.after} and may not be null",
            "removed": f"is removed, which was {self.before}",
            "widened": f"is widened from {self.before} to {self.after}",
            "retyped": f"changes from {self.before} to {self.after}",
            "required": "may not be null any more",
            "relaxed": "may be null",
        }
        return f"{self.column} {words[self.kind]}"


def changes(before: Any, after: Any) -> list[Change]:
    """The columns of `after` that differ from those of `before`.

    Args:
        before: the schema of the stored table, a `deltalake.Schema`.
        after: the schema of its contract, likewise.
    """
    stored, wanted = _fields(before), _fields(after)
    found = [
        Change(name, "added" if nullable else "missing", after=type_)
        for name, (type_, nullable) in wanted.items()
        if name not in stored
    ]
    for name, (type_, nullable) in stored.items():
        if name not in wanted:
            found.append(Change(name, "removed", type_))
            continue
        new_type, new_nullable = wanted[name]
        if new_type != type_:
            found.append(Change(name, "widened" if new_type in WIDER.get(type_, ()) else "retyped", type_, new_type))
        elif nullable and not new_nullable:
            found.append(Change(name, "required", type_, new_type))
        elif new_nullable and not nullable:
            found.append(Change(name, "relaxed", type_, new_type))
    return found


def in_words(found: Iterable[Change]) -> str:
    """The changes in one line, the breaking ones first."""
    return "; ".join(map(str, sorted(found, key=lambda change: not change.breaking)))


def _fields(schema: Any) -> dict[str, tuple[str, bool]]:
    return {
        field["name"]: (type_name(field["type"]), field["nullable"]) for field in json.loads(schema.to_json())["fields"]
    }


def type_name(type_: Any) -> str:
    """A type of Delta's schema in words: `array<string>`."""
    if isinstance(type_, str):
        return type_
    if type_["type"] == "array":
        return f"array<{type_name(type_['elementType'])}>"
    if type_["type"] == "map":
        return f"map<{type_name(type_['keyType'])},{type_name(type_['valueType'])}>"
    inner = (f"{each['name']}:{type_name(each['type'])}" for each in type_["fields"])
    return f"struct<{','.join(inner)}>"

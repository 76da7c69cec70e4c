"""A view: a named SQL query over the tables of the lake."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class View:
    """A named query: what it answers, the tables that it needs, and its SQL."""

    description: str
    tables: tuple[str, ...]
    sql: str

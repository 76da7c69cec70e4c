"""The catalog: contracts of tables, the lake that holds them, SQL over it, lineage and data cards.

The public names are those in `__all__`. Each is imported when it is first used, so that `import catalog` is fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from catalog.contract import Column, Contract, Expectation
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.settings import Settings, load_settings
    from catalog.sql.query import connect, export_duckdb, query
    from catalog.tables import CONTRACTS

_HOMES = {
    "CONTRACTS": "catalog.tables",
    "Column": "catalog.contract",
    "Contract": "catalog.contract",
    "Expectation": "catalog.contract",
    "Lake": "catalog.lake",
    "Settings": "catalog.settings",
    "WatershedError": "catalog.errors",
    "connect": "catalog.sql.query",
    "export_duckdb": "catalog.sql.query",
    "load_settings": "catalog.settings",
    "query": "catalog.sql.query",
}

__all__ = [
    "CONTRACTS",
    "Column",
    "Contract",
    "Expectation",
    "Lake",
    "Settings",
    "WatershedError",
    "connect",
    "export_duckdb",
    "load_settings",
    "query",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'catalog' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)

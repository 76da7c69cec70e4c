"""The commits of a table, as its log says: the rows, files and columns that each changed."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from catalog.errors import WatershedError
from catalog.evolution import type_name
from catalog.lake import Lake
from catalog.storage.log import TableLog
from catalog.storage.records import actions, entry_path


@dataclass(frozen=True, kw_only=True)
class Commit:
    """A commit of a table: its version, and what differs from the version before."""

    version: int
    written_at: datetime.datetime | None
    operation: str
    rows: int | None
    """Rows of the version; None if a file of it was written without its number of rows."""
    added_files: int
    removed_files: int
    added_rows: int
    """Rows of the files that the version added."""
    removed_rows: int
    """Rows of the files that it removed; rewritten rows are in both numbers."""
    columns: tuple[str, ...] = ()
    """Columns that were added ("+name"), removed ("-name") or given another type ("name: long to double")."""

    @property
    def summary(self) -> str:
        """What changed, in words."""
        parts = [f"+{self.added_rows:,} rows"] if self.added_rows else []
        parts += [f"-{self.removed_rows:,} rows"] if self.removed_rows else []
        parts += [f"columns {', '.join(self.columns)}"] if self.columns else []
        return ", ".join(parts) or "no rows changed"


def commits(lake: Lake, name: str) -> list[Commit]:
    """Every version of the table `name` whose entry is in its log, the last one first.

    Raises:
        WatershedError: the table does not exist, or its log is damaged.
    """
    lake.table(name)
    store = lake.store(name)
    files: dict[str, int | None] = {}
    types: dict[str, str] = {}
    found: list[Commit] = []
    known = False
    for version in TableLog.of(store).entries:
        if version == 0:
            known = True
        elif not found:
            # The log begins later: what came before is in a checkpoint.
            files, known = _files_at(lake, name, version - 1)
        commit = _applied(version, actions(store.read(entry_path(version)).decode()), files, types, known=known)
        found.append(commit)
    return found[::-1]


def _files_at(lake: Lake, name: str, version: int) -> tuple[dict[str, int | None], bool]:
    try:
        added = lake.table(name, version).get_add_actions(flatten=True)
    except WatershedError:
        return {}, False
    return dict(zip(added.column("path").to_pylist(), added.column("num_records").to_pylist(), strict=True)), True


def _applied(
    version: int, entry: list[dict[str, Any]], files: dict[str, int | None], types: dict[str, str], *, known: bool
) -> Commit:
    commit: Mapping[str, Any] = {}
    columns: tuple[str, ...] = ()
    added: dict[str, int | None] = {}
    removed: list[int | None] = []
    for action in entry:
        if "commitInfo" in action:
            commit = action["commitInfo"]
        elif "metaData" in action:
            columns = _new_types(json.loads(action["metaData"]["schemaString"]), types)
        elif "add" in action:
            added[action["add"]["path"]] = _records(action["add"])
        elif "remove" in action:
            removed.append(files.pop(action["remove"]["path"], None))
    files |= added
    moment = commit.get("timestamp")
    return Commit(
        version=version,
        written_at=datetime.datetime.fromtimestamp(moment / 1000, datetime.UTC) if moment else None,
        operation=str(commit.get("operation", "")),
        rows=None if not known or None in files.values() else sum(rows or 0 for rows in files.values()),
        added_files=len(added),
        removed_files=len(removed),
        added_rows=sum(rows or 0 for rows in added.values()),
        removed_rows=sum(rows or 0 for rows in removed),
        columns=columns if version else (),
    )


def _records(add: Mapping[str, Any]) -> int | None:
    stats = add.get("stats")
    found = json.loads(stats).get("numRecords") if isinstance(stats, str) and stats else None
    return int(found) if found is not None else None


def _new_types(schema: Mapping[str, Any], types: dict[str, str]) -> tuple[str, ...]:
    plain = {each["name"]: type_name(each["type"]) for each in schema["fields"]}
    changed = [f"+{name}" for name in plain if name not in types]
    changed += [f"-{name}" for name in types if name not in plain]
    changed += [
        f"{name}: {types[name]} to {type_}" for name, type_ in plain.items() if name in types and types[name] != type_
    ]
    types.clear()
    types.update(plain)
    return tuple(changed)

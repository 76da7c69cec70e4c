"""The files that a table is expected to have: those of its latest version, of earlier ones, and those beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import unquote

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake, Written
from catalog.literals import partition_sql
from catalog.storage.records import Recorded, read_files, record_path, sound_records
from catalog.storage.store import Store
from catalog.tables import families


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file to verify, and what is known about it."""

    store: Store
    path: str
    recorded: Recorded
    behind: str
    kind: str = "data"
    partition: str | None = None
    required: bool = True
    """Whether it is a fault if it does not exist: files of earlier versions may have been vacuumed."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A file that is missing or is not what was written."""

    table: str
    path: str
    """The whole path or URL."""
    problem: str
    behind: str = ""
    """The rows, partition or commit that the file holds."""
    kind: str = "data"
    """`log`, `data`, or `file` for a file outside the table."""
    partition: str | None = None
    """The key of the partition that has to be made again, if that is known."""

    def __str__(self) -> str:
        return f"{self.path} {self.problem}" + (f"; behind it: {self.behind}" if self.behind else "")


def live_files(table: Any, contract: Contract) -> list[dict[str, Any]]:
    """The data files of the latest version: path, size, rows, partition values, and the span of the primary key."""
    # As an Arrow table of pyarrow it would import pandas.
    added = table.get_add_actions(flatten=True)
    keys = [f"{end}.{column}" for column in contract.primary_key for end in ("min", "max")]
    wanted = ["path", "size_bytes", "num_records", *(f"partition.{column}" for column in contract.partition_by), *keys]
    columns = {name: added.column(name).to_pylist() for name in wanted if name in added.column_names}
    rows = (dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True))
    return [{"num_records": None, **row, "path": unquote(row["path"])} for row in rows]


def data_files(
    store: Store,
    contract: Contract,
    added: Sequence[dict[str, Any]],
    *,
    history: bool,
    written: Mapping[str, Written] | None = None,
) -> Iterator[StoredFile]:
    """The data files of the latest version, and with `history` those of earlier versions that have a record."""
    known: dict[str, Recorded] = {}
    for record in sound_records(store).values() if history or written is None else ():
        known |= record.data
    for row in added:
        path = row["path"]
        key = "/".join(f"{column}={row.get(f'partition.{column}')}" for column in contract.partition_by)
        if written is not None and key not in written:
            key = "" if "" in written else None
        recorded = known.pop(path, None) or Recorded(row["size_bytes"], None)
        yield StoredFile(store=store, path=path, recorded=recorded, behind=_rows_behind(contract, row), partition=key)
    for path, recorded in known.items() if history else ():
        yield StoredFile(store=store, path=path, recorded=recorded, behind="rows of an earlier version", required=False)


def _rows_behind(contract: Contract, row: dict[str, Any]) -> str:
    count = row["num_records"]
    words = [f"{count:,} {'row' if count == 1 else 'rows'}" if count is not None else "rows", f"of {contract.name}"]
    if contract.partition_by:
        words.append("in " + "/".join(f"{column}={row.get(f'partition.{column}')}" for column in contract.partition_by))
    for column in contract.primary_key:
        low, high = row.get(f"min.{column}"), row.get(f"max.{column}")
        if column not in contract.partition_by and low is not None:
            words.append(f"with {column} {low}" if low == high else f"with {column} from {low} to {high}")
            break
    return " ".join(words)


def other_files(
    lake: Lake, contract: Contract, faults: list[Fault], written: Mapping[str, Written]
) -> Iterator[StoredFile]:
    """The files outside the table that the last commit of each of its partitions came with."""
    store, files = lake.store(contract.name), Store(str(lake.files))
    for key, commit in written.items():
        try:
            recorded = read_files(store, commit.version).get(key, {})
        except ValueError:
            path = store.name(record_path(commit.version).replace(".json", ".files.json"))
            problem = "is damaged: the checksums of the files of this version are lost"
            faults.append(Fault(table=contract.name, path=path, problem=problem, kind="log"))
            continue
        behind = f"{contract.name}, {key}" if key else contract.name
        for path, each in recorded.items():
            yield StoredFile(store=files, path=path, recorded=each, behind=behind, kind="file", partition=key)


@dataclass(frozen=True)
class RowsOfFiles:
    """The rows of a table that name files in their column `path`."""

    lake: Lake
    contract: Contract

    def behind(self, file: StoredFile) -> str:
        """What a file holds, in words; for a shard, also how to find its documents."""
        if file.kind == "data":
            return file.behind
        for row in self._rows:
            if not f"{file.path}/".startswith(f"{row['path']}/"):
                continue
            named = {column: row[column] for column in self.contract.primary_key}
            behind = f"{self.contract.name}, the row with {', '.join(f'{key} {value}' for key, value in named.items())}"
            corpora = (corpus for family in families() for corpus in family.lineage.corpora)
            spans = next((each.spans for each in corpora if each.shards == self.contract.name), None)
            return f"{behind}: SELECT doc_id FROM {spans} WHERE {partition_sql(named)}" if spans else behind
        return file.behind

    @cached_property
    def _rows(self) -> list[dict[str, Any]]:
        if "path" in self.contract.schema.names:
            # Its own data files may be missing too.
            with suppress(WatershedError), self.lake.readable(self.contract.name):
                return self.lake.read(self.contract.name, [*self.contract.primary_key, "path"]).to_pylist()
        return []

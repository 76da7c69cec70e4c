"""The removal of rows from one table: from its latest version, from the files of earlier ones, and from its log.

In this order, each step of which may be repeated after a kill:

1. The partitions that hold such rows are replaced in one Delta commit, so that the latest version lacks them.
2. The earlier versions that cannot be read any more are recorded beside the table (`_checksums/removed.json`).
3. Every Parquet file in the table's folder that no version needs now and that holds such a row is deleted, files of
   killed writers included. Files without such a row stay, so that versions which never held one can still be read.
4. The statistics of deleted files, which quote the beginnings of texts, are removed from the log's entries, and
   checkpoints and checksum files that quote them are replaced.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import and_, or_
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa

from catalog.code_version import code_version
from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lineage.removal.orders import Removals, blanked, carriers, kept_rows
from catalog.literals import partitions_sql
from catalog.reads import not_recorded
from catalog.storage.log import TableLog
from catalog.storage.records import (
    LOG,
    RECORDS,
    actions,
    entry_path,
    read_record,
    record_path,
    recorded_versions,
    rewrite_record,
    write_record,
)
from catalog.storage.removed import read_removed, write_removed
from catalog.storage.store import DAMAGED, Store

if TYPE_CHECKING:
    from catalog.lake import Lake

STRAY = datetime.timedelta(days=1)
"""Age from which a file that no version names is left by a killed writer. A younger one may be about to be committed;
its writer then removes the rows itself."""


@dataclass(frozen=True)
class Cleared:
    """What was removed from a table."""

    table: str
    rows: int
    files: int
    """Files of earlier versions, and of killed writers, that were deleted."""


def columns_looked_at(contract: Contract, removals: Removals) -> list[str]:
    """The columns that say whether a row is to be forgotten."""
    urls = [c.name for c in contract.columns if f"{contract.name}.{c.name}" in removals.prefixes]
    return list(dict.fromkeys([*carriers(contract), *urls]))


@not_recorded()
def rows_to_remove(lake: Lake, contract: Contract, removals: Removals) -> int:
    """How many rows of the latest version are to be forgotten, or emptied."""
    return sum(sum(named) for _, named in _live(lake, contract, removals))


@not_recorded()
def clear_table(lake: Lake, contract: Contract, removals: Removals) -> Cleared:
    """Remove everything that is to be forgotten from a table; what is removed already is left alone.

    Raises:
        WatershedError: the table is damaged, or the disk is full.
    """
    rows = _delete_rows(lake, contract, removals)
    store = lake.store(contract.name)
    doomed = [path for path, kind in _dead(lake, contract, removals) if kind != "young"]
    if rows or doomed or read_removed(store).orders:
        _record(lake, contract, store, doomed, removals)
        for path in doomed:
            store.remove(path)
            folder, slash, name = path.rpartition("/")
            store.remove(f"{folder}{slash}.{name}.crc")
        _clean_log(lake, contract, store)
    return Cleared(contract.name, rows, len(doomed))


@not_recorded()
def left_in_table(lake: Lake, contract: Contract, removals: Removals) -> list[str]:
    """What still holds a row that is to be forgotten, in words; empty if nothing does."""
    found = []
    if rows := _unemptied(lake, contract, removals):
        found.append(f"{contract.name}: {rows:,} rows of the latest version")
    for path, kind in _dead(lake, contract, removals):
        why = (
            "it may be about to be committed, and is deleted when it is a day old"
            if kind == "young"
            else "no version needs it now"
        )
        found.append(f"{lake.path(contract.name)}/{path}: {why}")
    return found


def values_of(lake: Lake, contract: Contract, removals: Removals, column: str) -> set[str]:
    """The values of a column in rows that are to be forgotten, in every file of the table, earlier versions included.

    They are the names by which other tables know these rows.
    """
    store, found = lake.store(contract.name), set[str]()
    for path in parquet_files(store):
        for batch in _batches(store, path, [*columns_looked_at(contract, removals), column]):
            named = removals.named(contract, batch)
            if column in batch.schema.names:
                found |= {v for v, one in zip(batch[column].to_pylist(), named, strict=True) if one and v is not None}
    return found


def _live(lake: Lake, contract: Contract, removals: Removals) -> Iterator[tuple[pa.RecordBatch, list[bool]]]:
    if not removals.concern(contract) or not lake.exists(contract.name):
        return
    stored = lake.table(contract.name).to_pyarrow_dataset()
    wanted = [name for name in columns_looked_at(contract, removals) if name in stored.schema.names]
    for batch in stored.to_batches(columns=wanted):
        yield batch, removals.named(contract, batch)


def _unemptied(lake: Lake, contract: Contract, removals: Removals) -> int:
    """Rows of the latest version that still hold what is to be forgotten."""
    if contract.name not in blanked():
        return rows_to_remove(lake, contract, removals)
    columns = blanked()[contract.name]
    if not columns or not lake.exists(contract.name):
        return 0
    wanted = [*columns_looked_at(contract, removals), *columns]
    batches = lake.table(contract.name).to_pyarrow_dataset().to_batches(columns=wanted)
    return sum(sum(_full(contract, removals, batch)) for batch in batches)


def _full(contract: Contract, removals: Removals, batch: pa.RecordBatch) -> list[bool]:
    """For each row, whether it holds what is to be forgotten: a row that was emptied only names it."""
    named = removals.named(contract, batch)
    if contract.name not in blanked():
        return named
    columns = [name for name in blanked()[contract.name] if name in batch.schema.names]
    rows = batch.select(columns).to_pylist() if columns else [{}] * batch.num_rows
    return [one and any(row.values()) for one, row in zip(named, rows, strict=True)]


def _delete_rows(lake: Lake, contract: Contract, removals: Removals) -> int:
    """Commit a version without the rows; return how many were removed or emptied."""
    before = _unemptied(lake, contract, removals)
    if before:
        _replace(lake, contract, removals, _partitions(lake, contract, removals))
    return before


def _partitions(lake: Lake, contract: Contract, removals: Removals) -> list[dict[str, Any]]:
    """The partitions that hold what is to be forgotten; one without columns if the table has none."""
    stored = lake.table(contract.name).to_pyarrow_dataset()
    columns = [*contract.partition_by, *columns_looked_at(contract, removals), *blanked().get(contract.name, ())]
    wanted = [name for name in dict.fromkeys(columns) if name in stored.schema.names]
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for batch in stored.to_batches(columns=wanted):
        full = _full(contract, removals, batch)
        for row in batch.select(list(contract.partition_by)).filter(pa.array(full, pa.bool_())).to_pylist():
            found[tuple(row.values())] = row
        if any(full) and not contract.partition_by:
            return [{}]
    return list(found.values())


def _replace(lake: Lake, contract: Contract, removals: Removals, partitions: Sequence[Mapping[str, Any]]) -> None:
    """Commit the partitions without the rows, in one transaction and a batch at a time.

    The rows are written from Arrow. `DeltaTable.delete` would write texts as string_view, which Arrow does not compare
    with the strings of a filter.
    """
    import pyarrow.compute as pc
    from deltalake import CommitProperties, DeltaTable, write_deltalake
    from deltalake.exceptions import DeltaError

    stored = lake.table(contract.name)
    dataset = stored.to_pyarrow_dataset()
    schema = pa.schema([field.remove_metadata() for field in dataset.schema])
    equal = [[pc.field(column) == value for column, value in each.items()] for each in partitions if each]
    chosen = reduce(or_, [reduce(and_, each) for each in equal]) if equal else None

    def kept() -> Iterator[pa.RecordBatch]:
        for batch in dataset.to_batches(filter=chosen):
            yield from kept_rows(contract, pa.Table.from_batches([batch]), removals).cast(schema).to_batches()

    options = dict(lake.storage_options) or None
    # Without a fingerprint: what was made is what it was, but for the rows that people ordered to forget.
    note = CommitProperties(custom_metadata={"userMetadata": json.dumps({"code": code_version(), "removal": True})})
    try:
        write_deltalake(
            DeltaTable(lake.path(contract.name), version=stored.version(), storage_options=options),
            pa.RecordBatchReader.from_batches(schema, kept()),
            mode="overwrite",
            predicate=partitions_sql(partitions),
            commit_properties=note,
        )
    except (DeltaError, OSError) as error:
        raise lake.refusal(error) or WatershedError(
            f"rows were not removed from {contract.name}: {str(error).splitlines()[0]}",
            "the order is recorded; run `watershed forget --resume` to go on",
        ) from error
    lake.record(contract.name)


def _dead(lake: Lake, contract: Contract, removals: Removals) -> list[tuple[str, str]]:
    """Files of the folder with such a row that the latest version does not need: path, and `dead` or `young`."""
    if not removals.concern(contract) or not lake.exists(contract.name):
        return []
    store = lake.store(contract.name)
    live = {unquote(path) for path in _live_paths(lake, contract)}
    named = {path for entry in _entries(store).values() for path, _ in _paths(entry)}
    now = datetime.datetime.now(datetime.UTC)
    found = []
    looked_at = [*columns_looked_at(contract, removals), *blanked().get(contract.name, ())]
    for path, changed in parquet_files(store).items():
        if path not in live and any(any(_full(contract, removals, b)) for b in _batches(store, path, looked_at)):
            known = path in named or path.startswith(f"{DAMAGED}/")
            found.append((path, "dead" if known or now - changed > STRAY else "young"))
    return found


def _live_paths(lake: Lake, contract: Contract) -> list[str]:
    added = lake.table(contract.name).get_add_actions(flatten=True)
    return added.column("path").to_pylist() if added.num_rows else []


def parquet_files(store: Store) -> dict[str, datetime.datetime]:
    """Every Parquet file of the folder, whether a version names it or not, and when it was changed."""
    return {
        path: datetime.datetime.fromtimestamp(stat.changed / 1e9, datetime.UTC)
        for path, stat in store.listed("", recursive=True).items()
        if path.endswith(".parquet") and not path.startswith((f"{LOG}/", f"{RECORDS}/"))
    }


def _batches(store: Store, path: str, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The columns of a file that it has; nothing of a file that is no Parquet, which nobody can read."""
    import pyarrow.parquet as pq

    try:
        with store.open(path) as source, pq.ParquetFile(source) as parquet:
            held = [name for name in dict.fromkeys(columns) if name in parquet.schema_arrow.names]
            if held:
                yield from parquet.iter_batches(columns=held)
    except (pa.ArrowInvalid, FileNotFoundError):
        return


def _record(lake: Lake, contract: Contract, store: Store, doomed: Sequence[str], removals: Removals) -> None:
    """Record which versions cannot be read from now on, before their files are deleted."""
    before, gone = read_removed(store), set(doomed)
    unreadable = {version for version, files in files_of_versions(store).items() if files is None or files & gone}
    orders = {**before.orders, **{order.id: order.ordered_at for order in removals.orders}}
    held = (unreadable if gone else set()) | {*before.unreadable}
    write_removed(store, replace(before, orders=orders, unreadable=tuple(sorted(held - {lake.version(contract.name)}))))


def files_of_versions(store: Store) -> dict[int, set[str] | None]:
    """The data files of every version by the entries of its log; None if an entry is missing, so that none can say."""
    entries, found = _entries(store), dict[int, set[str] | None]()
    live: set[str] | None = set()
    for version in range(max(entries, default=-1) + 1):
        if version not in entries:
            live = None
        elif live is not None:
            for action in entries[version]:
                if path := _path(action, "remove"):
                    live.discard(path)
                if path := _path(action, "add"):
                    live.add(path)
        found[version] = None if live is None else set(live)
    return found


def _clean_log(lake: Lake, contract: Contract, store: Store) -> None:
    """Remove the statistics of files that do not exist any more from the log."""
    # A file of the latest version that is missing is damage, and not a removal.
    there = {*parquet_files(store), *map(unquote, _live_paths(lake, contract))}
    entries = _entries(store)
    quoting = [version for version, entry in entries.items() if any(_quotes(action, there) for action in entry)]
    _replace_checkpoints(lake, contract, store)
    for version in quoting:
        lines = [json.dumps(_unquoted(action, there), separators=(",", ":")) for action in entries[version]]
        _rewrite(store, version, "".join(f"{line}\n" for line in lines))


def _rewrite(store: Store, version: int, entry: str) -> None:
    """Replace a log entry. An entry that differs from its record would be damage, so the record goes first."""
    try:
        before = read_record(store, version) if version in recorded_versions(store) else None
    except ValueError:
        before = None
    store.remove(record_path(version))
    folder, _, name = entry_path(version).rpartition("/")
    # Hadoop would find that the entry does not fit its checksum, and Spark's checksum of a version lists its files.
    store.remove(f"{folder}/.{name}.crc")
    for crc in (f"{folder}/{version:020}.crc", f"{folder}/.{version:020}.crc.crc"):
        store.remove(crc)
    store.write(entry_path(version), entry.encode())
    if before is None:
        write_record(store, version, store.listed(LOG))
    else:
        rewrite_record(store, before)


def _replace_checkpoints(lake: Lake, contract: Contract, store: Store) -> None:
    """Make a checkpoint of the latest version in place of earlier ones, which hold statistics of deleted files."""
    log = TableLog.of(store)
    latest = lake.version(contract.name)
    old = [version for version in log.checkpoints if version != latest]
    if not old or latest is None:
        return
    lake.table(contract.name).create_checkpoint()
    write_record(store, latest, store.listed(LOG))
    for version in old:
        for path in log.checkpoints[version]:
            folder, _, name = path.rpartition("/")
            store.remove(record_path(version))
            store.remove(f"{folder}/.{name}.crc")
            store.remove(path)
        if entry_path(version) in log.files:
            write_record(store, version, store.listed(LOG))


def _entries(store: Store) -> dict[int, list[dict[str, Any]]]:
    log = TableLog.of(store)
    return {version: actions(store.read(entry_path(version)).decode()) for version in log.entries}


def _path(action: Mapping[str, Any], kind: str) -> str | None:
    return unquote(str(action[kind]["path"])) if kind in action else None


def _paths(entry: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for action in entry:
        for kind in ("add", "remove"):
            if path := _path(action, kind):
                yield path, action[kind]


def _quotes(action: Mapping[str, Any], there: set[str]) -> bool:
    """Whether an action quotes rows of a file that does not exist, or the values of a removal."""
    if any("stats" in inner and path not in there for path, inner in _paths([action])):
        return True
    return "predicate" in _parameters(action) and '"removal"' in str(action["commitInfo"].get("userMetadata"))


def _unquoted(action: Mapping[str, Any], there: set[str]) -> dict[str, Any]:
    if "commitInfo" in action and _quotes(action, there):
        kept = {name: value for name, value in _parameters(action).items() if name != "predicate"}
        return {"commitInfo": {**action["commitInfo"], "operationParameters": kept}}
    if not _quotes(action, there):
        return dict(action)
    return {kind: {name: value for name, value in inner.items() if name != "stats"} for kind, inner in action.items()}


def _parameters(action: Mapping[str, Any]) -> Mapping[str, Any]:
    return action.get("commitInfo", {}).get("operationParameters") or {}

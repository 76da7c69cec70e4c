"""What of the lake nothing reaches: versions, files beside tables, and tables, with their bytes and since when.

The latest version of every table is kept, and every version that the latest version of another rests on, by the commits
of the lake (`catalog.lineage.versions`). A file beside the tables is kept if a kept version names it in its column
`path`, if it was recorded with the last commit of a partition, or if a model names the data set that it belongs to.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.files import PARTIAL
from catalog.inventory import downstream
from catalog.lake import Lake
from catalog.lineage.corpora import model_tables
from catalog.lineage.links import descendants
from catalog.lineage.removal.tables import STRAY, files_of_versions, parquet_files
from catalog.lineage.versions import Versions, made_from
from catalog.reads import not_recorded
from catalog.storage.records import read_files
from catalog.storage.removed import read_removed, write_removed
from catalog.storage.store import DAMAGED, Store
from catalog.tables import CONTRACTS


@dataclass(frozen=True, kw_only=True)
class Unused:
    """Something that nothing reaches."""

    kind: str
    """`version`, `files`, `left` (by a killed writer), `set aside` (by a repair) or `table`."""
    name: str
    bytes: int
    since: datetime.datetime
    """When it was replaced, or else when it was written."""
    table: str = ""
    store: Store | None = None
    paths: tuple[str, ...] = ()
    """Files of `store` that nothing else needs. A table is only reported."""
    versions: tuple[int, ...] = ()


@not_recorded()
def unused(lake: Lake, connection: duckdb.DuckDBPyConnection) -> list[Unused]:
    """Everything in the lake that no kept version reaches, the largest first. Nothing is changed."""
    kept = kept_versions(lake, connection)
    versions = Versions(connection)
    found = [each for name in kept for each in _of_table(lake, CONTRACTS[name], kept[name], versions)]
    found += _beside(lake, connection, kept, versions)
    found += _unread(lake, versions)
    return sorted(found, key=lambda each: (-each.bytes, each.name))


def kept_versions(lake: Lake, connection: duckdb.DuckDBPyConnection) -> dict[str, set[int]]:
    """The versions that are kept, by table: the latest of each, and those that the last commits of others rest on."""
    versions = Versions(connection)
    kept: dict[str, set[int]] = {}
    for name in CONTRACTS:
        latest = versions.latest(name)
        if latest is None:
            continue
        kept.setdefault(name, set()).add(latest.version)
        # Partitions may have been written at different times, and rest on what was there then.
        for commit in {latest.version, *(written.version for written in lake.written(name).values())}:
            if reader := versions.at(name, commit):
                for source in made_from(versions, reader):
                    kept.setdefault(source.table, set()).add(source.version)
    return kept


def delete(lake: Lake, connection: duckdb.DuckDBPyConnection, chosen: Iterable[Unused]) -> int:
    """Delete what was found; return the bytes. What has become needed since is left.

    Raises:
        WatershedError: a file cannot be deleted.
    """
    now = {(each.kind, each.name): each for each in unused(lake, connection)}
    freed = 0
    for each in chosen:
        current = now.get((each.kind, each.name))
        if current is None or current.store is None:
            continue
        # Nothing that was not shown, and nothing that a version needs by now.
        paths = [path for path in each.paths if path in {*current.paths}]
        if each.versions:
            before = read_removed(current.store)
            versions = tuple(sorted({*before.unused, *each.versions}))
            # Recorded first: a version without its files would be an error of another kind.
            write_removed(current.store, replace(before, unused=versions))
        for path in paths:
            try:
                freed += current.store.size(path) or 0
                current.store.remove(path)
            except OSError as error:
                raise WatershedError(
                    f"{current.store.name(path)} was not deleted: {error.strerror or error}",
                    "make its folder writable and run it again",
                ) from error
    return freed


def _of_table(lake: Lake, contract: Contract, kept: set[int], versions: Versions) -> Iterator[Unused]:
    """Versions of a table that are not kept, and files in its folder that no version names."""
    if lake.damage(contract.name):
        return
    store = lake.store(contract.name)
    files, there = files_of_versions(store), parquet_files(store)
    known = {path for each in files.values() for path in each or ()}
    if None not in files.values():
        needed = {path for version in kept for path in files.get(version) or ()}
        spare = (known - needed) & there.keys()
        gone = {*read_removed(store).unused, *read_removed(store).unreadable}
        without = tuple(v for v, each in files.items() if v not in kept and v not in gone and (each or set()) & spare)
        if spare:
            last = versions.at(contract.name, max(without, default=0) + 1) or versions.latest(contract.name)
            yield Unused(
                kind="version",
                name=f"{contract.name}@{','.join(map(str, without))}" if len(without) < 4 else _many(contract, without),
                table=contract.name,
                bytes=_bytes(store, spare),
                since=last.written_at if last else _now(),
                store=store,
                paths=tuple(sorted(spare)),
                versions=without,
            )
    aside = {path for path in there if path.startswith(f"{DAMAGED}/")}
    left = {path for path, at in there.items() if path not in known | aside and _now() - at > STRAY}
    for kind, paths in (("left", left), ("set aside", aside)):
        if paths and None not in files.values():
            yield Unused(
                kind=kind,
                name=f"{contract.name}: {len(paths):,} data {'file' if len(paths) == 1 else 'files'}",
                table=contract.name,
                bytes=_bytes(store, paths),
                since=min(there[path] for path in paths),
                store=store,
                paths=tuple(sorted(paths)),
            )


def _many(contract: Contract, versions: tuple[int, ...]) -> str:
    return f"{contract.name}: {len(versions):,} versions up to {versions[-1]}"


def _beside(
    lake: Lake, connection: duckdb.DuckDBPyConnection, kept: dict[str, set[int]], versions: Versions
) -> Iterator[Unused]:
    """Files in the folders of tables beside the lake's tables, by the folder or file just below that of the table."""
    datasets = _datasets(lake)
    for name, versions_kept in kept.items():
        contract, folder = CONTRACTS[name], lake.folder(name)
        if not folder.is_dir() or lake.damage(name):
            continue
        needed = _needed(lake, contract, versions_kept)
        for unit in sorted(folder.iterdir()):
            inner = [path for path in (unit.rglob("*") if unit.is_dir() else [unit]) if path.is_file()]
            spare = [path for path in inner if not _is_needed(lake.relative(path), needed)]
            # A killed writer's file has a name of its own; what is written now is younger.
            spare = [p for p in spare if PARTIAL not in p.name or _now() - _changed(p) > STRAY]
            # What was made after the last commit may be a run that has not committed yet.
            latest = versions.latest(name)
            spare = [p for p in spare if latest and _changed(p) < latest.written_at]
            if not spare or unit.name in datasets:
                continue
            yield Unused(
                kind="files",
                name=lake.relative(unit),
                table=name,
                bytes=sum(path.stat().st_size for path in spare),
                since=max(map(_changed, spare)),
                store=Store(str(lake.files)),
                paths=tuple(lake.relative(path) for path in spare),
            )


def _needed(lake: Lake, contract: Contract, kept: set[int]) -> set[str]:
    """Paths of files and folders that kept versions of a table name, or that its last commits recorded."""
    found: set[str] = set()
    store = lake.store(contract.name)
    gone = {*read_removed(store).unreadable, *read_removed(store).unused}
    if "path" in contract.schema.names:
        for version in kept - gone:
            rows = lake.table(contract.name, version).to_pyarrow_table(columns=["path"])
            found |= {path for path in rows["path"].to_pylist() if path}
    for key, commit in lake.written(contract.name).items():
        try:
            found |= read_files(store, commit.version).get(key, {}).keys()
        except ValueError:
            # Without the record nobody knows which files belong to it.
            return {lake.relative(lake.folder(contract.name))}
    # The folder of a data set also holds what belongs to all of its shards.
    own = f"{lake.relative(lake.folder(contract.name))}/"
    sets = {each.rpartition("/")[0].rpartition("/")[0] for each in found if each.endswith(".tar")}
    return found | {each for each in sets if each.startswith(own)}


def _is_needed(path: str, needed: set[str]) -> bool:
    parts = path.split("/")
    return any("/".join(parts[:at]) in needed for at in range(1, len(parts) + 1))


def _datasets(lake: Lake) -> set[str]:
    """The data sets that models were trained on: they say what these read, even if newer shards have replaced them."""
    found: set[str] = set()
    for name in model_tables():
        if lake.exists(name) and not lake.damage(name):
            found |= set(lake.read(name, ["dataset"])["dataset"].to_pylist())
    return found


def _unread(lake: Lake, versions: Versions) -> Iterator[Unused]:
    """Tables that others are declared to be made from, but from which no model, evaluation or forecast was made."""
    for name in CONTRACTS:
        latest = versions.latest(name)
        ends = [each for each in descendants(name) if not downstream(each)]
        if latest and ends and not any(versions.latest(each) for each in ends) and not lake.damage(name):
            added = lake.table(name).get_add_actions(flatten=True)
            size = sum(added.column("size_bytes").to_pylist()) if added.num_rows else 0
            yield Unused(kind="table", name=name, table=name, bytes=size, since=latest.written_at)


def _bytes(store: Store, paths: Iterable[str]) -> int:
    return sum(store.size(path) or 0 for path in paths)


def _changed(path: Path) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC)


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)

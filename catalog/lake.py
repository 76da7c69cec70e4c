"""The lake: a folder or bucket of Delta tables, one per contract, and the files that they name.

One or several partitions are replaced in one Delta transaction whose commit carries the fingerprint of each, so
an interrupted writer leaves the old version, and a re-run can skip what is done.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from catalog.code_version import code_version
from catalog.contract import Contract, conforming
from catalog.creation import create
from catalog.errors import OvertakenError, WatershedError
from catalog.literals import partition_sql, partitions_sql
from catalog.object_store import FIRST_REQUEST, full_options, is_object_store, refusal
from catalog.reads import not_recorded, record_read
from catalog.settings import Settings
from catalog.storage.log import log_faults, repair_advice
from catalog.storage.records import (
    Broken,
    Recorded,
    read_broken,
    read_partitions,
    recorded_versions,
    write_broken,
    write_files,
    write_partitions,
    write_records,
)
from catalog.storage.removed import refuse_unreadable
from catalog.storage.store import Store

if TYPE_CHECKING:
    from catalog.lineage.removal.orders import Removals

WHOLE = ""
"""The partition key of a table that is written as a whole."""

_REACHED: set[str] = set()
"""Roots of lakes in object stores that have answered this process."""


@dataclass(frozen=True)
class Written:
    """The last commit that replaced a table or one of its partitions."""

    fingerprint: str
    version: int
    timestamp_ms: int


@dataclass(frozen=True)
class Part:
    """What is written at once with others like it: a partition, or None for a whole table, and its fingerprint."""

    partition: Mapping[str, Any] | None
    fingerprint: str

    @property
    def key(self) -> str:
        """The partition as commit notes name it."""
        return partition_key(self.partition)


@dataclass(frozen=True)
class Lake:
    """The tables under `root` and the files under `files`."""

    root: str
    files: Path
    # They may hold keys, so they are not printed.
    storage_options: Mapping[str, str] = field(repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Lake:
        """The lake of `settings`."""
        root = settings.lake_root
        return cls(root, settings.files_root, full_options(root, settings.lake.storage_options))

    def path(self, name: str) -> str:
        """Folder or URL of the table `family.table`."""
        family, table = name.split(".")
        return f"{self.root}/{family}/{table}"

    def folder(self, name: str, *parts: str) -> Path:
        """Folder of the files of the table `family.table`."""
        return self.files.joinpath(*name.split("."), *parts)

    def relative(self, path: Path) -> str:
        """`path` as tables store it: relative to the files' folder."""
        return path.relative_to(self.files).as_posix()

    def store(self, name: str) -> Store:
        """The files of the table `family.table`, and the records of what was written."""
        return Store(self.path(name), self.storage_options)

    def exists(self, name: str) -> bool:
        """Whether the table has been created, even if its log has been lost since.

        Raises:
            WatershedError: the object store does not answer.
        """
        return self._is_table(self.path(name)) or bool(recorded_versions(self.store(name)))

    def damage(self, name: str) -> WatershedError | None:
        """Why no answer of the table can be trusted: its log lacks a commit, or has one that is not what was written.

        None for a sound log. Data files are not looked at; `catalog.storage.verify` does that.
        """
        faults = log_faults(self.store(name))
        if not faults:
            return None
        more = f" ({len(faults) - 1} more faults)" if len(faults) > 1 else ""
        return WatershedError(f"{name} is damaged: {self.path(name)}/{faults[0]}{more}", repair_advice(name))

    def reach(self) -> None:
        """Send one request to the object store, to see whether it answers. A lake in a folder is always reached.

        Raises:
            WatershedError: there is no server or no bucket, or the key is not accepted.
        """
        if is_object_store(self.root):
            self._look(self.root, {**self.storage_options, **FIRST_REQUEST})
            _REACHED.add(self.root)

    def refusal(self, error: Exception) -> WatershedError | None:
        """The WatershedError for `error` if the object store of the lake caused it, otherwise None."""
        return refusal(error, self.root, self.storage_options) if is_object_store(self.root) else None

    def _is_table(self, path: str) -> bool:
        if self.root not in _REACHED:
            self.reach()
        return self._look(path, self.storage_options)

    def _look(self, path: str, options: Mapping[str, str]) -> bool:
        from deltalake import DeltaTable

        try:
            return DeltaTable.is_deltatable(path, dict(options) or None)
        except OSError as error:
            if (refused := self.refusal(error)) is None:
                raise
            raise refused from error

    def table(self, name: str, version: int | None = None) -> Any:
        """The `deltalake.DeltaTable`, at `version` or the latest.

        Raises:
            WatershedError: the table does not exist, its log is damaged, or rows of the version were removed.
        """
        from catalog.storage.native import NativeTable

        if not self.exists(name):
            raise WatershedError(
                f"{self.path(name)}: no Delta table here",
                f"materialise {name} in Dagster, run `watershed demo`, or set [lake] root",
            )
        if damage := self.damage(name):
            raise damage
        record_read(name)
        if version is not None:
            refuse_unreadable(self.store(name), name, version)
        with self.readable(name):
            return NativeTable(self.path(name), version=version, storage_options=dict(self.storage_options) or None)

    @contextmanager
    def readable(self, name: str) -> Generator[None]:
        """Turn the errors of delta-rs about a table inside the block into a WatershedError."""
        try:
            yield
        except WatershedError:
            raise
        except Exception as error:  # delta-rs raises a dozen types, OSError and ValueError among them
            raise self.refusal(error) or WatershedError(
                f"{self.path(name)} cannot be read: {str(error).splitlines()[0]}", repair_advice(name)
            ) from error

    @not_recorded()
    def version(self, name: str) -> int | None:
        """Latest version of the table; None if it does not exist."""
        return self.table(name).version() if self.exists(name) else None

    def read(self, name: str, columns: list[str] | None = None) -> pa.Table:
        """Read all rows of a small table into memory. Query large tables with `catalog.connect()`.

        Args:
            name: the table, as `family.table`.
            columns: the columns to read; by default all.

        Raises:
            WatershedError: the table does not exist.

        Example:
            >>> from catalog import Lake, load_settings
            >>> lake = Lake.of(load_settings())
            >>> lake.read("dclm.scores", ["score", "bucket"]).to_pydict()
            {'score': [0.0, 0.4, 1.0], 'bucket': [0, 2, 5]}
        """
        return self.table(name).to_pyarrow_table(columns=columns)

    @not_recorded()
    def create(self, contract: Contract) -> None:
        """Create the table with its constraints if it does not exist; add new nullable columns.

        Comments of a table that exists are left as they are: SQL shows those of the contract.

        Raises:
            WatershedError: the columns of the table differ in another way, so that its rows must be made again.
        """
        create(self, contract)

    def replace(
        self,
        contract: Contract,
        rows: pa.Table | Iterable[pa.RecordBatch],
        fingerprint: str,
        partition: Mapping[str, Any] | None = None,
        within: Mapping[str, Any] | None = None,
        *,
        after: int | None = None,
    ) -> int:
        """Replace the table, or one `partition` of it, with `rows` in one transaction; returns the version.

        Args:
            rows: a table, or record batches, of which only a few are in memory at a time.
            within: partition columns and values that the rows share; rows with other values stay. Unlike `partition`,
                it is not recorded as what was written.
            after: the version of the table that the rows were made from, if nothing that was written since may be lost.

        Raises:
            OvertakenError: the table has another version than `after`.
            WatershedError: the rows do not fit the contract, or break one of its constraints.
        """
        replaced = {**(partition or {}), **(within or {})}
        predicate = partition_sql(replaced) if replaced else None
        return self._write(contract, rows, "overwrite", predicate, commit_note(fingerprint, partition), after=after)

    def replace_parts(self, contract: Contract, rows: pa.Table, parts: Sequence[Part]) -> int:
        """Replace several partitions by `rows`, which lie within them, in one transaction; returns the version.

        Raises:
            WatershedError: the rows do not fit the contract, or break one of its constraints.
        """
        return self._write(contract, rows, "overwrite", parts_sql(parts), parts_note(parts))

    def append(
        self, contract: Contract, rows: pa.Table, fingerprint: str, partition: Mapping[str, Any] | None = None
    ) -> int:
        """Add `rows` to the table in one transaction; returns the version. No row that is there is looked at.

        Raises:
            WatershedError: the rows do not fit the contract, or break one of its constraints.
        """
        return self._write(contract, rows, "append", None, commit_note(fingerprint, partition))

    def _write(
        self,
        contract: Contract,
        rows: pa.Table | Iterable[pa.RecordBatch],
        mode: Literal["append", "overwrite"],
        predicate: str | None,
        note: str,
        *,
        after: int | None = None,
    ) -> int:
        from deltalake import CommitProperties, DeltaTable, write_deltalake
        from deltalake.exceptions import CommitFailedError, DeltaError

        from catalog.lineage.removal.orders import kept_rows

        self.create(contract)
        removals = self.removals()

        def keep(table: pa.Table) -> pa.Table:
            return kept_rows(contract, table, removals)

        kept = (
            _without_comments(keep(contract.conform(rows)))
            if isinstance(rows, pa.Table)
            else conforming(contract, rows, keep)
        )
        target = DeltaTable(self.path(contract.name), version=after, storage_options=dict(self.storage_options) or None)
        # Tried again, a commit would come after those of others, whose rows it does not have.
        retries = None if after is None else 0
        properties = CommitProperties(custom_metadata={"userMetadata": note}, max_commit_retries=retries)
        try:
            write_deltalake(
                target,
                kept,
                mode=mode,  # ty: ignore[invalid-argument-type]
                predicate=predicate,
                commit_properties=properties,
            )
        except (DeltaError, OSError) as error:
            if after is not None and isinstance(error, CommitFailedError) and self.version(contract.name) != after:
                raise OvertakenError(
                    f"{contract.name} was written by another process at the same time", "run it again"
                ) from error
            raise self.refusal(error) or WatershedError(
                f"{contract.name} was not written: {str(error).splitlines()[0]}",
                "the previous version is unchanged; correct the rows or the disk and run it again",
            ) from error
        self.record(contract.name)
        self.clear_again(contract, removals)
        return target.version()

    def removals(self) -> Removals:
        """What people ordered to forget; no table may hold it.

        Raises:
            WatershedError: an order cannot be read.
        """
        from catalog.lineage.removal.orders import read_removals

        return read_removals(Store(self.root, self.storage_options))

    def clear_again(self, contract: Contract, before: Removals) -> None:
        """Remove what was ordered to be forgotten while rows were being written; every writer calls this at its end.

        Args:
            contract: the table that was written.
            before: the removals that its rows were compared with.
        """
        now = self.removals()
        if (now.keys, now.prefixes) != (before.keys, before.prefixes):
            from catalog.lineage.removal.tables import clear_table

            clear_table(self, contract, now)

    def record(self, name: str) -> None:
        """Record the sizes and digests of what the last commits wrote; every writer calls this after its commit.

        Raises:
            WatershedError: the disk is full.
        """
        write_records(self.store(name))

    def record_files(self, name: str, key: str, files: Mapping[str, Recorded]) -> None:
        """Record files outside the table that came with the last commit of the partition `key`.

        Args:
            files: what `catalog.storage.records.measured_files` returns for paths under `files`.
        """
        write_files(self.store(name), self.written(name)[key].version, {key: files})

    def plan_partitions(self, name: str, keys: Sequence[str]) -> None:
        """Record the keys of the partitions that a run is to make of the table, before it makes them."""
        write_partitions(self.store(name), keys)

    def planned_partitions(self, name: str) -> tuple[str, ...]:
        """The keys that `plan_partitions` recorded last; empty for a table without partitions."""
        return read_partitions(self.store(name))

    def record_broken(self, name: str, version: int, partitions: Mapping[str, str]) -> None:
        """Record the partitions whose rows break the contract in `version`, and what they break, by partition key."""
        write_broken(self.store(name), Broken(version, partitions))

    def broken(self, name: str) -> dict[str, str]:
        """The partitions that `record_broken` recorded last and that have not been written since, by partition key."""
        found = read_broken(self.store(name))
        written = self.written(name) if found.partitions else {}
        return {key: what for key, what in found.partitions.items() if _last(written, key) <= found.version}

    def written(self, name: str) -> dict[str, Written]:
        """The last commit of every partition key (`WHOLE` for a table written whole), by its commit notes."""
        return {key: commits[0] for key, commits in self.commits(name).items()}

    @not_recorded()
    def commits(self, name: str) -> dict[str, list[Written]]:
        """All commits of every partition key, the last one first, by their notes."""
        if not self.exists(name):
            return {}
        found: dict[str, list[Written]] = {}
        table = self.table(name)
        with self.readable(name):
            history = table.history()
        for commit in history:
            for key, fingerprint in _parse_note(commit.get("userMetadata")).items():
                written = Written(fingerprint, int(commit["version"]), int(commit.get("timestamp", 0)))
                found.setdefault(key, []).append(written)
        return found


def _last(written: Mapping[str, Written], key: str) -> int:
    """The last version that wrote the partition `key`; -1 if none is noted."""
    return written[key].version if key in written else -1


def _without_comments(rows: pa.Table) -> pa.Table:
    """`rows` without the descriptions of columns: delta-rs refuses rows whose comments differ from the table's."""
    return rows.cast(pa.schema([field.remove_metadata() for field in rows.schema]))


def partition_key(partition: Mapping[str, Any] | None) -> str:
    """A partition as Hive writes it: `global_shard=3/local_shard=7`; `WHOLE` for none."""
    return "/".join(f"{column}={value}" for column, value in (partition or {}).items())


def partition_columns(key: str) -> dict[str, str]:
    """The columns and values of a partition that `partition_key` wrote; empty for `WHOLE`. Values are texts."""
    return dict(part.split("=", 1) for part in key.split("/")) if key != WHOLE else {}


def commit_note(fingerprint: str, partition: Mapping[str, Any] | None) -> str:
    """The note of a commit: the fingerprint, the partition that it replaced, and the version of the code, as JSON.

    Spark writes it as `userMetadata`, so that both engines leave the same note. It also says which code wrote it.
    """
    note = {"code": code_version(), "fingerprint": fingerprint, "partition": partition_key(partition)}
    return json.dumps(note, sort_keys=True)


def parts_sql(parts: Iterable[Part]) -> str | None:
    """The predicate that holds for the parts' rows only; None for a whole table."""
    return partitions_sql(part.partition for part in parts if part.partition)


def parts_note(parts: Sequence[Part]) -> str:
    """`commit_note` of one part; for several, the notes of all in a list called `written`."""
    if len(parts) == 1:
        return commit_note(parts[0].fingerprint, parts[0].partition)
    notes = [{"fingerprint": part.fingerprint, "partition": part.key} for part in parts]
    return json.dumps({"code": code_version(), "written": notes}, sort_keys=True)


def _parse_note(text: object) -> dict[str, str]:
    """Fingerprints by partition key in a commit's note; empty for a commit of another program."""
    try:
        note = json.loads(text) if isinstance(text, str) else None
    except json.JSONDecodeError:
        return {}
    if not isinstance(note, dict):
        return {}
    notes = note.get("written", [note])
    return {
        one["partition"]: one["fingerprint"]
        for one in (notes if isinstance(notes, list) else [])
        if isinstance(one, dict) and {"fingerprint", "partition"} <= one.keys()
    }

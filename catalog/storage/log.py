"""Whether the log of a table can be trusted: all commits are there, and they are those that were made.

A log that lost its last commit, or whose last commit is torn, still reads as an earlier version of the table. So
before a table is read, its log is compared with the records of `catalog.storage.records`. In a folder, this reads and
hashes the entries that a reader of the table reads as well. In an object store, whose objects are whole or absent, it
lists names and sizes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from catalog.storage.records import (
    LAST_CHECKPOINT,
    LOG,
    Record,
    Recorded,
    actions,
    entry_path,
    read_record,
    record_path,
    recorded_versions,
    version_of,
)
from catalog.storage.store import Stat, Store

_CHECKPOINT = re.compile(r"\d{20}\.checkpoint(\.\d{10}\.\d{10})?\.parquet$")

_trusted: dict[str, TableLog] = {}
"""The logs that this process has found sound, by folder, as they were listed then."""


@dataclass(frozen=True)
class LogFault:
    """A file of a log that is missing or is not what was written."""

    path: str
    """Relative to the table."""
    version: int | None
    problem: str

    def __str__(self) -> str:
        return f"{self.path} {self.problem}"


@dataclass(frozen=True)
class TableLog:
    """The files of a table's log and of its records, as they were listed."""

    store: Store
    files: dict[str, Stat]
    records: dict[int, str]

    @classmethod
    def of(cls, store: Store) -> TableLog:
        """The log of the table in `store`."""
        # In this order: a writer makes a commit first and then its record.
        records = recorded_versions(store)
        return cls(store, store.listed(LOG), records)

    @property
    def entries(self) -> list[int]:
        """The versions that have a log entry, in order."""
        return sorted(v for path in self.files if (v := version_of(path)) is not None and path == entry_path(v))

    @property
    def checkpoints(self) -> dict[int, list[str]]:
        """The files of the checkpoint of a version."""
        found: dict[int, list[str]] = {}
        for path in sorted(self.files):
            if _CHECKPOINT.search(path) and (version := version_of(path)) is not None:
                found.setdefault(version, []).append(path)
        return found

    @property
    def base(self) -> int:
        """The version of the newest checkpoint, from which readers go on; -1 if there is none."""
        return max(self.checkpoints, default=-1)

    @property
    def last(self) -> int:
        """The last version that the log or a record has; -1 if there is none."""
        return max([*self.entries, *self.checkpoints, *self.records], default=-1)

    def record(self, version: int) -> Record | None:
        """The record of a version; None if there is none, or it is damaged."""
        try:
            return read_record(self.store, version) if version in self.records else None
        except ValueError:
            return None


def repair_advice(name: str) -> str:
    """The mend of every error about a damaged table."""
    return f"see what can be done with `watershed repair {name}`"


def log_faults(store: Store) -> list[LogFault]:
    """The faults of a table's log that make its rows doubtful, in the order of versions. Empty for no table at all."""
    faults: list[LogFault] = []
    # What a writer changes between two looks is not a fault: it is looked at twice.
    for _ in range(2):
        log = TableLog.of(store)
        if store.local and _trusted.get(store.root) == log:
            return []
        faults = [*_missing(log), *_live_faults(log)]
        if not faults:
            if store.local:
                _trusted[store.root] = log
            return []
    return faults


def missing_entries(store: Store, listed: Iterable[str]) -> list[LogFault]:
    """The versions that a table's log lacks, where only the names of the files in its folders are known."""
    paths = list(listed)
    records = {v: path for path in paths if (v := version_of(path)) is not None and path == record_path(v)}
    files = {path: Stat(1, 0) for path in paths if path.startswith(f"{LOG}/")}
    return list(_missing(TableLog(store, files, records)))


def all_log_faults(store: Store) -> list[LogFault]:
    """`log_faults`, and those of earlier versions, of checksum files and of the records themselves."""
    log = TableLog.of(store)
    faults = {fault.path: fault for fault in (*_missing(log), *_live_faults(log))}
    for version in sorted(log.records):
        record = log.record(version)
        if record is None:
            path = log.records[version]
            faults.setdefault(path, LogFault(path, version, "is damaged: the checksums of this version are lost"))
            continue
        for path, recorded in record.log.items():
            # A newer checkpoint replaces the pointer.
            if "_last_checkpoint" in path and log.base != version:
                continue
            if path not in faults and (fault := _compared(log, path, version, recorded, read=True)):
                faults[path] = fault
    for version in log.entries:
        if version not in log.records and entry_path(version) not in faults:
            faults |= {fault.path: fault for fault in _unreadable(log, version)}
    return sorted(faults.values(), key=lambda fault: (fault.version or 0, fault.path))


def _missing(log: TableLog) -> Iterator[LogFault]:
    present, first_needed = set(log.entries), log.base + 1
    for version in range(first_needed, log.last + 1):
        if version not in present:
            was = "was recorded" if version in log.records else "is between others"
            yield LogFault(entry_path(version), version, f"is missing: version {version} {was}")
    for version in sorted(log.records):
        if version < first_needed and version not in present:
            yield LogFault(entry_path(version), version, f"is missing: version {version} was recorded")


def _live_faults(log: TableLog) -> Iterator[LogFault]:
    """Faults of the files that a reader of the latest version reads."""
    for version in log.entries:
        if version <= log.base:
            continue
        record = log.record(version)
        recorded = record.log.get(entry_path(version)) if record else None
        if recorded is None:
            yield from _unreadable(log, version)
        elif fault := _compared(log, entry_path(version), version, recorded, read=log.store.local):
            yield fault
    yield from _checkpoint_faults(log)


def _unreadable(log: TableLog, version: int) -> Iterator[LogFault]:
    path = entry_path(version)
    if log.files[path].size == 0:
        yield LogFault(path, version, "is empty")
    elif log.store.local:
        try:
            actions(log.store.read(path).decode())
        except ValueError as error:
            yield LogFault(path, version, f"is not a log entry of Delta: {str(error).splitlines()[0]}")


def _checkpoint_faults(log: TableLog) -> Iterator[LogFault]:
    for version, paths in log.checkpoints.items():
        record = log.record(version)
        for path in paths:
            recorded = record.log.get(path) if record else None
            if recorded is not None:
                # Only the newest is read by others.
                fault = _compared(log, path, version, recorded, read=log.store.local and version == log.base)
                if fault:
                    yield fault
            elif version == log.base and (problem := _no_parquet(log.store, path)):
                yield LogFault(path, version, problem)
    if LAST_CHECKPOINT in log.files and (problem := _wrong_pointer(log)):
        yield LogFault(LAST_CHECKPOINT, None, problem)


def _no_parquet(store: Store, path: str) -> str | None:
    if not store.local:
        return None
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.read_table(store.name(path), page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {(str(error).splitlines() or [''])[0]}"
    return None


def _wrong_pointer(log: TableLog) -> str | None:
    if not log.store.local:
        return None
    try:
        version = json.loads(log.store.read(LAST_CHECKPOINT))["version"]
    except (ValueError, KeyError, TypeError):
        return "is damaged"
    return None if version in log.checkpoints else f"names a checkpoint of version {version}, which does not exist"


def _compared(log: TableLog, path: str, version: int, recorded: Recorded, *, read: bool) -> LogFault | None:
    problem = difference(log.store, path, log.files[path].size if path in log.files else None, recorded, read=read)
    return LogFault(path, version, problem) if problem else None


def difference(store: Store, path: str, size: int | None, recorded: Recorded, *, read: bool) -> str | None:
    """How a file differs from what was recorded, in words; None if it does not.

    Args:
        size: the size of the file; None if it does not exist.
        read: whether its digest is computed, too.
    """
    if size is None:
        return "is missing"
    if size == 0 and recorded.size:
        return f"is empty: {recorded.size:,} bytes were written"
    if size != recorded.size:
        return f"has {size:,} bytes, not the {recorded.size:,} that were written"
    if read and recorded.sha256 and store.digest(path) != recorded.sha256:
        return "differs from what was written: its SHA-256 is another"
    return None

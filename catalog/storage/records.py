"""What every commit wrote: a record per version, beside the log, with sizes, digests and a copy of the log entry.

    lake/dclm/documents/_checksums/00000000000000000005.json         the files of version 5
    lake/dclm/documents/_checksums/00000000000000000005.files.json   files outside the table, written with version 5
    lake/dclm/documents/_checksums/partitions.json                   the partitions that the table is to have
    lake/dclm/documents/_checksums/broken.json                       the partitions whose rows break the contract

The record of the last version shows that a commit is missing from the log, and its copy of the entry restores it. A
record is written after the commit, and never changed: a writer that is killed between the two leaves a version without
a record, which the next writer adds. Versions of other programs and of earlier releases have no record either; nothing
is known about their files but what the log says.

A digest of a file takes a second reading of it. In a folder, what has just been written is still in memory. In an
object store, which checks its objects itself, files of large commits are recorded by size alone; those that Spark
writes have page checksums.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

from catalog.storage.store import Store

LOG = "_delta_log"
RECORDS = "_checksums"
LAST_CHECKPOINT = f"{LOG}/_last_checkpoint"
PARTITIONS = f"{RECORDS}/partitions.json"
BROKEN = f"{RECORDS}/broken.json"

READ_BACK = 256_000_000
"""Bytes of a commit to an object store that are read again for their digests."""

THREADS = 4

_VERSION = re.compile(r"\.?(\d{20})\.(?:json|files\.json|crc|checkpoint(?:\.\d+\.\d+)?\.parquet)(?:\.crc)?$")
"""Names of log entries, checkpoints and checksum files. Those of files that are being written end otherwise."""


class Recorded(NamedTuple):
    """The size of a file in bytes, and its SHA-256 if it was computed."""

    size: int
    sha256: str | None


@dataclass(frozen=True, kw_only=True)
class Record:
    """The files of one version of a table, by path relative to the table."""

    version: int
    log: Mapping[str, Recorded]
    """The log entry, and the checkpoint and checksum files of the same version."""
    data: Mapping[str, Recorded]
    """The data files that the version added."""
    entry: str
    """A copy of the log entry."""

    @property
    def files(self) -> dict[str, Recorded]:
        """All files of the record."""
        return {**self.data, **self.log}


def entry_path(version: int) -> str:
    """The log entry of a version, relative to the table."""
    return f"{LOG}/{version:020}.json"


def record_path(version: int) -> str:
    """The record of a version, relative to the table."""
    return f"{RECORDS}/{version:020}.json"


def version_of(path: str) -> int | None:
    """The version that a file in `LOG` or `RECORDS` belongs to; None if its name has none."""
    found = _VERSION.match(path.rpartition("/")[2])
    return int(found[1]) if found else None


def recorded_versions(store: Store) -> dict[int, str]:
    """The records of a table: their paths by version."""
    return {
        version: path
        for path in store.listed(RECORDS)
        if (version := version_of(path)) is not None and path == record_path(version)
    }


def actions(entry: str) -> list[dict[str, Any]]:
    """The actions of a log entry.

    Raises:
        ValueError: the entry is empty, or one of its lines is not an action of Delta's protocol.
    """
    found = []
    for number, line in enumerate(entry.splitlines(), start=1):
        if line.strip():
            action = json.loads(line)
            if not isinstance(action, dict) or not all(isinstance(each, dict) for each in action.values()):
                raise ValueError(f"line {number} is not an action")
            found.append(action)
    if not found:
        raise ValueError("it is empty")
    return found


def added_files(entry: str) -> dict[str, int]:
    """The data files within the table's folder that a log entry adds: their sizes by path."""
    adds = (action["add"] for action in actions(entry) if "add" in action)
    paths = {unquote(str(add["path"])): int(add["size"]) for add in adds}
    return {path: size for path, size in paths.items() if "://" not in path and not path.startswith("/")}


def write_records(store: Store, since: int | None = None) -> None:
    """Record every version after the last one that has a record; if none has, those from `since` on, or the last.

    Files of the recorded versions are on the disk when this returns.

    Raises:
        WatershedError: the disk is full.
    """
    log = store.listed(LOG)
    versions = sorted(v for path in log if (v := version_of(path)) is not None and path == entry_path(v))
    if not versions:
        return
    known = recorded_versions(store)
    first = max(known) + 1 if known else versions[-1] if since is None else since
    for version in versions:
        if version >= first:
            write_record(store, version, log)


def write_record(store: Store, version: int, log: Iterable[str]) -> None:
    """Record one version, whose files are among the paths `log`. A record that is there is replaced.

    Raises:
        WatershedError: the disk is full.
    """
    entry = store.read(entry_path(version)).decode()
    belonging = [path for path in log if version_of(path) == version]
    belonging += [path for path in (LAST_CHECKPOINT, _sidecar(LAST_CHECKPOINT)) if path in set(log)]
    if not _points_at(store, version):
        belonging = [path for path in belonging if "_last_checkpoint" not in path]
    added = added_files(entry)
    read_back = store.local or sum(added.values()) <= READ_BACK
    sidecars = list(map(_sidecar, added)) if store.local else []
    record = Record(
        version=version,
        log=measured(store, belonging),
        data=measured(store, [*added, *sidecars]) if read_back else {p: Recorded(n, None) for p, n in added.items()},
        entry=entry,
    )
    for folder in sorted({path.rpartition("/")[0] for path in record.files}):
        store.flush(folder)
    store.write(record_path(version), _encoded(record))


def rewrite_record(store: Store, before: Record) -> None:
    """Record a version whose log entry was rewritten: its data files keep the digests that they were written with.

    Raises:
        WatershedError: the disk is full.
    """
    belonging = [path for path in store.listed(LOG) if version_of(path) == before.version]
    record = Record(
        version=before.version,
        log=measured(store, belonging),
        data={path: recorded for path, recorded in before.data.items() if store.size(path) is not None},
        entry=store.read(entry_path(before.version)).decode(),
    )
    store.write(record_path(before.version), _encoded(record))


def measured(store: Store, paths: Sequence[str]) -> dict[str, Recorded]:
    """The sizes and digests of those files that exist. They are on the disk when this returns."""

    def measure(path: str) -> Recorded | None:
        size = store.size(path)
        try:
            recorded = None if size is None else Recorded(size, store.digest(path))
            store.flush(path)
        except FileNotFoundError:
            return None
        return recorded

    with ThreadPoolExecutor(THREADS) as pool:
        found = dict(zip(paths, pool.map(measure, paths), strict=True))
    return {path: recorded for path, recorded in found.items() if recorded is not None}


def read_record(store: Store, version: int) -> Record:
    """The record of a version.

    Raises:
        ValueError: it is damaged.
        FileNotFoundError: there is none.
    """
    found = unsealed(store.read(record_path(version)))
    if found.get("version") != version:
        raise ValueError(f"it is the record of version {found.get('version')}")
    log, data = ({p: Recorded(*each) for p, each in found[part].items()} for part in ("log", "data"))
    return Record(version=version, log=log, data=data, entry=found["entry"])


def sound_records(store: Store) -> dict[int, Record]:
    """The records of a table that can be read, by version."""
    found = {}
    for version in recorded_versions(store):
        try:
            found[version] = read_record(store, version)
        except ValueError:
            continue
    return found


def write_files(store: Store, version: int, written: Mapping[str, Mapping[str, Recorded]]) -> None:
    """Record the files outside the table that were written with `version`, by partition key and path."""
    path = record_path(version).replace(".json", ".files.json")
    before = read_files(store, version)
    store.write(path, sealed({**before, **written}))


def read_files(store: Store, version: int) -> dict[str, dict[str, Recorded]]:
    """The files that `write_files` recorded with `version`; empty if there are none.

    Raises:
        ValueError: the record is damaged.
    """
    path = record_path(version).replace(".json", ".files.json")
    if store.size(path) is None:
        return {}
    found = unsealed(store.read(path))
    return {key: {name: Recorded(*each) for name, each in files.items()} for key, files in found.items()}


def write_partitions(store: Store, keys: Sequence[str]) -> None:
    """Record the partitions that the table is to have, by key."""
    if list(keys) != list(read_partitions(store)):
        store.write(PARTITIONS, sealed({"partitions": list(keys)}))


def read_partitions(store: Store) -> tuple[str, ...]:
    """The partitions that the table is to have, by key; empty if that was not recorded or the record is damaged."""
    if store.size(PARTITIONS) is None:
        return ()
    try:
        return tuple(unsealed(store.read(PARTITIONS))["partitions"])
    except (ValueError, KeyError):
        return ()


class Broken(NamedTuple):
    """What the last check of a table found: the version that it read, and partitions whose rows break the contract."""

    version: int
    partitions: Mapping[str, str]
    """What the rows of each partition break, in a few words, by partition key."""


def write_broken(store: Store, broken: Broken) -> None:
    """Record the outcome of a check. Of a table that was never broken, nothing is recorded."""
    before = read_broken(store)
    if broken != before and (broken.partitions or before.partitions):
        store.write(BROKEN, sealed({"version": broken.version, "partitions": dict(broken.partitions)}))


def read_broken(store: Store) -> Broken:
    """What `write_broken` recorded; without partitions if nothing was recorded or the record is damaged."""
    if store.size(BROKEN) is None:
        return Broken(-1, {})
    try:
        found = unsealed(store.read(BROKEN))
        return Broken(int(found["version"]), {str(key): str(what) for key, what in found["partitions"].items()})
    except (ValueError, KeyError, TypeError, AttributeError):
        return Broken(-1, {})


def measured_files(root: Path, paths: Iterable[Path]) -> dict[str, Recorded]:
    """The sizes and digests of files and of all files in folders, by path relative to `root`. Hidden ones are left out:
    locks and partial files."""
    files: list[Path] = []
    for path in paths:
        inner = sorted(path.rglob("*")) if path.is_dir() else [path]
        files += [
            each
            for each in inner
            if each.is_file() and not any(part.startswith(".") for part in each.relative_to(path.parent).parts)
        ]
    store = Store(str(root))
    return measured(store, [each.relative_to(root).as_posix() for each in dict.fromkeys(files)])


def _sidecar(path: str) -> str:
    """The file in which Hadoop's local file system keeps the checksums of `path`."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}.{name}.crc"


def _points_at(store: Store, version: int) -> bool:
    """Whether `LAST_CHECKPOINT` names the checkpoint of `version`."""
    try:
        return json.loads(store.read(LAST_CHECKPOINT)).get("version") == version
    except (OSError, ValueError, AttributeError):
        return False


def _encoded(record: Record) -> bytes:
    return sealed(
        {"version": record.version, "log": dict(record.log), "data": dict(record.data), "entry": record.entry}
    )


def sealed(value: Any) -> bytes:
    """`value` as JSON in one line, and the SHA-256 of that line in a second one."""
    line = json.dumps(value, sort_keys=True).encode()
    return line + b"\n" + hashlib.sha256(line).hexdigest().encode() + b"\n"


def unsealed(data: bytes) -> Any:
    """What `sealed` wrote.

    Raises:
        ValueError: it differs from its own checksum.
    """
    line, _, digest = data.partition(b"\n")
    if hashlib.sha256(line).hexdigest().encode() + b"\n" != digest:
        raise ValueError("it differs from its own checksum")
    return json.loads(line)

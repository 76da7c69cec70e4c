"""Every file of a table against what was recorded: whether it exists, its size, and its digest.

Files that were written without a record, by an earlier release or another program, are compared with the sizes in the
Delta log. If Spark wrote them, the checksums in their Parquet pages are verified as well; otherwise they are counted as
files without checksums.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.storage.expected import Fault, RowsOfFiles, StoredFile, data_files, live_files, other_files
from catalog.storage.log import all_log_faults, difference, log_faults
from catalog.storage.records import LOG

SAMPLED_BYTES = 64_000_000
"""Bytes of a table's files whose digests `sampled` computes; one file at least, if there is one of less than a GB."""
SAMPLED_FILE = 1_000_000_000
SAMPLED_FILES = 32

PAGE_CHECKSUMS = "parquet-mr"
"""What the `created_by` of a Parquet file begins with if its pages have checksums: Spark's writer adds them."""


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What was found in the storage of one table."""

    table: str
    faults: tuple[Fault, ...] = ()
    files: int = 0
    bytes: int = 0
    digested: int = 0
    """Files whose digests or page checksums were verified."""
    bytes_read: int = 0
    without: int = 0
    """Files of the latest version for which no checksum is known."""
    version: int | None = None
    rows: int = 0
    seconds: float = 0.0


@dataclass
class _Tally:
    faults: list[Fault] = field(default_factory=list)
    digested: int = 0
    bytes_read: int = 0
    without: int = 0


Advance = Callable[[int], None]
"""Called with the bytes of a file when that has been verified."""


def verify(
    lake: Lake, contract: Contract, *, read: bool = True, sampled: bool = False, advance: Advance = lambda size: None
) -> Verified:
    """Compare the files of a table, and those that were written with it, with what was recorded.

    Args:
        read: whether digests are computed; otherwise only existence and sizes are compared.
        sampled: compute the digests of some files only, chosen at random, about SAMPLED_BYTES of them.
        advance: called with the bytes of each file that is done.

    Raises:
        WatershedError: the object store does not answer.
    """
    began, store, name = time.perf_counter(), lake.store(contract.name), contract.name
    if not lake.exists(name):
        return Verified(table=name)
    thorough = read and not sampled
    faults = [
        Fault(table=name, path=store.name(fault.path), problem=fault.problem, kind="log", behind=_commit(fault.version))
        for fault in (all_log_faults(store) if thorough else log_faults(store))
    ]
    try:
        table, written = lake.table(name), lake.written(name)
    except WatershedError as error:
        unread = Fault(table=name, path=store.name(LOG), problem=f"cannot be read: {error.cause}", kind="log")
        return Verified(table=name, faults=tuple(faults) or (unread,), seconds=time.perf_counter() - began)
    added = live_files(table, contract)
    files = [*data_files(store, contract, added, history=thorough), *other_files(lake, contract, faults, written)]
    row_behind = RowsOfFiles(lake, contract).behind
    chosen = _sample(files) if sampled else files if read else []
    tally = _Tally(faults)
    for file, (problem, digested) in zip(files, _inspected(files, set(map(id, chosen)), advance), strict=True):
        if problem:
            tally.faults.append(
                Fault(
                    table=name,
                    path=file.store.name(file.path),
                    problem=problem,
                    behind=row_behind(file),
                    kind=file.kind,
                    partition=file.partition,
                )
            )
        tally.digested += digested
        tally.bytes_read += file.recorded.size if digested else 0
        tally.without += file.required and file.recorded.sha256 is None
    needed = [file for file in files if file.required]
    return Verified(
        table=name,
        faults=tuple(tally.faults),
        files=len(needed),
        bytes=sum(file.recorded.size for file in needed),
        digested=tally.digested,
        bytes_read=tally.bytes_read,
        without=tally.without,
        version=table.version(),
        rows=sum(row["num_records"] or 0 for row in added),
        seconds=time.perf_counter() - began,
    )


def stored_bytes(lake: Lake, contract: Contract) -> int:
    """The bytes that `verify` will read of a table; 0 if it is not made or cannot be read."""
    try:
        written = lake.written(contract.name)
        added = live_files(lake.table(contract.name), contract) if written else []
    except WatershedError:
        return 0
    store = lake.store(contract.name)
    files = [
        *data_files(store, contract, added, history=True),
        *other_files(lake, contract, [], written),
    ]
    return sum(file.recorded.size for file in files)


def lost_partitions(lake: Lake, contract: Contract, *, beside: bool = True) -> set[str]:
    """The keys of the partitions that have lost a file, or have one of another size than was written.

    A table that is not made has lost none.

    Args:
        beside: whether files outside the table that were written with it count as well.

    Raises:
        WatershedError: the log of the table is damaged.
    """
    written = lake.written(contract.name)
    if not written:
        return set()
    store = lake.store(contract.name)
    files = [
        *data_files(store, contract, live_files(lake.table(contract.name), contract), history=False, written=written),
        *(other_files(lake, contract, [], written) if beside else ()),
    ]
    lost: set[str] = set()
    for file, (problem, _) in zip(files, _inspected(files, set(), lambda size: None), strict=True):
        if problem:
            lost |= {file.partition} if file.partition is not None else set(written)
    return lost


def _sample(files: Sequence[StoredFile]) -> list[StoredFile]:
    """Files with a digest or page checksums, in random order, up to SAMPLED_BYTES."""
    rest, chosen = SAMPLED_BYTES, []
    for file in random.sample(list(files), len(files)):
        size = file.recorded.size
        if len(chosen) == SAMPLED_FILES:
            break
        if size <= rest or (not chosen and size < SAMPLED_FILE):
            chosen.append(file)
            rest -= size
    return chosen


def _inspected(files: Sequence[StoredFile], digested: set[int], advance: Advance) -> Iterator[tuple[str | None, bool]]:
    """For each file, its problem in words or None, and whether its checksums were verified."""
    sizes = _sizes(files)

    def inspect(file: StoredFile) -> tuple[str | None, bool]:
        size = sizes.get((file.store.root, file.path))
        if size is None and not file.required:
            return None, False
        problem = difference(file.store, file.path, size, file.recorded, read=False)
        if problem or id(file) not in digested:
            return problem, False
        if file.recorded.sha256 is not None:
            return difference(file.store, file.path, size, file.recorded, read=True), True
        return _page_problem(file)

    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        for file, found in zip(files, pool.map(inspect, files), strict=True):
            advance(file.recorded.size)
            yield found


def _sizes(files: Iterable[StoredFile]) -> dict[tuple[str, str], int | None]:
    """The sizes of files. Those in an object store are listed; those in a folder are looked up one by one."""
    files = list(files)
    found: dict[tuple[str, str], int | None] = {}
    for store in {file.store.root: file.store for file in files if not file.store.local}.values():
        found |= {(store.root, path): stat.size for path, stat in store.listed("", recursive=True).items()}
    return found | {(f.store.root, f.path): f.store.size(f.path) for f in files if f.store.local}


def _page_problem(file: StoredFile) -> tuple[str | None, bool]:
    """`_inspected` of a data file without a digest, by the checksums of its pages."""
    if not file.path.endswith(".parquet"):
        return None, False
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with file.store.open(file.path) as source, pq.ParquetFile(source, page_checksum_verification=True) as parquet:
            if not (parquet.metadata.created_by or "").startswith(PAGE_CHECKSUMS):
                return None, False
            for group in range(parquet.num_row_groups):
                parquet.read_row_group(group)
    except (OSError, pa.ArrowException) as error:
        return f"cannot be read: {(str(error).splitlines() or [''])[0]}", True
    return None, True


def _commit(version: int | None) -> str:
    return "" if version is None else f"version {version}"

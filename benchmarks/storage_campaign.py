"""Random faults in a lake's files, and whether `watershed check --storage` names each of them.

    uv run python -m benchmarks.storage_campaign LAKE [--faults 500] [--seed 13] [--plain 200] [--megabytes 1000]

LAKE is the folder of a lake, such as `lake` after `watershed demo --size smoke`. It is copied, and each fault is made
in the copy alone, then undone: a bit of a file is flipped, a file is cut short, emptied or deleted. After each fault,
all files are verified, and the tables are queried as `watershed sql` and `watershed tables` do. A fault counts as named
if it is reported with the path of its file, and as a traceback if anything but a WatershedError is raised. Tables
whose log has no checkpoint of Delta get one first, with its record, as every hundredth commit does. The time of
`check --storage` is measured on the copy, and on it with files of a gigabyte beside one of its tables.

A query after a fault in the log must be answered as before or refused. One after a fault in a data file may be wrong:
that is what the checksums are for.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from catalog.errors import WatershedError
from catalog.inventory import table_state
from catalog.lake import Lake
from catalog.settings import Settings, load_settings
from catalog.sql.query import connect, explained, query
from catalog.storage.records import LOG, measured_files, read_files, write_record
from catalog.tables import CONTRACTS
from quality.gate import check_storage

SEED = 13
KINDS = ("log", "checkpoint", "data", "file")
"""Log entries, checkpoints of the log, Parquet files, and files outside the tables such as shards and weights."""


@dataclass(frozen=True)
class Target:
    """A file in which faults are made."""

    path: Path
    kind: str
    table: str


@dataclass
class Outcomes:
    """What became of the faults."""

    made: Counter[str] = field(default_factory=Counter)
    """Faults by kind of file and kind of fault: "log, bit flipped"."""
    unnamed: list[str] = field(default_factory=list)
    """Faults that `check --storage` did not report with the path of their file."""
    wrong: list[str] = field(default_factory=list)
    """Faults in a log after which a query gave another answer than before."""
    tracebacks: list[str] = field(default_factory=list)
    """Errors that were no WatershedError."""


def flip(data: bytes, chance: random.Random) -> bytes:
    """One bit is flipped."""
    place = chance.randrange(len(data) * 8)
    changed = bytearray(data)
    changed[place // 8] ^= 1 << (place % 8)
    return bytes(changed)


FAULTS: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "bit flipped": flip,
    "cut short": lambda data, chance: data[: chance.randrange(len(data))],
    "emptied": lambda data, chance: b"",
    "deleted": lambda data, chance: None,
}
"""What is done to the contents of a file; None deletes it."""
WEIGHTS = (5, 2, 1, 2)


def add_checkpoints(settings: Settings) -> None:
    """Give every table a checkpoint of Delta, recorded with its last version."""
    lake = Lake.of(settings)
    for name in CONTRACTS:
        if lake.exists(name) and not list(Path(lake.path(name), LOG).glob("*.checkpoint.parquet")):
            table, store = lake.table(name), lake.store(name)
            table.create_checkpoint()
            write_record(store, table.version(), store.listed(LOG))


def add_files(settings: Settings, megabytes: int) -> None:
    """Put random files of so many megabytes in all beside the first table that is made, and record them."""
    lake = Lake.of(settings)
    name = next(name for name in CONTRACTS if lake.written(name))
    folder = lake.folder(name, "campaign")
    folder.mkdir(parents=True)
    for number in range(10):
        (folder / f"{number}.bin").write_bytes(random.Random(number).randbytes(megabytes * 100_000))
    lake.record_files(name, next(iter(lake.written(name))), measured_files(lake.files, [folder]))


def targets(settings: Settings) -> list[Target]:
    """The files of the latest versions of all tables, of their logs, and those that were written with them."""
    lake = Lake.of(settings)
    found: list[Target] = []
    for name in CONTRACTS:
        if not lake.exists(name):
            continue
        folder = Path(lake.path(name))
        for path in sorted((folder / "_delta_log").glob("[0-9]*")):
            found.append(Target(path, "checkpoint" if ".checkpoint" in path.name else "log", name))
        found += [Target(folder / path, "data", name) for path in _data_paths(lake, name)]
        for key, commit in lake.written(name).items():
            recorded = read_files(lake.store(name), commit.version).get(key, {})
            found += [Target(lake.files / path, "file", name) for path in recorded]
    return [target for target in dict.fromkeys(found) if target.path.stat().st_size]


def _data_paths(lake: Lake, name: str) -> list[str]:
    added = lake.table(name).get_add_actions(flatten=True)
    return sorted(map(unquote, added.column("path").to_pylist())) if added.num_rows else []


def campaign(settings: Settings, faults: int, seed: int = SEED) -> Outcomes:
    """Make `faults` faults, one after another, and undo each. The lake is as before when this returns."""
    chance, outcomes = random.Random(seed), Outcomes()
    by_kind: dict[str, list[Target]] = {kind: [] for kind in KINDS}
    for target in targets(settings):
        by_kind[target.kind].append(target)
    kinds = [kind for kind in KINDS if by_kind[kind]]
    before = {name: _count(settings, name) for name in CONTRACTS if Lake.of(settings).exists(name)}
    for number in range(faults):
        target = chance.choice(by_kind[kinds[number % len(kinds)]])
        (fault,) = chance.choices(list(FAULTS), WEIGHTS)
        outcomes.made[f"{target.kind}, {fault}"] += 1
        label = f"{number}: {target.path} {fault}"
        with _faulty(target.path, FAULTS[fault], chance):
            try:
                named = {each.path for verified in check_storage(settings, [target.table]) for each in verified.faults}
                if str(target.path) not in named:
                    outcomes.unnamed.append(label)
                if target.kind != "data" and _answer(settings, target.table) not in (before[target.table], None):
                    outcomes.wrong.append(label)
            except WatershedError:
                outcomes.unnamed.append(label)
            except Exception as error:
                outcomes.tracebacks.append(f"{label}: {type(error).__name__}: {error}")
    return outcomes


@contextmanager
def _faulty(
    path: Path, fault: Callable[[bytes, random.Random], bytes | None], chance: random.Random
) -> Generator[None]:
    """Make a fault in a file, and undo it when the block ends."""
    whole = path.read_bytes()
    changed = fault(whole, chance)
    if changed is None:
        path.unlink()
    else:
        path.write_bytes(changed)
    try:
        yield
    finally:
        path.write_bytes(whole)


def _answer(settings: Settings, name: str) -> int | None:
    """The rows of a table by all ways to read it; None if the table is refused."""
    try:
        state = table_state(Lake.of(settings), CONTRACTS[name])
        return state.rows if _count(settings, name) == state.rows else -1
    except WatershedError:
        return None


def _count(settings: Settings, name: str) -> int | None:
    sql = f"SELECT count(*) FROM {name}"
    with connect(settings) as connection, explained(connection, sql):
        found = query(connection, sql)
        assert found is not None
        return int(found.fetchall()[0][0])


def silent_answers(settings: Settings, flips: int, seed: int = SEED) -> tuple[int, int, int]:
    """Flip bits of data files, and count how DuckDB answers with all columns of the table: as before, otherwise, or
    with an error. This is what happens without `check --storage`."""
    chance, data = random.Random(seed), [target for target in targets(settings) if target.kind == "data"]
    same = other = refused = 0
    for _ in range(flips):
        target = chance.choice(data)
        sql = f"SELECT bit_xor(hash(columns(*))) FROM {target.table}"
        with connect(settings) as connection:
            before = connection.execute(sql).fetchall()
        with _faulty(target.path, flip, chance):
            try:
                with connect(settings) as connection, explained(connection, sql):
                    answer = connection.execute(sql).fetchall()
            except WatershedError:
                refused += 1
                continue
            same, other = same + (answer == before), other + (answer != before)
    return same, other, refused


def copy_of(lake: Path, folder: Path) -> Settings:
    """A project in `folder` with a copy of the lake."""
    shutil.copytree(lake, folder / "lake")
    (folder / "watershed.toml").touch()
    return load_settings(folder)


def measure(settings: Settings) -> None:
    """Print how long `check --storage` takes."""
    began = time.perf_counter()
    verified = check_storage(settings)
    seconds, read = time.perf_counter() - began, sum(each.bytes_read for each in verified)
    files, without = sum(each.digested for each in verified), sum(each.without for each in verified)
    faults = sum(len(each.faults) for each in verified)
    print(
        f"{files:,} files, {read / 1e6:,.1f} MB verified in {seconds:.2f} s, {seconds / (read / 1e9):.1f} s a GB; ",
        end="",
    )
    print(f"{without:,} files without checksums, {faults} faults before any are made", flush=True)


def main() -> None:
    """Run the campaign, and print its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake", type=Path)
    parser.add_argument("--faults", type=int, default=500)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--plain", type=int, default=200, help="bit flips in data files that are only queried")
    parser.add_argument("--megabytes", type=int, default=1000, help="files that are added to measure the time")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="watershed-campaign-") as folder:
        settings = copy_of(given.lake, Path(folder) / "faults")
        add_checkpoints(settings)
        measure(settings)
        outcomes = campaign(settings, given.faults, given.seed)
        for made, count in sorted(outcomes.made.items()):
            print(f"  {made:<26} {count:>4}")
        print(f"  {'all':<26} {outcomes.made.total():>4}")
        for title, found in (
            ("not named by check --storage", outcomes.unnamed),
            ("answered otherwise after a fault outside the data files", outcomes.wrong),
            ("tracebacks", outcomes.tracebacks),
        ):
            print(f"{title}: {len(found)}")
            for line in found:
                print(f"  {line}")
        if given.plain:
            same, other, refused = silent_answers(settings, given.plain, given.seed)
            print(f"{given.plain} bits flipped in data files, queried unverified: {other} other answers, ", end="")
            print(f"{refused} errors, {same} the same answer")
        if given.megabytes:
            add_files(settings, given.megabytes)
            measure(settings)


if __name__ == "__main__":
    main()

"""Random sequences of insert, forget, compact, vacuum, run again and time travel, against a model in memory.

    uv run python -m benchmarks.removal_campaign [--sequences 1000] [--steps 10] [--seed 13] [--workers 2]

Its lakes lie in TMPDIR. On a file system in memory, such as /dev/shm, it takes a seventh of the time.

Each sequence has a lake of its own with dclm.documents and dclm.verdicts. The model knows which documents each version
of each table holds, and which were ordered to be forgotten, by identifier or by the beginning of their address. After
every step, the latest versions must hold what the model says; no file of the lake may hold a removed document, neither
a row of a Parquet file nor an address in a log; a version that held one must be refused, and every other version must
be read as it was, unless Delta's own VACUUM took its files. Removals are killed at random places, by an error in the
middle of writing or deleting a file, and resumed. A line every half minute says how many sequences are done and have
gone wrong, and how much time is left.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.lineage.removal.orders import new_order, write_order
from catalog.lineage.removal.run import carry_out, unfinished
from catalog.settings import load_settings
from catalog.storage.store import Store
from catalog.tables import CONTRACTS

SEED = 13
TABLES = ("dclm.documents", "dclm.verdicts")
HOSTS = ("https://lake.example/people/", "https://lake.example/", "https://river.example/")
STEPS = ("insert", "run again", "judge again", "forget", "forget prefix", "compact", "vacuum", "checkpoint", "killed")
COLUMNS = {
    "dclm.documents": {"warc": "a.warc.gz", "state": "ok", "record_offset": 0, "payload_bytes": 1, "text_bytes": 1},
    "dclm.verdicts": {"recipe": "dclm-baseline", "kept": True, "broken": []},
}


class Killed(Exception):
    """Stands for a process that is killed."""


@dataclass
class Model:
    """What the lake should hold."""

    source: dict[str, str] = field(default_factory=dict)
    """Every document that was ever made, and its address: what a run makes again."""
    gone: set[str] = field(default_factory=set)
    prefixes: set[str] = field(default_factory=set)
    held: dict[str, dict[int, set[str]]] = field(default_factory=lambda: {name: {} for name in TABLES})
    """The documents of each version."""
    vacuumed: dict[str, int] = field(default_factory=dict)
    """The version at which Delta's VACUUM ran last."""

    def allowed(self, doc_id: str) -> bool:
        """Whether the lake may hold the document."""
        return doc_id not in self.gone and not any(map(self.source[doc_id].startswith, self.prefixes))

    def removed(self) -> set[str]:
        """Documents that the lake may not hold."""
        return {doc_id for doc_id in self.source if not self.allowed(doc_id)}


@dataclass
class Found:
    """What a campaign did, and what was wrong."""

    steps: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    read: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        """Add what another campaign did."""
        self.steps += other.steps
        self.refused += other.refused
        self.read += other.read
        self.wrong += other.wrong


def campaign(
    sequences: int, steps: int, seed: int = SEED, workers: int = 1, say: Callable[[str], object] = str
) -> Found:
    """Run the sequences in so many processes, and return what was wrong in any; `say` receives lines of progress."""
    one = partial(_sequence, steps=steps, seed=seed)
    if workers == 1:
        return _added(map(one, range(sequences)), sequences, say)
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        return _added(pool.map(one, range(sequences)), sequences, say)


def _added(made: Iterable[Found], sequences: int, say: Callable[[str], object]) -> Found:
    found, began = Found(), time.monotonic()
    shown = began
    for done, each in enumerate(made, start=1):
        found.add(each)
        if (now := time.monotonic()) - shown > 30:
            shown, left_s = now, (now - began) * (sequences - done) / done
            say(f"{done:,} sequences, {len(found.wrong):,} wrong, {left_s / 60:.0f} minutes left")
    return found


def _sequence(number: int, steps: int, seed: int) -> Found:
    found = Found()
    with tempfile.TemporaryDirectory(prefix="watershed-removal-") as folder:
        _run(Path(folder), random.Random(f"{seed} {number}"), steps, found, number)
    return found


def _run(folder: Path, rng: random.Random, steps: int, found: Found, number: int) -> None:
    (folder / "watershed.toml").touch()
    lake, model = Lake.of(load_settings(folder)), Model()
    done: list[str] = []
    for step in ("insert", "judge again", *(rng.choice(STEPS) for _ in range(steps))):
        done.append(step)
        found.steps[step] += 1
        _STEPS[step](lake, model, rng)
        problems = [*_check_now(lake, model), *_check_files(lake, model), *_check_past(lake, model, rng, found)]
        found.wrong += [f"sequence {number}, {' > '.join(done)}: {problem}" for problem in problems]
        if problems:
            return


def _insert(lake: Lake, model: Model, rng: random.Random) -> None:
    fresh = {
        f"{rng.getrandbits(128):032x}": rng.choice(HOSTS) + f"{rng.getrandbits(40):x}" for _ in range(rng.randint(1, 6))
    }
    model.source |= fresh
    version = lake.append(CONTRACTS[TABLES[0]], _rows(TABLES[0], fresh), f"{rng.getrandbits(64):016x}")
    before = model.held[TABLES[0]].get(max(model.held[TABLES[0]], default=-1), set())
    model.held[TABLES[0]][version] = before | set(filter(model.allowed, fresh))


def _run_again(lake: Lake, model: Model, rng: random.Random) -> None:
    # As a run that reads the archives again: removed documents are among its rows.
    version = lake.replace(CONTRACTS[TABLES[0]], _rows(TABLES[0], model.source), f"{rng.getrandbits(64):016x}")
    model.held[TABLES[0]][version] = set(filter(model.allowed, model.source))


def _judge_again(lake: Lake, model: Model, rng: random.Random) -> None:
    latest = model.held[TABLES[0]][max(model.held[TABLES[0]])]
    rows = {doc_id: model.source[doc_id] for doc_id in sorted(latest | model.gone)}
    version = lake.replace(CONTRACTS[TABLES[1]], _rows(TABLES[1], rows), f"{rng.getrandbits(64):016x}")
    model.held[TABLES[1]][version] = set(latest)


def _forget(lake: Lake, model: Model, rng: random.Random, *, prefix: bool = False, killed: bool = False) -> None:
    prefixes = [rng.choice(HOSTS) + (rng.choice("0123456789abcdef") if rng.random() < 0.7 else "")] if prefix else []
    names = [] if prefix else rng.sample(sorted(model.source), min(len(model.source), rng.randint(1, 3)))
    model.prefixes |= set(prefixes)
    # As a plan does, which reads every file for the documents that an address names.
    by_address = [doc_id for doc_id, url in model.source.items() if any(map(url.startswith, prefixes))]
    model.gone |= {*names, *by_address}
    keys = {"dclm.documents.doc_id": [*names, *by_address]}
    order = new_order(len(lake.removals().orders), "", keys, {"dclm.documents.url": prefixes} if prefixes else {})
    write_order(Store(lake.root), order)
    if killed:
        with _killing(rng.randint(1, 12)), suppress(Killed):
            carry_out(lake, order, [])
    for each in unfinished(lake):
        _, left = carry_out(lake, each, [])
        assert not left, left
    _note_versions(lake, model)


@contextmanager
def _killing(after: int) -> Generator[None]:
    """Let a process be killed at its `after`-th change of a file."""
    left = [after]

    def counted(name: str) -> Any:
        original = getattr(Store, name)

        def change(self: Store, *arguments: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return original(self, *arguments)

        return change

    with patch.object(Store, "write", counted("write")), patch.object(Store, "remove", counted("remove")):
        yield


def _compact(lake: Lake, model: Model, rng: random.Random) -> None:
    for table in _made(lake):
        lake.table(table).optimize.compact()
        lake.record(table)
    _note_versions(lake, model)


def _vacuum(lake: Lake, model: Model, rng: random.Random) -> None:
    for table in _made(lake):
        opened = lake.table(table)
        opened.vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
        lake.record(table)
        model.vacuumed[table] = lake.version(table) or 0
    _note_versions(lake, model)


def _checkpoint(lake: Lake, model: Model, rng: random.Random) -> None:
    for table in _made(lake):
        lake.table(table).create_checkpoint()


_STEPS = {
    "insert": _insert,
    "run again": _run_again,
    "judge again": _judge_again,
    "forget": _forget,
    "forget prefix": lambda lake, model, rng: _forget(lake, model, rng, prefix=True),
    "killed": lambda lake, model, rng: _forget(lake, model, rng, prefix=rng.random() < 0.3, killed=True),
    "compact": _compact,
    "vacuum": _vacuum,
    "checkpoint": _checkpoint,
}


def _note_versions(lake: Lake, model: Model) -> None:
    """Versions that change no document but those that were removed."""
    gone = model.removed()
    for table in _made(lake):
        held = model.held[table]
        last = max(held)
        for version in range(last + 1, (lake.version(table) or 0) + 1):
            held[version] = held[last] - gone


def _rows(table: str, documents: dict[str, str]) -> pa.Table:
    contract = CONTRACTS[table]
    rows = [
        {column.name: None for column in contract.columns}
        | {"doc_id": doc_id, "global_shard": int(doc_id[0], 16) % 2, "local_shard": 0}
        | COLUMNS[table]
        | ({"url": url, "text": f"The text at {url}."} if table == TABLES[0] else {})
        for doc_id, url in documents.items()
    ]
    return pa.Table.from_pylist(rows, schema=contract.schema)


def _made(lake: Lake) -> list[str]:
    return [table for table in TABLES if lake.exists(table)]


def _ids(table: Any) -> set[str]:
    rows = table.to_pyarrow_table(columns=["doc_id"])["doc_id"].to_pylist()
    assert len(rows) == len(set(rows))
    return set(rows)


def _check_now(lake: Lake, model: Model) -> list[str]:
    found = []
    for table in _made(lake):
        expected, there = model.held[table][max(model.held[table])], _ids(lake.table(table))
        if there != expected:
            found.append(f"{table} has {len(there - expected)} too many and lacks {len(expected - there)}")
    return found


def _check_files(lake: Lake, model: Model) -> list[str]:
    gone = model.removed()
    addresses = {model.source[doc_id].encode() for doc_id in gone}
    found = []
    for path in Path(lake.root).rglob("*"):
        if path.suffix == ".parquet" and "_delta_log" not in path.parts:
            held = set(pq.read_table(path, columns=["doc_id"], partitioning=None)["doc_id"].to_pylist()) & gone
            found += [f"{path} holds {len(held)} removed documents"] if held else []
        elif path.is_file():
            data = path.read_bytes()
            found += [f"{path} quotes a removed address" for address in addresses if address in data][:1]
    return found


def _check_past(lake: Lake, model: Model, rng: random.Random, found: Found) -> list[str]:
    problems = []
    for table in _made(lake):
        version = rng.choice(sorted(model.held[table]))
        held = model.held[table][version]
        try:
            there = _ids(lake.table(table, version))
        except WatershedError as error:
            found.refused += 1
            if not held & model.removed() and version >= model.vacuumed.get(table, 0):
                problems.append(f"version {version} of {table} was refused: {error.cause}")
        except Exception as error:
            if version >= model.vacuumed.get(table, 0):
                problems.append(f"version {version} of {table} cannot be read: {error}")
        else:
            found.read += 1
            if there != held or held & model.removed():
                problems.append(f"version {version} of {table} has {len(there & model.removed())} removed documents")
    return problems


def main() -> None:
    """Run the campaign of the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    options = parser.parse_args()
    say = partial(print, flush=True)
    found = campaign(options.sequences, options.steps, options.seed, options.workers, say)
    print(f"{options.sequences:,} sequences, {found.steps.total():,} steps: {dict(found.steps)}")
    print(f"time travel: {found.read:,} versions were read as they were, {found.refused:,} were refused")
    for problem in found.wrong:
        print(f"WRONG {problem}")
    print(f"{len(found.wrong):,} sequences went wrong")
    raise SystemExit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()

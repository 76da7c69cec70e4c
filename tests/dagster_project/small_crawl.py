"""A crawl of tiny archives, and tables that count as made of it: their fingerprints are those that an asset writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa

from catalog.contract import Contract
from catalog.lake import Part
from catalog.settings import Settings, load_settings
from catalog.tables.dclm import POOL
from dagster_project.assets import steps
from dagster_project.engine.steps import State
from dagster_project.families.dclm.archives import pool_rows
from tests.small_lake import good_rows

DATA = b"WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n"


def new_crawl(folder: Path) -> Settings:
    """A project with an empty crawl, and a shard for each archive that it will have."""
    (folder / "crawl").mkdir(parents=True)
    (folder / "watershed.toml").write_text("[crawl]\nfiles_per_shard = 1\n")
    return load_settings(folder)


def add(settings: Settings, *names: str) -> None:
    """Add archives to the crawl."""
    for name in names:
        (settings.project / "crawl" / name).write_bytes(DATA + name.encode())


def make(settings: Settings, tables: Sequence[str]) -> dict[str, list[str]]:
    """Write what is due of each of the tables, and return the keys of the partitions, "" for a whole table.

    dclm.pool gets its rows, other partitioned tables a row for each shard, and whole tables none.
    """
    made: dict[str, list[str]] = {}
    for name in tables:
        state = State(steps(), settings)
        step = state.steps.by_table[name]
        parts = []
        for partition in state.due(step):
            fingerprint = state.steps.made_from(step, settings, partition, state.recorded)
            assert fingerprint
            parts.append(Part(partition, fingerprint))
        for contract in step.contracts if parts else ():
            rows = [_rows(settings, contract, part) for part in parts]
            state.lake.replace_parts(contract, pa.concat_tables(rows), parts)
        made[name] = [step.cut.key(part.partition) if step.cut and part.partition else "" for part in parts]
    return made


def _rows(settings: Settings, contract: Contract, part: Part) -> pa.Table:
    if part.partition is None:
        return contract.schema.empty_table()
    archives = pool_rows(settings, part.partition)
    if contract is POOL:
        return archives
    document = 10 * part.partition["global_shard"] + part.partition["local_shard"]
    row = {**good_rows()[contract.name][0], **part.partition, "doc_id": f"{document:032x}"}
    if "warc" in contract.schema.names:
        row["warc"] = archives["warc"][0].as_py()
    return pa.Table.from_pylist([row], schema=contract.schema)

"""The web archives that the settings name, as rows of dclm.pool.

Files are read once in each process, and again only if a file has changed.
"""

from __future__ import annotations

import functools
import glob
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.lake import Lake, partition_key
from catalog.settings import Settings
from catalog.tables.dclm import POOL
from dagster_project.engine.partitions import Partition
from dagster_project.families.dclm.partitions import POOL_SHARDS

if TYPE_CHECKING:
    import pyarrow as pa


def pool_rows(settings: Settings, partition: Partition | None = None) -> pa.Table:
    """Return the rows of dclm.pool for the crawl as it is now, or those of the shard `partition`."""
    crawl, inputs = settings.crawl, settings.crawl_inputs
    rows = _registered(inputs, crawl.snapshot, crawl.files_per_shard, _stamps(inputs))
    if partition is None:
        return rows
    mask = [all(row[name] == value for name, value in partition.items()) for row in _shards(rows)]
    return rows.filter(mask)


def _shards(rows: pa.Table) -> list[dict[str, int]]:
    return rows.select(["global_shard", "local_shard"]).to_pylist()


def _stamps(inputs: tuple[str, ...]) -> tuple[tuple[str, int, int], ...]:
    """Return name, size and modification time of the local files of `inputs`; a changed file has another stamp."""
    files = [
        path
        for place in inputs
        if "://" not in place
        for found in glob.glob(place)
        for path in ([Path(found)] if Path(found).is_file() else Path(found).rglob("*"))
    ]
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(files) if path.is_file())


def new_archives(settings: Settings) -> tuple[list[str], list[str]]:
    """Return the names of all archives that `[crawl] inputs` names, and of those that dclm.pool does not hold.

    The archives are not read: folders and globs are listed, and lists of paths are fetched.

    Raises:
        WatershedError: An input does not exist or holds no archive.
    """
    from spark_jobs.dclm.pool import archive_names

    listed, lake = archive_names(settings.crawl_inputs), Lake.of(settings)
    known = set(lake.read(POOL.name, ["warc"])["warc"].to_pylist()) if lake.exists(POOL.name) else set()
    return listed, [name for name in listed if name not in known]


def shards_of(settings: Settings) -> list[str]:
    """Return the keys of the pool shards that hold archives, and of those that held some before and are now empty."""
    rows = _shards(pool_rows(settings))
    lake = Lake.of(settings)
    if lake.exists("dclm.pool"):
        rows += [
            {name: int(value) for name, _, value in (part.partition("=") for part in key.split("/"))}
            for key in lake.written("dclm.pool")
        ]
    present = {POOL_SHARDS.key(row) for row in rows}
    return [key for key in POOL_SHARDS.definition.get_partition_keys() if key in present]


def archive_bytes(lake: Lake) -> dict[str, int]:
    """Bytes of the registered archives by partition key: how much work a shard is for whatever is made of it."""
    if not lake.exists("dclm.pool"):
        return {}
    held: Counter[str] = Counter()
    for row in lake.read("dclm.pool", columns=[*POOL.partition_by, "bytes"]).to_pylist():
        held[partition_key({column: row[column] for column in POOL.partition_by})] += row["bytes"]
    return held


@functools.lru_cache(maxsize=8)
def _registered(
    inputs: tuple[str, ...], snapshot: str, files_per_shard: int, stamps: tuple[tuple[str, int, int], ...]
) -> pa.Table:
    from spark_jobs.dclm.pool import register

    return register(inputs, snapshot, files_per_shard)

"""The web archives that the settings name, as rows of dclm.pool.

An archive keeps the shard under which dclm.pool holds it, whatever archives are added. Files are read once, and again
only if a file has changed.
"""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.lake import WHOLE, Lake, partition_columns, partition_key
from catalog.reads import not_recorded
from catalog.settings import Settings
from catalog.tables.dclm import POOL, SHARDS
from dagster_project.engine.partitions import Partition
from dagster_project.families.dclm.partitions import POOL_SHARDS

if TYPE_CHECKING:
    import pyarrow as pa

KNOWN_FILES = "archives.json"
"""The file in the Dagster home that holds what was found in local archives."""

SHOWN = 3
"""Archives that a cause names."""


def pool_rows(settings: Settings, partition: Partition | None = None) -> pa.Table:
    """Return the rows of dclm.pool for the crawl as it is now, or those of the shard `partition`."""
    rows = _crawl(settings)
    if partition is None:
        return rows
    mask = [all(row[name] == value for name, value in partition.items()) for row in _shards(rows)]
    return rows.filter(mask)


def changed_archives(settings: Settings, partition: Partition | None = None) -> str:
    """Return in words how the archives of a shard differ from those that dclm.pool holds; empty if they do not."""
    now = {row["warc"]: row["digest"] for row in pool_rows(settings, partition).select(["warc", "digest"]).to_pylist()}
    lake = Lake.of(settings)
    before: dict[str, str] = {}
    if lake.exists(POOL.name):
        for row in lake.read(POOL.name, ["warc", "digest", *POOL.partition_by]).to_pylist():
            if all(row[name] == value for name, value in (partition or {}).items()):
                before[row["warc"]] = row["digest"]
    changes = {
        "added": [name for name in now if name not in before],
        "changed": [name for name in now if name in before and before[name] != now[name]],
        "removed": [name for name in before if name not in now],
    }
    return "; ".join(_named(names, what) for what, names in changes.items() if names)


def _named(names: list[str], what: str) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    verb = "was" if len(names) == 1 else "were"
    return f"{', '.join(names[:SHOWN])}{more} {verb} {what}"


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
    lake = Lake.of(settings)
    held = [
        {name: int(value) for name, value in partition_columns(key).items()}
        for key in lake.written(POOL.name)
        if key != WHOLE
    ]
    shards = {(row["global_shard"], row["local_shard"]) for row in (*_shards(pool_rows(settings)), *held)}
    return [POOL_SHARDS.key({"global_shard": g, "local_shard": local}) for g, local in sorted(shards)]


def archive_bytes(lake: Lake) -> dict[str, int]:
    """Bytes of the registered archives by partition key: how much work a shard is for whatever is made of it."""
    if not lake.exists("dclm.pool"):
        return {}
    held: Counter[str] = Counter()
    for row in lake.read("dclm.pool", columns=[*POOL.partition_by, "bytes"]).to_pylist():
        held[partition_key({column: row[column] for column in POOL.partition_by})] += row["bytes"]
    return held


def _crawl(settings: Settings) -> pa.Table:
    """The rows of all archives, each in its shard."""
    crawl, inputs = settings.crawl, settings.crawl_inputs
    place = (settings.lake_root, inputs, crawl.snapshot, crawl.files_per_shard, _stamps(inputs))
    placed = _placed(Lake.of(settings))
    # While a run registers new archives, shard by shard, the others keep the shards that it began with.
    if place in _LAST and all(_LAST[place][1].get(name, shard) == shard for name, shard in placed.items()):
        return _LAST[place][0]
    from spark_jobs.dclm.known_files import KnownFiles
    from spark_jobs.dclm.pool import register

    known = KnownFiles(settings.dagster_home / KNOWN_FILES)
    rows = register(inputs, crawl.snapshot, crawl.files_per_shard, placed, known)
    shards = {
        name: SHARDS * row["global_shard"] + row["local_shard"]
        for name, row in zip(rows["warc"].to_pylist(), _shards(rows), strict=True)
    }
    if len(_LAST) == LAST_CRAWLS:
        _LAST.pop(next(iter(_LAST)))
    _LAST[place] = rows, shards
    return rows


LAST_CRAWLS = 8
_LAST: dict[tuple, tuple[pa.Table, Mapping[str, int]]] = {}
"""The rows of the crawls that this process has listed last, and the shard of each archive."""


_PLACED: dict[tuple[str, int], Mapping[str, int]] = {}
"""The shard of each archive by the identity and version of dclm.pool, for the version that was read last."""


@not_recorded()
def _placed(lake: Lake) -> Mapping[str, int]:
    """The shard, 0 to 99, of every archive that dclm.pool holds."""
    if not lake.exists(POOL.name):
        return {}
    table = lake.table(POOL.name)
    version = table.metadata().id, table.version()
    if version not in _PLACED:
        rows = table.to_pyarrow_table(columns=["warc", *POOL.partition_by]).to_pylist()
        _PLACED.clear()
        _PLACED[version] = {row["warc"]: SHARDS * row["global_shard"] + row["local_shard"] for row in rows}
    return _PLACED[version]

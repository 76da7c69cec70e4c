"""Archives that are added to a crawl: only their own shards are read, whatever their names, and none moves."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest
from small_crawl import DATA, add, make, new_crawl

from catalog.lake import Lake, Part
from catalog.settings import Settings
from catalog.tables.dclm import DOCUMENTS, POOL
from dagster_project.families.dclm.archives import changed_archives, pool_rows, shards_of
from dagster_project.families.dclm.partitions import POOL_SHARDS

NAMES = [f"{number:03d}.warc" for number in range(20)]


TABLES = (POOL.name, DOCUMENTS.name)


@pytest.fixture
def crawl(tmp_path: Path) -> Settings:
    return new_crawl(tmp_path / "project")


def placed(settings: Settings) -> dict[str, int]:
    """Return the shard, 0 to 99, of each archive of dclm.pool."""
    rows = Lake.of(settings).read(POOL.name, ["warc", "global_shard", "local_shard"]).to_pylist()
    return {row["warc"]: 10 * row["global_shard"] + row["local_shard"] for row in rows}


def test_archives_added_in_any_order_of_names_read_only_their_own_shards(crawl: Settings) -> None:
    names = random.Random(7).sample(NAMES, len(NAMES))
    before: dict[str, int] = {}
    for begin in range(0, len(names), 5):
        new = names[begin : begin + 5]
        add(crawl, *new)
        made = make(crawl, TABLES)
        own = [f"{shard // 10}-{shard % 10}" for shard in range(begin, begin + 5)]
        assert made == {POOL.name: own, DOCUMENTS.name: own}
        now = placed(crawl)
        assert before.items() <= now.items(), "no archive has moved"
        assert {name: now[name] for name in sorted(new)} == dict(zip(sorted(new), range(begin, begin + 5), strict=True))
        before = now
    assert make(crawl, TABLES) == {POOL.name: [], DOCUMENTS.name: []}


def test_the_rows_are_those_of_a_crawl_that_was_registered_at_once(crawl: Settings, tmp_path: Path) -> None:
    for name in reversed(NAMES[:6]):
        add(crawl, name)
        make(crawl, TABLES)
    once = new_crawl(tmp_path / "once")
    add(once, *NAMES[:6])
    make(once, TABLES)
    columns = ["warc", "snapshot", "bytes", "digest", "state"]
    one, other = (Lake.of(each).read(POOL.name, columns).sort_by("warc") for each in (crawl, once))
    assert one == other


def test_only_shards_that_exist_are_partitions_and_a_cause_names_archives(crawl: Settings) -> None:
    add(crawl, *NAMES[:3])
    assert shards_of(crawl) == ["0-0", "0-1", "0-2"]
    make(crawl, TABLES)
    (crawl.project / "crawl" / NAMES[1]).write_bytes(DATA + b"other")
    (crawl.project / "crawl" / NAMES[2]).unlink()
    add(crawl, "!.warc")
    assert shards_of(crawl) == ["0-0", "0-1", "0-2", "0-3"], "a shard that has lost its archives is still to be emptied"
    said = {key: changed_archives(crawl, POOL_SHARDS.columns(key)) for key in shards_of(crawl)}
    assert said == {
        "0-0": "",
        "0-1": "001.warc was changed",
        "0-2": "002.warc was removed",
        "0-3": "!.warc was added",
    }


def test_a_lake_of_an_earlier_version_keeps_its_shards(crawl: Settings) -> None:
    """Its archives were placed in the order of names, two to a shard; none moves, also under another setting."""
    add(crawl, *NAMES[:5])
    rows = pool_rows(crawl)
    old = [0, 0, 1, 1, 2]
    shards = {"global_shard": pa.array([0] * 5, pa.int32()), "local_shard": pa.array(old, pa.int32())}
    for column, values in shards.items():
        rows = rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), values)
    parts = [Part({"global_shard": 0, "local_shard": local}, "f" * 16) for local in (0, 1, 2)]
    Lake.of(crawl).replace_parts(POOL, rows, parts)
    assert pool_rows(crawl)["local_shard"].to_pylist() == old
    add(crawl, "!.warc")
    assert pool_rows(crawl)["local_shard"].to_pylist() == [3, *old]

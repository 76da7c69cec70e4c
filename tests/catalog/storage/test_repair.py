"""A repair restores what can be restored, says what is lost, and deletes nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.storage.records import LOG, RECORDS, entry_path, record_path
from catalog.storage.repair import Plan, plan_repair
from catalog.storage.verify import lost_partitions, verify
from catalog.tables import contract
from tests.small_lake import good_rows, write_lake, write_rows

SCORES = contract("dclm.scores")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake whose scores were written twice: three rows, then two."""
    settings = write_lake(tmp_path, ("dclm.scores",))
    return Lake.of(write_rows(settings, {"dclm.scores": good_rows()["dclm.scores"][:2]}))


def folder_of(lake: Lake) -> Path:
    return Path(lake.path("dclm.scores"))


def contents(folder: Path) -> dict[str, bytes]:
    """The files under a folder."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def repaired(lake: Lake) -> Plan:
    """Plan a repair, which must change nothing, and carry it out, after which no contents may be gone."""
    before = contents(Path(lake.root))
    plan = plan_repair(lake, SCORES)
    assert contents(Path(lake.root)) == before
    plan.carry_out()
    assert set(contents(Path(lake.root)).values()) >= set(before.values())
    return plan


LOSE = {
    "the last entry is lost": lambda folder: (folder / entry_path(3)).unlink(),
    "the last entry is torn": lambda folder: (folder / entry_path(3)).write_text('{"commitInfo":'),
    "two entries are lost": lambda folder: [(folder / entry_path(version)).unlink() for version in (1, 3)],
    "an entry is garbage": lambda folder: (folder / entry_path(2)).write_bytes(bytes(300)),
    "the log is lost": lambda folder: shutil.rmtree(folder / LOG),
}


@pytest.mark.parametrize("harm", LOSE.values(), ids=LOSE)
def test_log_entries_are_restored_byte_for_byte_from_their_copies(harm, lake: Lake) -> None:
    folder = folder_of(lake)
    entries = {path: (folder / path).read_bytes() for path in map(entry_path, range(4))}
    harm(folder)
    assert repaired(lake).actions
    assert {path: (folder / path).read_bytes() for path in entries} == entries
    assert verify(lake, SCORES).faults == ()
    assert lake.read("dclm.scores").num_rows == 2


def test_without_a_copy_the_table_goes_back_to_the_last_version_that_can_be_read(lake: Lake) -> None:
    shutil.rmtree(folder_of(lake) / RECORDS)
    (folder_of(lake) / entry_path(3)).write_text("")
    plan = repaired(lake)
    assert plan.advice == [
        "the table goes back to version 2, the last that can be read; 1 later version is set aside: "
        "run `watershed make dclm.scores` for what it lacks"
    ]
    assert lake.read("dclm.scores").num_rows == 3
    assert lake.written("dclm.scores")[""].version == 2


def test_what_follows_a_gap_without_a_copy_is_set_aside_and_can_still_be_read(lake: Lake) -> None:
    folder = folder_of(lake)
    for version in (2, 3):
        (folder / record_path(version)).unlink()
    (folder / entry_path(2)).unlink()
    repaired(lake)
    assert lake.read("dclm.scores").num_rows == 0
    assert (folder / "_damaged" / entry_path(3)).is_file()
    assert sorted(pq.ParquetFile(path).metadata.num_rows for path in folder.glob("*.parquet")) == [2, 3]
    lake.replace(SCORES, SCORES.schema.empty_table(), "c" * 16)
    assert verify(lake, SCORES).faults == ()


def test_a_table_without_a_readable_version_is_moved_away_as_a_whole(lake: Lake) -> None:
    folder = folder_of(lake)
    shutil.rmtree(folder / RECORDS)
    for path in (folder / LOG).iterdir():
        path.write_text("{nonsense")
    plan = repaired(lake)
    assert "`watershed make dclm.scores`" in plan.advice[-1]
    assert not lake.exists("dclm.scores")
    assert len(list((Path(lake.root) / "_damaged" / "dclm.scores").glob("*.parquet"))) == 2
    lake.replace(SCORES, SCORES.schema.empty_table(), "c" * 16)


def test_a_corrupt_checkpoint_is_set_aside_where_the_entries_before_it_are_whole(lake: Lake) -> None:
    lake.table("dclm.scores").create_checkpoint()
    checkpoint = folder_of(lake) / f"{LOG}/{3:020}.checkpoint.parquet"
    checkpoint.write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    with pytest.raises(WatershedError, match=r"checkpoint\.parquet cannot be read"):
        lake.read("dclm.scores")
    repaired(lake)
    assert lake.read("dclm.scores").num_rows == 2
    assert verify(lake, SCORES).faults == ()


def test_an_entry_from_before_a_checkpoint_costs_its_version_alone(lake: Lake) -> None:
    folder = folder_of(lake)
    lake.table("dclm.scores").create_checkpoint()
    shutil.rmtree(folder / RECORDS)
    (folder / entry_path(1)).write_text("garbage")
    plan = repaired(lake)
    assert plan.advice == ["version 1 stays lost; later versions do not need it"]
    assert lake.read("dclm.scores").num_rows == 2
    assert verify(lake, SCORES).faults == ()


def test_a_damaged_data_file_is_set_aside_and_its_partition_is_lost(lake: Lake) -> None:
    (live,) = lake.table("dclm.scores").get_add_actions().column("path").to_pylist()
    path = folder_of(lake) / live
    data = bytearray(path.read_bytes())
    data[60] ^= 4
    path.write_bytes(data)
    assert lost_partitions(lake, SCORES) == set()
    plan = repaired(lake)
    assert plan.advice[0].endswith("run `watershed make dclm.scores`")
    assert lost_partitions(lake, SCORES) == {""}
    assert (folder_of(lake) / "_damaged" / live).read_bytes() == data
    lake.replace(SCORES, SCORES.schema.empty_table(), "c" * 16)
    assert verify(lake, SCORES).faults == ()


def test_a_damaged_record_is_written_again(lake: Lake) -> None:
    path = folder_of(lake) / record_path(3)
    path.write_text("")
    repaired(lake)
    assert verify(lake, SCORES).faults == ()
    assert path.stat().st_size


def test_there_is_nothing_to_repair_in_a_sound_table(lake: Lake) -> None:
    plan = plan_repair(lake, SCORES)
    assert (plan.faults, plan.actions, plan.advice) == ([], [], [])
    with pytest.raises(WatershedError, match="not made yet, so there is nothing to repair"):
        plan_repair(lake, contract("dclm.pool"))

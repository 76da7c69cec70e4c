"""What is written is recorded, and what differs from its record is found and named."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from catalog.inventory import table_state
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.sql.query import connect, query
from catalog.storage.log import all_log_faults, log_faults
from catalog.storage.records import LOG, RECORDS, entry_path, measured_files, read_record, record_path
from catalog.storage.verify import lost_partitions, verify
from catalog.tables import contract
from tests.small_lake import good_rows, row, settings_in, write_lake, write_rows

SCORES, RESULTS = contract("dclm.scores"), contract("evals.results")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with scores, written once."""
    return Lake.of(write_lake(tmp_path, ("dclm.scores",)))


def folder_of(lake: Lake, name: str = "dclm.scores") -> Path:
    """The folder of a table."""
    return Path(lake.path(name))


def data_file(lake: Lake, name: str = "dclm.scores") -> Path:
    """The first data file of a table."""
    return sorted(folder_of(lake, name).rglob("*.parquet"))[0]


def flip(path: Path, place: int) -> None:
    """Flip one bit of the byte at `place`."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def answers(run: str, count: int = 2) -> pa.Table:
    """Answers of a run."""
    rows = [row(RESULTS, run=run, question_id=f"q{number}") for number in range(count)]
    return pa.Table.from_pylist(rows, schema=RESULTS.schema)


def without_records(lake: Lake, name: str = "dclm.scores") -> None:
    """Make a table look as an earlier release wrote it."""
    shutil.rmtree(folder_of(lake, name) / RECORDS)


def test_every_version_has_a_record_of_its_files_and_a_copy_of_its_log_entry(lake: Lake) -> None:
    store, folder = lake.store("dclm.scores"), folder_of(lake)
    for version in range(3):
        record = read_record(store, version)
        assert record.entry == (folder / entry_path(version)).read_text()
        for path, recorded in record.files.items():
            data = (folder / path).read_bytes()
            assert (recorded.size, recorded.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert list(read_record(store, 2).data) == [data_file(lake).relative_to(folder).as_posix()]


def test_a_sound_table_has_no_faults_and_all_of_its_files_are_read(lake: Lake) -> None:
    found = verify(lake, SCORES)
    assert (found.faults, found.files, found.digested, found.without) == ((), 1, 1, 0)
    assert found.bytes_read == data_file(lake).stat().st_size


def test_any_flipped_bit_of_a_data_file_is_found_and_the_rows_behind_it_are_named(lake: Lake) -> None:
    path = data_file(lake)
    for place in range(0, path.stat().st_size, 97):
        flip(path, place)
        (fault,) = verify(lake, SCORES).faults
        assert fault.path == str(path)
        assert fault.problem == "differs from what was written: its SHA-256 is another"
        assert fault.behind.startswith("3 rows of dclm.scores with doc_id from 000")
        flip(path, place)
    assert verify(lake, SCORES).faults == ()


def test_the_partition_of_a_damaged_file_is_named(tmp_path: Path) -> None:
    lake = Lake.of(settings_in(tmp_path))
    for run in ("small", "it's large"):
        lake.replace(RESULTS, answers(run), run, {"run": run})
    (path,) = (path for path in folder_of(lake, "evals.results").rglob("*.parquet") if "run=small" in str(path))
    path.unlink()
    (fault,) = verify(lake, RESULTS).faults
    assert (fault.path, fault.problem, fault.partition) == (str(path), "is missing", "run=small")
    assert fault.behind.startswith("2 rows of evals.results in run=small with question_id from q0 to q1")
    assert lost_partitions(lake, RESULTS) == {"run=small"}
    lake.replace(RESULTS, answers("small"), "again", {"run": "small"})
    assert verify(lake, RESULTS).faults == ()
    assert lost_partitions(lake, RESULTS) == set()


def test_a_file_of_another_size_is_found_without_reading_it(lake: Lake) -> None:
    path = data_file(lake)
    path.write_bytes(path.read_bytes()[:-1])
    (fault,) = verify(lake, SCORES, read=False).faults
    assert fault.path == str(path)
    assert "bytes, not the" in fault.problem
    assert lost_partitions(lake, SCORES) == {""}


def test_files_of_an_earlier_release_are_said_to_have_no_checksums_and_are_not_lost(lake: Lake) -> None:
    without_records(lake)
    found = verify(lake, SCORES)
    assert (found.faults, found.files, found.without, found.digested) == ((), 1, 1, 0)
    assert lost_partitions(lake, SCORES) == set()
    assert table_state(lake, SCORES).checksums == "none: no version has a record of its files"
    lake.replace(SCORES, lake.read("dclm.scores"), "b" * 16)
    assert verify(lake, SCORES).without == 0
    assert table_state(lake, SCORES).checksums == "from version 3 on"
    data_file(lake).unlink()


def test_page_checksums_stand_in_for_a_record_where_sparks_writer_added_them(lake: Lake) -> None:
    """Spark's `created_by` begins with parquet-mr; here pyarrow writes the same checksums under that name."""
    without_records(lake)
    path = data_file(lake)
    rows = pq.read_table(path)
    pq.write_table(rows, path, write_page_checksum=True, compression="none")
    size = path.stat().st_size
    data = path.read_bytes()
    entry = folder_of(lake) / entry_path(2)
    written = data.replace(b"parquet-cpp-arrow", b"parquet-mr-writer")
    assert len(written) == size and written != data
    path.write_bytes(written)
    lines = [json.loads(line) for line in entry.read_text().splitlines()]
    for line in lines:
        if "add" in line:
            line["add"]["size"] = size
    entry.write_text("\n".join(map(json.dumps, lines)))
    assert (verify(lake, SCORES).faults, verify(lake, SCORES).digested) == ((), 1)
    flip(path, written.index(b"rivers"))
    (fault,) = verify(lake, SCORES).faults
    assert fault.path == str(path)
    assert "cannot be read" in fault.problem


def test_files_outside_the_table_are_verified_and_their_partition_is_lost_with_them(lake: Lake) -> None:
    weights = lake.folder("dclm.scores", "weights.bin")
    weights.parent.mkdir(parents=True)
    weights.write_bytes(b"weights" * 100)
    (weights.parent / ".lock").touch()
    lake.record_files("dclm.scores", "", measured_files(lake.files, [weights.parent]))
    assert (verify(lake, SCORES).faults, verify(lake, SCORES).files) == ((), 2)
    flip(weights, 3)
    (fault,) = verify(lake, SCORES).faults
    assert (fault.path, fault.kind, fault.behind) == (str(weights), "file", "dclm.scores")
    assert lost_partitions(lake, SCORES) == set(), "the size is the same"
    shutil.rmtree(lake.files)
    assert lost_partitions(lake, SCORES) == {""}
    assert [fault.path for fault in verify(lake, SCORES, read=False).faults] == [str(weights)]


BREAK = {
    "the last entry is empty": lambda log: log[-1].write_text(""),
    "the last entry is lost": lambda log: log[-1].unlink(),
    "the last entry is cut short": lambda log: log[-1].write_bytes(log[-1].read_bytes()[:-9]),
    "the last entry is cut at a line": lambda log: log[-1].write_text(log[-1].read_text().splitlines()[0]),
    "an entry is lost": lambda log: log[1].unlink(),
    "an entry is garbage": lambda log: log[1].write_bytes(bytes(range(256))),
    "a number in an entry is another": lambda log: log[-1].write_text(
        log[-1].read_text().replace('"size":', '"size":1', 1)
    ),
    "all entries are lost": lambda log: [path.unlink() for path in log],
    "the log is lost": lambda log: shutil.rmtree(log[0].parent),
}


@pytest.mark.parametrize("harm", BREAK.values(), ids=BREAK)
def test_no_answer_comes_from_a_table_whose_log_is_damaged_and_all_others_work(harm, tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.scores", "dclm.quality_model"))
    write_rows(settings, {"dclm.scores": good_rows()["dclm.scores"][:2]})
    lake = Lake.of(settings)
    harm(sorted((folder_of(lake) / LOG).glob("*.json")))
    refused = r"dclm\.scores is damaged: .*_delta_log/0{19}\d\.json"
    for read in (lake.read, lake.version, lake.written, lake.table):
        with pytest.raises(WatershedError, match=refused) as error:
            read("dclm.scores")
        assert error.value.mend == "see what can be done with `watershed repair dclm.scores`"
    with pytest.raises(WatershedError, match=refused):
        table_state(lake, SCORES)
    with pytest.raises(WatershedError, match=refused):
        lake.replace(SCORES, SCORES.schema.empty_table(), "c" * 16)
    with connect(settings) as connection:
        for sql in ("FROM dclm.scores", "FROM dclm.scores AT (VERSION => 2)", "FROM dclm.scores_at(2)"):
            with pytest.raises((WatershedError, duckdb.Error)) as error:
                query(connection, sql)
            assert "dclm.scores" in str(error.value)
        assert connection.execute("SELECT count(*) FROM dclm.quality_model").fetchall() == [(1,)]
        assert connection.execute("SELECT count(*) > 0 FROM watershed.history").fetchall() == [(True,)]
        ((state,),) = connection.execute("SELECT state FROM watershed.tables WHERE name = 'dclm.scores'").fetchall()
        assert state.startswith("damaged: ")
    assert verify(lake, SCORES).faults[0].kind == "log"


def test_a_torn_commit_of_an_earlier_release_is_found_too(lake: Lake) -> None:
    without_records(lake)
    (folder_of(lake) / entry_path(2)).write_text("")
    with pytest.raises(WatershedError, match=r"00002\.json is empty"):
        lake.read("dclm.scores")


def test_a_commit_that_nothing_recorded_is_read_and_recorded_by_the_next_writer(lake: Lake) -> None:
    """A writer that is killed before it writes its record leaves a sound table."""
    (folder_of(lake) / record_path(2)).unlink()
    assert lake.read("dclm.scores").num_rows == 3
    assert verify(lake, SCORES).without == 1
    lake.replace(SCORES, lake.read("dclm.scores"), "b" * 16)
    assert sorted(path.name[:20] for path in (folder_of(lake) / RECORDS).iterdir()) == [f"{n:020}" for n in range(4)]
    assert verify(lake, SCORES).without == 0


def test_a_file_that_a_writer_of_the_log_is_still_writing_belongs_to_no_version(lake: Lake) -> None:
    unfinished = folder_of(lake) / LOG / f".{3:020}.json.0edca2de.tmp"
    unfinished.write_text("{")
    lake.replace(SCORES, lake.read("dclm.scores"), "b" * 16)
    unfinished.unlink()
    assert verify(lake, SCORES).faults == ()


def test_a_reader_beside_a_writer_finds_no_fault(lake: Lake) -> None:
    rows = lake.read("dclm.scores")
    written = threading.Event()

    def write() -> None:
        for number in range(12):
            lake.replace(SCORES, rows, f"{number:016}")
            if number % 4 == 3:
                lake.table("dclm.scores").create_checkpoint()
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not written.is_set():
        assert log_faults(lake.store("dclm.scores")) == []
        assert lake.read("dclm.scores").num_rows == 3
    writer.join()


def test_checkpoints_and_their_pointer_are_verified(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.scores",))
    lake = Lake.of(settings)
    lake.table("dclm.scores").create_checkpoint()
    write_rows(settings, {"dclm.scores": good_rows()["dclm.scores"]})
    folder, store = folder_of(lake), lake.store("dclm.scores")
    assert all_log_faults(store) == []
    checkpoint = folder / f"{LOG}/{2:020}.checkpoint.parquet"
    for path in (checkpoint, folder / LOG / "_last_checkpoint"):
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        assert [fault.path for fault in log_faults(store)] == [path.relative_to(folder).as_posix()]
        with pytest.raises(WatershedError, match=r"dclm\.scores is damaged"):
            lake.read("dclm.scores")
        path.write_bytes(whole)
    assert lake.read("dclm.scores").num_rows == 3


def test_a_damaged_record_is_named_and_the_table_stays_readable(lake: Lake) -> None:
    path = folder_of(lake) / record_path(2)
    flip(path, 40)
    assert lake.read("dclm.scores").num_rows == 3
    (fault,) = verify(lake, SCORES).faults
    assert fault.path == str(path)
    assert fault.problem == "is damaged: the checksums of this version are lost"


def test_a_copy_of_a_lake_elsewhere_is_as_sound(lake: Lake, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(lake.root, other / "lake")
    copy: Settings = settings_in(other)
    assert verify(Lake.of(copy), SCORES).faults == ()
    assert Lake.of(copy).read("dclm.scores").num_rows == 3

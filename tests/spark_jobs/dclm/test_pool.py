"""The pool: the known archives, their states, and their shards."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections import Counter
from pathlib import Path

import pytest
from made_crawl import archive, page

from catalog.errors import WatershedError
from catalog.progress import listening
from catalog.tables.dclm import POOL
from spark_jobs.dclm.placement import place
from spark_jobs.dclm.pool import register, shard_columns
from spark_jobs.demo.crawl.faults import Fault

NAMES = [f"{number:06d}" for number in range(51_000)]

DATA = b"".join(archive("made.warc.gz", {"https://made.example/": page("Rain falls on the hills.")}))


def write(folder: Path, *names: str, data: bytes = DATA) -> list[str]:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return [str(folder / name) for name in names]


def names(*inputs: str | Path) -> list[str]:
    return register([str(given) for given in inputs], "made", 2)["warc"].to_pylist()


def test_rows_fit_the_contract_and_come_in_the_order_of_file_names(tmp_path: Path) -> None:
    write(tmp_path, "b/1.warc.gz", "a/2.warc.gz", "3.warc")
    (tmp_path / "crawl.json").write_text("{}")
    pool = register([str(tmp_path)], "CC-MAIN-2026-41", 2)
    assert pool.schema == POOL.schema
    assert pool["warc"].to_pylist() == ["1.warc.gz", "2.warc.gz", "3.warc"]
    assert pool["uri"].to_pylist()[0] == str(tmp_path / "b" / "1.warc.gz")
    assert pool["digest"].to_pylist() == [f"sha256:{hashlib.sha256(DATA).hexdigest()}"] * 3
    assert set(pool["bytes"].to_pylist()) == {len(DATA)}
    assert set(pool["snapshot"].to_pylist()) == {"CC-MAIN-2026-41"}


def test_files_folders_globs_and_lists_name_archives(tmp_path: Path) -> None:
    write(tmp_path, "a.warc.gz", "b.warc.gz", "sub/c.warc.gz", "odd-name")
    (tmp_path / "some.paths").write_text("a.warc.gz\nsub/c.warc.gz\n\n")
    (tmp_path / "some.paths.gz").write_bytes(gzip.compress(b"b.warc.gz\n"))
    assert names(tmp_path) == ["a.warc.gz", "b.warc.gz", "c.warc.gz"]
    assert names(tmp_path / "odd-name") == ["odd-name"]
    assert names(tmp_path / "[ab].warc.gz") == ["a.warc.gz", "b.warc.gz"]
    assert names(tmp_path / "**" / "c*") == ["c.warc.gz"]
    assert names(tmp_path / "some.paths") == ["a.warc.gz", "c.warc.gz"]
    assert names(tmp_path / "some.paths.gz") == ["b.warc.gz"]
    assert names(tmp_path, tmp_path / "a.warc.gz") == ["a.warc.gz", "b.warc.gz", "c.warc.gz"]


def test_two_archives_of_one_name_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one/a.warc.gz", "two/a.warc.gz")
    with pytest.raises(WatershedError, match=r"two archives are called a\.warc\.gz"):
        names(tmp_path)


@pytest.mark.parametrize("given", ["missing", "missing/*.warc.gz", "empty", "ftp://x.example/a.warc.gz", "bad.paths"])
def test_an_input_that_matches_no_file_is_a_user_error(tmp_path: Path, given: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.paths").write_bytes(b"\xff\xfe")
    with pytest.raises(WatershedError):
        names(given if "://" in given else tmp_path / given)


def test_every_archive_has_a_state_and_a_reason(crawl: tuple[Path, tuple[Fault, ...]]) -> None:
    folder, faults = crawl
    pool = {row["warc"]: row for row in register([str(folder)], "made", 2).to_pylist()}
    assert {fault.name for fault in faults} <= pool.keys()
    assert {name for name, row in pool.items() if row["state"] != "ready"} == {
        fault.name for fault in faults if not fault.readable
    }
    assert (pool["empty.warc.gz"]["state"], pool["empty.warc.gz"]["reason"]) == ("empty", "0 bytes")
    assert pool["not-gzip.warc.gz"]["state"] == "not_warc"
    assert "503" not in pool["truncated.warc.gz"]["state"]
    assert all((row["reason"] is None) == (row["state"] == "ready") for row in pool.values())


def test_an_archive_with_garbage_before_its_first_record_is_ready(tmp_path: Path) -> None:
    (given,) = write(tmp_path, "late.warc.gz", data=b"garbage \x1f\x8b\x08" * 50 + DATA)
    assert register([given], "made", 1)["state"].to_pylist() == ["ready"]


def test_what_cannot_be_read_is_a_row_too(tmp_path: Path) -> None:
    link = tmp_path / "gone.warc.gz"
    link.symlink_to(tmp_path / "nowhere")
    (row,) = register([str(tmp_path)], "made", 1).to_pylist()
    assert (row["state"], row["reason"], row["bytes"]) == ("unreadable", os.strerror(2), 0)


def test_an_unreachable_url_is_a_row_too() -> None:
    (row,) = register(["http://127.0.0.1:9/a.warc.gz"], "made", 1).to_pylist()
    assert (row["warc"], row["state"]) == ("a.warc.gz", "unreadable")


def test_shards_are_filled_one_after_the_other_while_they_last() -> None:
    assert place(NAMES[:5], {}, 2) == [0, 0, 1, 1, 2]
    assert place(NAMES[:200], {}, 2)[-1] == 99
    assert shard_columns(99) == {"global_shard": 9, "local_shard": 9}


@pytest.mark.parametrize("files", [201, 1_000, 51_000])
def test_a_large_pool_is_spread_evenly_with_neighbours_together(files: int) -> None:
    places = place(NAMES[:files], {}, 2)
    assert places == sorted(places)
    sizes = Counter(places).values()
    assert len(sizes) == 100
    assert max(sizes) - min(sizes) <= 1


def test_registering_reports_progress(tmp_path: Path) -> None:
    write(tmp_path, "a.warc.gz", "b.warc.gz")
    heard: list[float] = []

    class Listener:
        def begin(self, label: str, total: float, unit: str) -> object:
            heard.append(-total)
            return label

        def advance(self, handle: object, done: float, total: float | None, note: str) -> None:
            heard.append(done)

        def end(self, handle: object) -> None:
            heard.append(100)

    with listening(Listener()):
        names(tmp_path)
    assert heard == [-2, 1, 2, 100]


def test_an_archive_stays_where_it_is_and_new_ones_go_behind_whatever_their_names() -> None:
    held = place(["b", "d", "f"], {}, 1)
    assert place(["a", "b", "c", "d", "e", "f"], dict(zip("bdf", held, strict=True)), 1) == [3, 0, 4, 1, 5, 2]


def test_a_shard_that_holds_archives_gets_no_more_while_others_are_free() -> None:
    assert place(["a", "b", "c", "d"], {"b": 0, "c": 0, "d": 1}, 2) == [2, 0, 0, 1]


def test_shards_behind_the_last_are_taken_before_those_that_were_emptied() -> None:
    assert place(["a", "z"], {"z": 98}, 1) == [99, 98]
    assert place(["a", "b", "z"], {"z": 98}, 1) == [99, 0, 98]


@pytest.mark.parametrize(("before", "after"), [(100, 101), (150, 1_000), (5_000, 5_001), (5_000, 51_000)])
def test_a_pool_that_has_outgrown_its_shards_fills_the_least_full_ones(before: int, after: int) -> None:
    old = NAMES[after - before : after]
    placed = dict(zip(old, place(old, {}, 1), strict=True))
    shards = place(NAMES[:after], placed, 1)
    assert {name: shard for name, shard in zip(NAMES[:after], shards, strict=True) if name in placed} == placed
    sizes = Counter(shards).values()
    assert max(sizes) - min(sizes) <= 1


def test_an_archive_that_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from spark_jobs.dclm import pool
    from spark_jobs.dclm.known_files import KnownFiles

    for path in write(tmp_path, "a.warc.gz", "b.warc.gz"):
        # What was written a moment ago could change again without another time.
        os.utime(path, (1_700_000_000, 1_700_000_000))
    monkeypatch.setattr("spark_jobs.dclm.known_files.RACY_NS", 0)
    read: list[str] = []
    describe = pool._describe
    monkeypatch.setattr(pool, "_describe", lambda uri: read.append(Path(uri).name) or describe(uri))
    kept = tmp_path / "known.json"
    first = register([str(tmp_path)], "made", 1, known=KnownFiles(kept))
    assert sorted(read) == ["a.warc.gz", "b.warc.gz"]
    read.clear()
    assert register([str(tmp_path)], "made", 1, known=KnownFiles(kept)) == first
    assert read == []
    # Another file of the same size and time: the time of its inode differs.
    (tmp_path / "b.warc.gz").write_bytes(DATA[:-1] + b"x")
    os.utime(tmp_path / "b.warc.gz", (1_700_000_000, 1_700_000_000))
    changed = register([str(tmp_path)], "made", 1, known=KnownFiles(kept))
    assert read == ["b.warc.gz"]
    assert changed["digest"][1] != first["digest"][1]
    kept.write_text('{"a": 3}')
    assert register([str(tmp_path)], "made", 1, known=KnownFiles(kept)) == changed

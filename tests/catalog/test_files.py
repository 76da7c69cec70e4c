"""Files and folders are written whole or not at all, also when the writer is killed in the middle."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from catalog.errors import WatershedError
from catalog.files import PARTIAL, sha256_of, whole_file, whole_folder, whole_path, write_whole

ROOT = Path(__file__).parent.parent.parent

WRITE_AND_STOP = """
import sys, time
from pathlib import Path
from catalog.files import whole_file, whole_folder

kind, place = sys.argv[1:]
with {"file": whole_file, "folder": whole_folder}[kind](Path(place)) as partial:
    (partial if kind == "file" else partial / "part").write_text("new")
    print("in the middle", flush=True)
    time.sleep(600)
"""


def content(path: Path) -> dict[str, str]:
    """The text of every file in the folder, by its relative path."""
    return {str(each.relative_to(path)): each.read_text() for each in sorted(path.rglob("*")) if each.is_file()}


@pytest.fixture(params=["file", "folder"])
def kind(request: pytest.FixtureRequest) -> str:
    """What is written."""
    return request.param


@pytest.fixture
def place(tmp_path: Path, kind: str) -> Path:
    """A file or folder in which `old` is written."""
    path = tmp_path / "place"
    if kind == "folder":
        path.mkdir()
    (path if kind == "file" else path / "part").write_text("old")
    return path


def start_writing(kind: str, path: Path) -> AbstractContextManager[Path]:
    """The context manager for the kind."""
    return {"file": whole_file, "folder": whole_folder}[kind](path)


def written(kind: str, path: Path) -> str:
    """What is at `path` now."""
    return (path if kind == "file" else path / "part").read_text()


def test_what_is_written_replaces_what_was_there_and_leaves_nothing_else(kind: str, place: Path) -> None:
    with start_writing(kind, place) as partial:
        (partial if kind == "file" else partial / "part").write_text("new")
        assert written(kind, place) == "old", "readers see the old one until the block ends"
    assert written(kind, place) == "new"
    assert [each.name for each in place.parent.iterdir()] == ["place"]


def test_a_failure_in_the_middle_leaves_what_was_there(kind: str, place: Path) -> None:
    with pytest.raises(ZeroDivisionError), start_writing(kind, place) as partial:
        (partial if kind == "file" else partial / "part").write_text("new")
        raise ZeroDivisionError
    assert written(kind, place) == "old"
    assert [each.name for each in place.parent.iterdir()] == ["place"]


def test_a_writer_that_is_killed_in_the_middle_leaves_what_was_there(kind: str, place: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITE_AND_STOP, kind, str(place)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "in the middle\n"
        writer.send_signal(signal.SIGKILL)
    assert written(kind, place) == "old"
    left = {each.name for each in place.parent.iterdir()} - {"place"}
    assert len(left) == 1
    assert all(name.startswith(f".place.{writer.pid}-") and name.endswith(PARTIAL) for name in left)
    with start_writing(kind, place) as partial:
        (partial if kind == "file" else partial / "part").write_text("new")
    assert written(kind, place) == "new", "what the killed writer left does not hinder the next one"


def test_concurrent_writers_of_one_path_do_not_mix_their_bytes(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    both = threading.Barrier(2)
    failures: list[BaseException] = []

    def write(value: str) -> None:
        try:
            with start_writing(kind, place) as partial:
                both.wait(60)
                (partial if kind == "file" else partial / "part").write_text(value)
                both.wait(60)
        except WatershedError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(value,)) for value in ("one", "other")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written(kind, place) in ("one", "other")
    # Files are replaced in one step; of two folders the later one may find its place taken between its two steps.
    assert len(failures) <= (kind == "folder")
    assert [each.name for each in tmp_path.iterdir()] == ["place"]


def test_a_folder_arrives_with_all_its_files(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "new" / "index") as partial:
        (partial / "deep").mkdir()
        (partial / "deep" / "a").write_text("1")
        (partial / "b").write_text("2")
    assert content(tmp_path / "new" / "index") == {"b": "2", "deep/a": "1"}


def test_a_place_that_cannot_be_written_is_reported_with_its_name(kind: str, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(WatershedError, match="blocked/place was not written: ") as refused:  # noqa: SIM117
        with start_writing(kind, tmp_path / "blocked" / "place"):
            pytest.fail("the block must not begin")
    assert refused.value.mend


def test_a_block_that_writes_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match="place was not written: No such file"), whole_file(tmp_path / "place"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("flushed", ["file", "folder"])
def test_bytes_are_on_the_disk_before_they_have_their_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushed: str
) -> None:
    events: list[str] = []

    def noting(name: str, call: Callable) -> Callable:
        def note(first: object, *rest: object) -> object:
            events.append(f"{name} {Path(f'/proc/self/fd/{first}').readlink().name}" if name == "fsync" else name)
            return call(first, *rest)

        return note

    monkeypatch.setattr(os, "fsync", noting("fsync", os.fsync))
    monkeypatch.setattr(os, "rename", noting("rename", os.rename))
    monkeypatch.setattr(os, "replace", noting("rename", os.replace))
    if flushed == "file":
        write_whole(tmp_path / "place", b"bytes")
        assert sha256_of(tmp_path / "place") == "277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9"
        wanted = 1
    else:
        with whole_folder(tmp_path / "place") as partial:
            (partial / "part").write_bytes(b"bytes")
        wanted = 2
    assert len(events[: events.index("rename")]) == wanted
    assert events[-1] == f"fsync {tmp_path.name}", "the folder is flushed last, which holds the name"


@pytest.mark.parametrize("error", [OSError("of the block"), ValueError("of the block")])
def test_an_error_of_a_block_that_does_other_work_passes_unchanged(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, whole_path(tmp_path / "place") as partial:
        partial.write_text("a part")
        raise error
    assert raised.value is error
    assert not list(tmp_path.iterdir())

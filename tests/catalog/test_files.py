"""Files and folders get their name when they are whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.errors import WatershedError
from catalog.files import whole_file, whole_path


def test_a_folder_appears_with_all_its_files(tmp_path: Path) -> None:
    with whole_path(tmp_path / "part") as fresh:
        fresh.mkdir()
        (fresh / "rows").write_bytes(b"rows")
        assert not (tmp_path / "part").exists()
    assert (tmp_path / "part" / "rows").read_bytes() == b"rows"
    assert [path.name for path in tmp_path.iterdir()] == ["part"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("column")])
def test_an_error_leaves_nothing_and_passes_through(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as raised, whole_path(tmp_path / "part") as fresh:
        fresh.mkdir()
        (fresh / "rows").write_bytes(b"half")
        raise error
    assert raised.value is error
    assert not list(tmp_path.iterdir())


def test_a_folder_that_a_killed_process_left_is_not_continued(tmp_path: Path) -> None:
    with whole_path(tmp_path / "part") as fresh:
        name = fresh.name
        fresh.mkdir()
    (tmp_path / "part").rmdir()
    (tmp_path / name).mkdir()
    (tmp_path / name / "stale").touch()
    with whole_path(tmp_path / "part") as fresh:
        fresh.mkdir()
    assert not list((tmp_path / "part").iterdir())


def test_a_file_that_cannot_be_written_keeps_the_old_one_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(WatershedError, match="was not written: No space left"), whole_file(path) as fresh:
        fresh.write_bytes(b"ha")
        raise OSError(28, "No space left on device")
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file"]

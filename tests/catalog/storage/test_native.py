"""Arrow opens the files of a table in a folder by itself, so that none of its threads needs Python when Python ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from catalog.storage import native
from catalog.storage.native import NativeTable

ODD = ["plain", "a b", "ä/ö", "x=%20&y", "1:2+3", "雨", "..", "#?"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd place") / "table"
    rows = pa.table({"part": ODD * 3, "n": range(3 * len(ODD))})
    write_deltalake(str(folder), rows, partition_by=["part"])
    return folder


@pytest.mark.parametrize("form", ["{}", "file://{}"], ids=["folder", "url"])
def test_rows_are_those_that_delta_rs_reads_whatever_the_partitions_are_called(form: str, folder: Path) -> None:
    path = form.format(folder)
    expected = DeltaTable(str(folder)).to_pyarrow_table().sort_by("n")
    assert expected.num_rows == 3 * len(ODD)
    assert NativeTable(path).to_pyarrow_table().sort_by("n") == expected
    for name in ODD:
        found = NativeTable(path).to_pyarrow_dataset(partitions=[("part", "=", name)]).to_table()
        assert set(found["part"].to_pylist()) == {name} and found.num_rows == 3
    assert NativeTable(path).to_pyarrow_table(columns=["n"]).column_names == ["n"]


def test_no_file_in_a_folder_is_a_python_object(folder: Path) -> None:
    assert NativeTable(str(folder)).to_pyarrow_dataset().filesystem.type_name == "subtree"


def test_the_end_of_the_interpreter_waits_for_files_of_an_object_store(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = NativeTable(f"file://{folder}").to_pyarrow_dataset().filesystem
    (name,) = DeltaTable(str(folder)).to_pyarrow_dataset(partitions=[("part", "=", "plain")]).files
    opened = files.open_input_file(name)
    assert opened.read(4) == b"PAR1" and len(native._OPEN) == 1
    slept = []

    def sleep(seconds: float) -> None:
        nonlocal opened
        slept.append(seconds)
        if len(slept) == 3:
            opened = None

    monkeypatch.setattr(native.time, "sleep", sleep)
    native._wait_until_closed()
    assert len(slept) == 3 and not native._OPEN


def test_a_process_that_reads_and_ends_at_once_ends_well(folder: Path) -> None:
    program = f"from catalog.storage.native import NativeTable\nNativeTable({str(folder)!r}).to_pyarrow_table()"
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")

"""What nothing reaches is found and deleted, and versions and contracts are compared."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from catalog.columns import integer, text
from catalog.contract import Contract
from catalog.difference import difference
from catalog.errors import WatershedError
from catalog.evolution import changes
from catalog.lake import Lake
from catalog.lineage.unused import delete, kept_versions, unused
from catalog.settings import Settings
from catalog.sql.query import connect
from catalog.storage.verify import verify
from catalog.tables import CONTRACTS
from dagster_project.cli import main
from tests.small_lake import CURATED, doc_id, good_rows, write_lake, write_rows

DOCUMENTS = CONTRACTS["dclm.documents"]


@pytest.fixture
def watershed(monkeypatch: pytest.MonkeyPatch):
    """The command line, on a lake."""

    def run(settings: Settings, *arguments: str, stdin: str = "") -> Result:
        monkeypatch.setenv("WATERSHED_PROJECT", str(settings.project))
        return CliRunner().invoke(main, arguments, input=stdin)

    return run


def day_old(path: Path) -> None:
    """Let a file look as if it had been written two days ago."""
    before = path.stat().st_mtime - 2 * 86_400
    os.utime(path, (before, before))


def test_what_a_latest_version_rests_on_is_kept_and_the_rest_is_deleted(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.pool", "dclm.documents"))
    lake = Lake.of(settings)
    first = lake.version("dclm.documents")
    write_rows(settings, {"dclm.documents": good_rows()["dclm.documents"]}, "b" * 16)
    second = lake.version("dclm.documents")
    write_rows(settings, {name: good_rows()[name] for name in ("dclm.measurements", "dclm.documents")}, "c" * 16)
    connection = connect(settings)
    # The measurements were made from the second version, and nothing from the first.
    assert kept_versions(lake, connection)["dclm.documents"] == {second, lake.version("dclm.documents")}
    (spare,) = (each for each in unused(lake, connection) if each.kind == "version")
    assert (spare.table, spare.versions) == ("dclm.documents", (first,))
    assert spare.bytes == sum((Path(lake.path("dclm.documents")) / path).stat().st_size for path in spare.paths)
    assert delete(lake, connection, [spare]) == spare.bytes
    assert lake.table("dclm.documents", second).to_pyarrow_table().num_rows == 6
    with pytest.raises(WatershedError, match="was deleted by `watershed unused --delete`"):
        lake.table("dclm.documents", first)
    assert [each for each in unused(lake, connection) if each.kind == "version"] == []
    assert verify(lake, DOCUMENTS).faults == ()


def test_files_that_no_kept_version_names_are_found_and_those_of_models_stay(tmp_path: Path, watershed) -> None:
    settings = write_lake(tmp_path, CURATED)
    lake = Lake.of(settings)
    folder = lake.folder("dclm.shards")
    named, other, seen = (
        folder / "train" / "shard_00000000.tar",
        folder / "0ther" / "a.tar",
        folder / "da7a5e7" / "b.tar",
    )
    for path in (named, other, seen):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"tokens")
        day_old(path)
    stray = Path(lake.path("dclm.pool"), "part-stray.parquet")
    pq.write_table(pa.table({"warc": ["a"]}), stray)
    connection = connect(settings)
    found = {each.name: each for each in unused(lake, connection)}
    # The shard is named by its table, and the models were trained on da7a5e7.
    assert [name for name in found if name.startswith("dclm/shards")] == ["dclm/shards/0ther"]
    assert not any(each.kind == "left" for each in found.values())
    day_old(stray)
    listed = json.loads(watershed(settings, "unused", "--json").stdout)
    assert {"left", "files"} <= {each["kind"] for each in listed}
    refused = watershed(settings, "unused", "--delete", stdin="n\n")
    assert other.exists(), refused.output
    done = watershed(settings, "unused", "--delete", "--yes")
    assert done.exit_code == 0, done.output
    assert [path.exists() for path in (named, other, seen, stray)] == [True, False, True, False]


def test_a_table_from_which_nothing_was_made_is_listed_and_never_deleted(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.pool", "dclm.documents"))
    lake, connection = Lake.of(settings), connect(settings)
    found = unused(lake, connection)
    assert {each.name for each in found if each.kind == "table"} == {"dclm.pool", "dclm.documents"}
    assert delete(lake, connection, found) == 0
    assert lake.read("dclm.documents").num_rows == 6


def test_two_versions_differ_by_rows_statistics_and_values(tmp_path: Path, watershed) -> None:
    settings = write_lake(tmp_path, ("dclm.documents",))
    lake = Lake.of(settings)
    first = lake.version(DOCUMENTS.name) or 0
    rows = good_rows()[DOCUMENTS.name][1:]
    rows[0] |= {"text": "Another text.", "words": 7}
    write_rows(settings, {DOCUMENTS.name: [*rows, {**rows[-1], "doc_id": doc_id(9)}]})
    found = difference(lake, connect(settings), DOCUMENTS, first, first + 1)
    assert (found.rows, found.added, found.removed, found.changed, found.columns) == ((6, 6), 1, 1, 1, ())
    assert [row["doc_id"] for row in (*found.samples["added"], *found.samples["removed"])] == [doc_id(9), doc_id(0)]
    (changed,) = found.samples["changed"]
    assert changed == {"doc_id": doc_id(1), "text": ["Water runs downhill.", "Another text."], "words": ["3", "7"]}
    before, after = found.statistics["words"]
    assert (before.highest, after.highest) == ("4", "7")
    assert "state" not in found.statistics
    shown = watershed(settings, "diff", f"dclm.documents@{first}", f"@{first + 1}")
    assert shown.exit_code == 0, shown.output
    assert "rows 6 to 6: 1 added, 1 removed, 1 changed" in shown.stdout
    assert json.loads(watershed(settings, "diff", f"dclm.documents@{first}", "--json").stdout)["removed"] == 1
    assert watershed(settings, "diff", "dclm.documents@x", "@2").exit_code == 2
    assert watershed(settings, "diff", "dclm.documents@1", "@99").exit_code == 2


def rain(*columns) -> Contract:
    """A contract of a table that others are declared to be made from."""
    return dataclasses.replace(
        CONTRACTS["dclm.pool"], columns=columns, primary_key=("warc",), partition_by=(), expectations=()
    )


def test_a_change_of_a_contract_is_found_before_a_write_with_those_who_read_the_table(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.documents",))
    lake = Lake.of(settings)
    old = rain(text("warc", "Name."), integer("bytes", "Size.", bits=32), text("note", "Note.", nullable=True))
    lake.replace(old, pa.table({"warc": ["a"], "bytes": pa.array([1], pa.int32()), "note": ["n"]}), "a" * 16)
    wide = rain(
        text("warc", "Name."), integer("bytes", "Size."), text("more", "More.", nullable=True), text("must", "M.")
    )
    found = changes(lake.table(old.name).schema(), _schema(wide))
    assert {(each.column, each.kind, each.breaking) for each in found} == {
        ("bytes", "widened", False),
        ("more", "added", False),
        ("must", "missing", True),
        ("note", "removed", True),
    }
    version = lake.version(old.name)
    rows = pa.table({"warc": ["b"], "bytes": [2], "more": ["m"], "must": ["x"]})
    with pytest.raises(
        WatershedError, match=r"bytes is widened from integer to long\); dclm\.documents is made from it"
    ):
        lake.replace(wide, rows, "b" * 16)
    assert lake.version(old.name) == version
    added = rain(*old.columns, text("more", "More.", nullable=True))
    lake.replace(
        added, pa.table({"warc": ["b"], "bytes": pa.array([2], pa.int32()), "note": ["n"], "more": ["m"]}), "b" * 16
    )
    assert lake.read(old.name).column_names == ["warc", "bytes", "note", "more"]


def _schema(contract: Contract):
    from deltalake import Schema

    return Schema.from_arrow(contract.schema)

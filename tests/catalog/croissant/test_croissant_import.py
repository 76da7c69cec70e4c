"""Croissant files of others: row for row what mlcroissant reads, and hostile ones refused."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import mlcroissant as mlc
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from made_croissants import MAKERS, made

from catalog.cards.croissant.importing import read_croissant, write_parquet
from catalog.cards.croissant.rows import json_values
from catalog.errors import WatershedError


def plain(value: Any) -> Any:
    """A value of either reader: text for bytes, None for NaN, whole seconds for times."""
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(each) for each in value]
    if isinstance(value, bytes):
        return value.decode()
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "isoformat"):
        moment = pd.Timestamp(value)
        return (moment if moment.tzinfo else moment.tz_localize("UTC")).isoformat()
    return value.item() if isinstance(value, np.generic) else value


def by_mlcroissant(path: Path) -> dict[str, list[dict[str, Any]]]:
    data_set = mlc.Dataset(jsonld=path)
    return {
        each.id: [
            {key.removeprefix(f"{each.id}/"): plain(value) for key, value in row.items()}
            for row in data_set.records(each.id)
        ]
        for each in data_set.metadata.record_sets
    }


@pytest.mark.parametrize("name", MAKERS)
def test_rows_are_those_that_mlcroissant_reads(name: str, tmp_path: Path) -> None:
    path = made(name, tmp_path)
    ours = {
        each.name: [{key: plain(value) for key, value in row.items()} for row in each.rows.to_pylist()]
        for each in read_croissant(path).record_sets
    }
    theirs = by_mlcroissant(path)
    assert ours.keys() == theirs.keys()
    for record_set, rows in theirs.items():
        assert rows
        assert ours[record_set] == rows, record_set


def test_what_is_read_has_types_keys_and_licences(tmp_path: Path) -> None:
    assert len(MAKERS) >= 12
    found = read_croissant(made("csv-1.1", tmp_path))
    assert found.licences == ("https://spdx.org/licenses/CC-BY-4.0.html",)
    (rows,) = found.record_sets
    assert [str(type_) for type_ in rows.rows.schema.types] == [
        "string",
        "int64",
        "double",
        "bool",
        "timestamp[us, tz=UTC]",
    ]
    assert (rows.key, rows.rows.column("age").to_pylist()) == (("name",), [36, None, 4])


def change(path: Path, **changes: Any) -> Path:
    found = json.loads(path.read_text()) | changes
    path.write_text(json.dumps(found))
    return path


def test_files_outside_the_folder_wrong_digests_and_the_web_are_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("name,age,fare,survived,day\nJane,1,1,True,2026-01-01\n")
    path = made("csv-1.0", tmp_path)
    kept = json.loads(path.read_text())["distribution"][0]
    for address, message in (
        ("../secret.csv", "leaves the folder"),
        (str(secret), "leaves the folder"),
        ("https://lake.example/a.csv", "not a file beside"),
        ("absent.csv", "does not exist"),
    ):
        change(path, distribution=[{**kept, "contentUrl": address}])
        with pytest.raises(WatershedError, match=message):
            read_croissant(path)
    change(path, distribution=[{**kept, "sha256": "0" * 64}])
    with pytest.raises(WatershedError, match="has the sha256"):
        read_croissant(path)
    (tmp_path / "csv-1.0" / "link.csv").symlink_to(secret)
    change(path, distribution=[{**kept, "contentUrl": "link.csv"}])
    with pytest.raises(WatershedError, match="leaves the folder"):
        read_croissant(path)


def test_members_of_archives_are_read_without_unpacking(tmp_path: Path) -> None:
    path = made("zip", tmp_path)
    before = sorted(each.name for each in tmp_path.rglob("*"))
    read_croissant(path)
    assert sorted(each.name for each in tmp_path.rglob("*")) == before
    (tmp_path / "zip" / "texts.zip").write_bytes(b"no archive")
    found = json.loads(path.read_text())
    found["distribution"][0].pop("sha256")
    change(path, **found)
    with pytest.raises(WatershedError, match="not an archive"):
        read_croissant(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recordSet": None}, "no recordSet"),
        ({"distribution": []}, "no resource has the @id"),
        (
            {"recordSet": [{"@id": "r", "field": [{"@id": "r/a", "source": {"recordSet": {"@id": "r"}}}]}]},
            "from itself",
        ),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = change(made("csv-1.0", tmp_path), **changes)
    with pytest.raises(WatershedError, match=message):
        read_croissant(path)


def test_a_value_of_another_type_names_the_field(tmp_path: Path) -> None:
    path = made("tsv", tmp_path)
    content = (tmp_path / "tsv" / "cities.tsv").read_text().replace("1300000", "many")
    (tmp_path / "tsv" / "cities.tsv").write_text(content)
    found = json.loads(path.read_text())
    found["distribution"][0].pop("sha256")
    change(path, **found)
    with pytest.raises(WatershedError, match="cities/people: 'many' is not cr:Int64"):
        read_croissant(path)
    shutil.rmtree(tmp_path / "tsv")
    with pytest.raises(WatershedError, match="No such file"):
        read_croissant(path)


def test_json_paths() -> None:
    value = {"a": [{"b": 1}, {"b": 2, "c": {"d e": 3}}]}
    assert json_values(value, "$.a[*].b") == json_values(value, "$.a.b") == [1, 2]
    assert json_values(value, "$.a[1].c['d e']") == [3]
    assert json_values(value, "$.x") == []
    for path in ("$..b", "$.a[?(@.b)]", "$.a[-1]"):
        with pytest.raises(ValueError, match="names"):
            json_values(value, path)


def test_record_sets_become_parquet_files_with_their_descriptions(tmp_path: Path) -> None:
    found = read_croissant(made("several", tmp_path))
    written = write_parquet(found, tmp_path / "out")
    assert [path.name for path, _ in written] == ["movies.parquet", "ratings.parquet"]
    for path, record_set in written:
        assert pq.read_table(path).equals(record_set.rows)
        assert pq.read_schema(path).field(0).metadata[b"comment"] == b""
    with pytest.raises(WatershedError, match="exists already"):
        write_parquet(found, tmp_path / "out")

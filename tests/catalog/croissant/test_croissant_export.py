"""Versions of tables as Croissant 1.1 data sets, read back by mlcroissant, the reference implementation."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from small_lake import good_rows, settings_in, write_rows

from benchmarks.croissant_round_trip import difference, read_by_mlcroissant, read_by_us
from catalog.cards.croissant.export import Exported, export_croissant
from catalog.cards.croissant.metadata import CONFORMS, semantic_version
from catalog.errors import WatershedError
from catalog.history import commits
from catalog.lake import Lake
from catalog.licences.inherited import licences_of
from catalog.tables import CONTRACTS

TABLES = ("dclm.documents", "dclm.measurements", "dclm.verdicts", "models.batches", "tulu.rows", "dclm.scores")
"""Tables with every type of the contracts: nested lists, maps, bytes, times, and nulls beside large integers."""
LARGE = 2**62 + 1
"""An integer that no floating-point number is."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    rows = {name: good_rows()[name] for name in TABLES}
    rows["dclm.documents"][0] |= {"text_hash": LARGE, "minhash": bytes(range(256)), "text": 'a\x00b é 日本 "quoted"\n'}
    rows["dclm.documents"][1] |= {"text_hash": None}
    rows["tulu.rows"][0] |= {"licence": "cc-by-nc-4.0"}
    settings = write_rows(settings_in(tmp_path_factory.mktemp("lake")), rows)
    return Lake.of(settings)


def compare(lake: Lake, exported: Exported) -> None:
    for reader in (read_by_mlcroissant, read_by_us):
        assert difference(lake, exported, reader(exported.folder)) == "", reader.__name__


@pytest.mark.parametrize("name", TABLES)
def test_mlcroissant_reads_the_rows_of_the_table(lake: Lake, name: str, tmp_path: Path) -> None:
    exported = export_croissant(lake, CONTRACTS[name], tmp_path / "out")
    assert exported.rows == lake.read(name).num_rows > 0
    compare(lake, exported)


def test_lineage_and_licences_are_those_of_the_catalog(lake: Lake, tmp_path: Path) -> None:
    contract = CONTRACTS["dclm.scores"]
    export_croissant(lake, contract, tmp_path / "out")
    found = json.loads((tmp_path / "out" / "croissant.json").read_text())
    assert found["conformsTo"] == CONFORMS
    upstream = [each["@id"].removeprefix("urn:watershed:").split("@")[0] for each in found["prov:wasDerivedFrom"]]
    assert upstream == list(contract.upstream)
    documents = next(each["@id"] for each in found["prov:wasDerivedFrom"] if "dclm.documents" in each["@id"])
    assert documents == f"urn:watershed:dclm.documents@{lake.version('dclm.documents')}"
    fields = {each["name"]: each for each in found["recordSet"][0]["field"]}
    for column in contract.columns:
        derived = [
            each["@id"].removeprefix("urn:watershed:") for each in fields[column.name].get("prov:wasDerivedFrom", [])
        ]
        assert derived == list(column.derived_from)
        assert fields[column.name]["description"] == column.description
    assert [each["name"] for each in found["usageInfo"]] == [each.id for each in licences_of(contract.name, CONTRACTS)]
    assert found["prov:wasGeneratedBy"]["watershed:fingerprint"] == ["f" * 16]


def test_a_licence_that_forbids_commercial_use_is_a_prohibition(lake: Lake, tmp_path: Path) -> None:
    export_croissant(lake, CONTRACTS["tulu.rows"], tmp_path / "out")
    found = json.loads((tmp_path / "out" / "croissant.json").read_text())
    offers = {each["name"]: each for each in found["usageInfo"]}
    forbidden = [each["odrl:action"]["@id"] for each in offers["CC-BY-NC-4.0"]["odrl:prohibition"]]
    asked = [each["odrl:action"]["@id"] for each in offers["CC-BY-NC-4.0"]["odrl:permission"]["odrl:duty"]]
    assert (forbidden, asked) == (["cc:CommercialUse"], ["cc:Attribution"])
    assert "https://spdx.org/licenses/CC-BY-NC-4.0.html" in found["license"]


def test_removed_files_never_appear_and_every_version_is_itself(tmp_path: Path) -> None:
    contract = CONTRACTS["dclm.scores"]
    rows = good_rows()["dclm.scores"]
    lake = Lake.of(write_rows(settings_in(tmp_path), {"dclm.scores": rows}))
    first = lake.version("dclm.scores")
    lake.replace(contract, pa.Table.from_pylist([{**rows[0], "score": 0.75}], schema=contract.schema), "e" * 16)
    lake.append(contract, pa.Table.from_pylist([{**rows[1], "score": 0.25}], schema=contract.schema), "d" * 16)
    last = lake.version("dclm.scores")
    assert first is not None and last is not None
    for version, scores in ((first, [0.0, 0.4, 1.0]), (last - 1, [0.75]), (last, [0.25, 0.75])):
        exported = export_croissant(lake, contract, tmp_path / f"v{version}", version)
        assert sorted(row["score"] for row in read_by_mlcroissant(exported.folder)) == pytest.approx(scores)
        # A stray file beside those of the version is not one of its files.
        stray = exported.folder / "data" / "stray.parquet"
        stray.write_bytes((exported.folder / "data" / "part-00000.parquet").read_bytes())
        assert len(read_by_mlcroissant(exported.folder)) == len(scores)
    history = commits(lake, "dclm.scores")
    versions = [semantic_version(history, version) for version in (first, last - 1, last)]
    assert versions == ["1.1.0", "2.0.0", "2.1.0"]


def test_an_empty_table_and_many_files(lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.cards.croissant.export.PART_ROWS", 1)
    monkeypatch.setattr("catalog.cards.croissant.export.BATCH_ROWS", 1)
    exported = export_croissant(lake, CONTRACTS["dclm.documents"], tmp_path / "many")
    assert exported.files == exported.rows == 6
    compare(lake, exported)
    empty = Lake.of(write_rows(settings_in(tmp_path), {"dclm.scores": []}))
    exported = export_croissant(empty, CONTRACTS["dclm.scores"], tmp_path / "empty")
    assert (exported.rows, exported.files, read_by_mlcroissant(exported.folder)) == (0, 1, [])


def test_the_comparison_sees_a_difference(lake: Lake, tmp_path: Path) -> None:
    exported = export_croissant(lake, CONTRACTS["dclm.scores"], tmp_path / "out")
    rows = read_by_mlcroissant(exported.folder)
    assert "score" in difference(lake, exported, [{**rows[0], "score": 0.123}, *rows[1:]])
    assert difference(lake, exported, rows[1:]) == "2 rows, not 3"


def test_what_cannot_be_exported_is_said(lake: Lake, tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match="has no version 99"):
        export_croissant(lake, CONTRACTS["dclm.scores"], tmp_path / "out", 99)
    (tmp_path / "kept.txt").write_text("kept")
    with pytest.raises(WatershedError, match="not an export"):
        export_croissant(lake, CONTRACTS["dclm.scores"], tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_times_keep_their_zone(lake: Lake, tmp_path: Path) -> None:
    exported = export_croissant(lake, CONTRACTS["dclm.documents"], tmp_path / "out")
    times = {row["crawled_at"] for row in read_by_mlcroissant(exported.folder)}
    assert times == {pd.Timestamp(datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC))}

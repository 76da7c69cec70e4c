"""The gate on good tables and on tables with something planted in them, by both engines."""

from __future__ import annotations

import datetime
import math
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from catalog.contract import (
    Column,
    Contract,
    Expectation,
    between,
    filled,
    matches,
    mostly,
    one_of,
    references,
    row_count,
    warned,
)
from catalog.creation import constraint_sql
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.sql.engine import open_engine
from catalog.tables import CONTRACTS
from quality.expectations import Reading, check_table
from quality.gate import ENGINES, check
from quality.outcome import Outcome
from quality.suite import check_table_with_gx, expectation_suite
from tests.small_lake import CURATED, doc_id, good_rows, plant, settings_in, write_lake, write_rows


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """A lake with the tables from a crawl to a forecast."""
    return write_lake(tmp_path, CURATED)


def failures(settings: Settings, *tables: str) -> dict[str, Outcome]:
    """The outcomes that failed, by label."""
    return {outcome.label: outcome for outcome in check(settings, tables) if not outcome.passed}


def test_good_tables_pass_every_expectation_of_every_contract(tmp_path: Path) -> None:
    outcomes = check(write_lake(tmp_path))
    assert [outcome.line() for outcome in outcomes if not outcome.passed] == []
    for name, contract in CONTRACTS.items():
        labels = [outcome.label for outcome in outcomes if outcome.table == name]
        assert labels == ["schema", *(expectation.label for expectation in contract.all_expectations()), "storage"]


def test_a_null_key_is_found_and_its_row_named(lake: Settings) -> None:
    plant(lake, "dclm.documents", {4: {"doc_id": None}})
    failed = failures(lake, "dclm.documents")["doc_id__not_be_null"]
    assert (failed.observed, failed.violations) == ("1 null in 6 rows", 1)
    (example,) = failed.examples
    assert example["doc_id"] is None
    assert example["record_offset"] == 4000, "a row without a key is named by its other columns"


def test_a_score_of_two_is_found_and_its_row_named(lake: Settings) -> None:
    plant(lake, "dclm.scores", {1: {"score": 2.0}})
    failed = failures(lake, "dclm.scores")
    assert failed.keys() == {"score__be_between"}
    assert failed["score__be_between"].examples == ({"doc_id": doc_id(2), "score": 2.0},)
    line = failed["score__be_between"].line()
    for part in ("dclm.scores", "score is at least 0 and at most 1", "0.0 to 2.0, 1 of 3 values outside", doc_id(2)):
        assert part in line


def test_an_unknown_language_is_found_and_its_row_named(lake: Settings) -> None:
    plant(lake, "dclm.documents", {2: {"language": "xx"}})
    failed = failures(lake, "dclm.documents")
    assert failed.keys() == {"language__be_in_set"}
    assert failed["language__be_in_set"].examples == ({"doc_id": doc_id(2), "language": "xx"},)


def test_a_key_used_twice_shows_both_rows(lake: Settings) -> None:
    plant(lake, "dclm.documents", {3: {"doc_id": doc_id(0)}})
    failed = failures(lake, "dclm.documents")["doc_id__be_unique"]
    assert failed.violations == 2
    assert [example["record_offset"] for example in failed.examples] == [0, 3000]


def test_a_reference_to_a_missing_row_is_found(lake: Settings) -> None:
    plant(lake, "dclm.mixture", {0: {"doc_id": doc_id(77)}})
    failed = failures(lake, "dclm.mixture")["doc_id__references"]
    assert failed.observed == "1 of 3 values not found there"
    assert failed.examples == ({"doc_id": doc_id(77)},)


def test_a_reference_to_a_table_that_is_not_made_fails(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.scores", "dclm.documents"))
    failed = failures(settings, "dclm.scores")
    assert failed["model_id__references"].observed == "that dclm.quality_model is not made yet"


def test_no_more_than_five_rows_are_shown(lake: Settings) -> None:
    plant(lake, "dclm.documents", {number: {"state": "odd"} for number in range(6)})
    failed = failures(lake, "dclm.documents")["state__be_in_set"]
    assert failed.violations == 6
    assert [example["doc_id"] for example in failed.examples] == [doc_id(number) for number in range(5)]


def test_a_missing_column_fails_by_name_and_the_rest_is_still_checked(lake: Settings) -> None:
    plant(lake, "dclm.scores", {0: {"score": 2.0}}, drop=("bucket",))
    failed = failures(lake, "dclm.scores")
    assert failed.keys() == {"bucket__schema", "bucket__not_be_null", "bucket__be_between", "score__be_between"}
    assert failed["bucket__schema"].observed == "that bucket is missing"


def test_a_column_of_another_type_fails_by_name(lake: Settings) -> None:
    path = Lake.of(lake).path("dclm.scores")
    shutil.rmtree(path)
    rows = [{**row, "score": str(row["score"]), "bucket": float(row["bucket"])} for row in good_rows()["dclm.scores"]]
    write_deltalake(path, pa.Table.from_pylist(rows))
    failed = failures(lake, "dclm.scores")
    assert failed["score__schema"].observed == "that score is string, not double"
    assert failed["score__be_between"].observed == "that score is string, not double"
    assert failed["bucket__schema"].observed == "that bucket is double, not integer"
    assert "bucket__be_between" not in failed, "numbers of another width still compare"


def test_a_column_that_is_not_in_the_contract_fails_by_name(lake: Settings) -> None:
    DeltaTable(Lake.of(lake).path("ladder.fits")).alter.add_columns(_note())
    assert failures(lake, "ladder.fits")["note__schema"].observed == "that note is not in the contract"


def _note() -> Any:
    from deltalake.schema import Field, PrimitiveType

    return [Field("note", PrimitiveType("string"))]


def test_an_empty_table_fails_if_rows_are_required(lake: Settings) -> None:
    write_rows(lake, {"dclm.scores": []})
    assert failures(lake, "dclm.scores").keys() == {"row_count_to_be_between"}


def test_tables_that_are_not_made_are_skipped_unless_they_are_named(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.pool",))
    assert {outcome.table for outcome in check(settings)} == {"dclm.pool"}
    assert {outcome.table for outcome in check(settings, ["dclm"])} == {"dclm.pool"}
    with pytest.raises(WatershedError, match=r"dclm\.shards is not made yet"):
        check(settings, ["dclm.pool", "dclm.shards"])


def test_a_lake_without_tables_and_an_unknown_name_are_refused(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    with pytest.raises(WatershedError, match="no table of the catalog is made here"):
        check(settings)
    with pytest.raises(WatershedError, match=r"no table is called 'dclm\.nope'"):
        check(settings, ["dclm.nope"])


@pytest.mark.parametrize("engine", ENGINES)
def test_a_table_whose_files_are_gone_or_broken_fails_and_they_are_named(engine: str, lake: Settings) -> None:
    (stored,) = Path(Lake.of(lake).path("dclm.scores")).glob("*.parquet")
    stored.write_bytes(b"not parquet")
    (outcome,) = check(lake, ["dclm.scores"], engine)
    assert (outcome.label, outcome.failed) == ("storage", True)
    assert outcome.observed.startswith(f"{stored} has 11 bytes, not the ")
    stored.unlink()
    (outcome,) = check(lake, ["dclm.scores"], engine)
    assert outcome.observed.startswith(f"{stored} is missing; behind it: 3 rows of dclm.scores")


GAUGE = Contract(
    name="dclm.tokenizer",
    description="Every kind of expectation in one table, under the name of another.",
    columns=(
        Column(name="id", type=pa.string(), description="Key."),
        Column(name="day", type=pa.int64(), description="Key."),
        Column(name="whole", type=pa.int64(), nullable=True, description="A whole number."),
        Column(name="real", type=pa.float64(), nullable=True, description="A real number."),
        Column(name="low", type=pa.float32(), nullable=True, description="A real number with one bound."),
        Column(name="word", type=pa.string(), nullable=True, description="A word."),
        Column(name="flag", type=pa.bool_(), nullable=True, description="Yes or no."),
        Column(name="at", type=pa.timestamp("us", tz="UTC"), description="A time."),
        Column(name="parts", type=pa.list_(pa.string()), description="A list."),
        Column(name="warc", type=pa.string(), nullable=True, description="A reference."),
        Column(name="link", type=pa.string(), nullable=True, description="A reference in somebody else's data."),
        Column(name="share", type=pa.float64(), nullable=True, description="A number in somebody else's data."),
    ),
    primary_key=("id", "day"),
    named_by=("word",),
    expectations=(
        row_count(2),
        between("whole", 1, 2**53),
        between("real", -1, 1),
        between("low", 0),
        mostly(between("day", 1, 4), 0.5),
        one_of("word", ("it's", "rain", "é\n")),
        one_of("flag", (True,)),
        matches("id", "^[a-z]+$"),
        references("warc", "dclm.pool.warc"),
        Expectation(name="expect_column_values_to_be_unique", column="whole"),
        mostly(matches("word", "r"), 0.3),
        warned(references("link", "dclm.pool.warc")),
        warned(filled("link")),
        warned(between("share", 0, 1)),
    ),
)
GOOD = {
    "id": "a",
    "day": 1,
    "whole": None,
    "real": None,
    "low": None,
    "word": None,
    "flag": None,
    "at": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "parts": [],
    "warc": None,
    "link": "crawl-00000.warc.gz",
    "share": None,
}


def both_engines(settings: Settings, rows: list[dict[str, Any]]) -> tuple[list[Outcome], list[Outcome]]:
    """The outcomes of DuckDB and of Great Expectations for `rows` under the contract GAUGE."""
    lake = Lake.of(settings)
    loose = pa.schema([field.with_nullable(True) for field in GAUGE.schema])
    shutil.rmtree(lake.path(GAUGE.name), ignore_errors=True)
    write_deltalake(lake.path(GAUGE.name), pa.Table.from_pylist([GOOD | row for row in rows], schema=loose))
    reading = Reading.of(open_engine(lake), lake, GAUGE)
    return check_table(reading), check_table_with_gx(reading)


def comparable(outcome: Outcome) -> tuple:
    """What the two engines must agree on; examples as text, since NaN is not equal to itself."""
    return (outcome.label, outcome.passed, outcome.violations, outcome.rows, outcome.observed, str(outcome.examples))


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        ([{}, {"id": "b", "whole": 2**53, "real": 1, "low": 9e9, "word": "rain", "flag": True}], set()),
        ([], {"row_count_to_be_between"}),
        ([{"id": None}, {"day": None}], {"id__not_be_null", "day__not_be_null"}),
        ([{"at": None, "parts": None}, {"id": "b"}], {"at__not_be_null", "parts__not_be_null"}),
        ([{}, {}, {"id": "b"}], {"compound_columns_to_be_unique"}),
        ([{"whole": 0}, {"id": "b", "whole": 2**53 + 2}], {"whole__be_between"}),
        ([{"whole": 7}, {"id": "b", "whole": 7}], {"whole__be_unique"}),
        ([{"real": 1.01}, {"id": "b", "real": -math.inf}], {"real__be_between"}),
        ([{"real": math.nan}, {"id": "b", "low": math.nan}], {"real__be_between", "low__be_between"}),
        ([{"word": "r"}, {"id": "b", "word": ""}], {"word__be_in_set"}),
        ([{"word": "é\n"}, {"id": "b", "word": "it's"}], {"word__match_regex"}),
        ([{"flag": False}, {"id": "b"}], {"flag__be_in_set"}),
        ([{"id": "a\n"}, {"id": "A"}], {"id__match_regex"}),
        ([{"day": 9}, {"day": 2}], set()),
        ([{"day": 9}, {"day": 8}, {"day": 3}], {"day__be_between"}),
        ([{"warc": "nowhere.warc.gz"}, {"id": "b", "warc": "crawl-00000.warc.gz"}], {"warc__references"}),
        ([{"link": "nowhere.warc.gz"}, {"id": "b", "link": None}], {"link__references", "link__not_be_null"}),
        ([{"share": 2.0}, {"id": "b", "share": 0.5}], {"share__be_between"}),
    ],
)
def test_both_engines_agree_on_what_is_broken_and_by_which_rows(
    gauged: Settings, rows: list[dict[str, Any]], broken: set[str]
) -> None:
    by_duckdb, by_gx = both_engines(gauged, rows)
    assert {outcome.label for outcome in by_duckdb if not outcome.passed} == broken
    assert [comparable(outcome) for outcome in by_duckdb] == [comparable(outcome) for outcome in by_gx]


@pytest.fixture(scope="module")
def gauged(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake with only the pool, which the references name."""
    return write_lake(tmp_path_factory.mktemp("gauged"), ("dclm.pool",))


def test_a_warning_does_not_fail_and_names_all_its_rows(gauged: Settings) -> None:
    rows = [{"id": name, "word": "rain", "link": "nowhere"} for name in "abcdefgh"]
    by_duckdb, by_gx = both_engines(gauged, rows)
    assert [outcome.label for outcome in by_duckdb if outcome.failed] == []
    (found,) = [outcome for outcome in by_duckdb if outcome.warned]
    assert [example["id"] for example in found.examples] == list("abcdefgh")
    assert found.examples[0] == {"id": "a", "day": 1, "word": "rain", "link": "nowhere"}
    assert [comparable(outcome) for outcome in by_duckdb] == [comparable(outcome) for outcome in by_gx]


def test_a_warning_is_not_a_constraint_of_the_table() -> None:
    assert constraint_sql(between("share", 0, 1)) is not None
    assert constraint_sql(warned(between("share", 0, 1))) is None


def test_both_engines_agree_on_the_catalogs_own_tables(lake: Settings) -> None:
    plant(lake, "dclm.documents", {2: {"language": "xx", "doc_id": None}, 3: {"language_score": math.nan}})
    plant(lake, "dclm.scores", {1: {"score": 2.0}}, drop=("bucket",))
    names = ["dclm.documents", "dclm.scores", "dclm.spans", "evals.results"]
    by_duckdb, by_gx = check(lake, names), check(lake, names, engine="gx")
    assert any(not outcome.passed for outcome in by_duckdb)
    assert [comparable(outcome) for outcome in by_duckdb] == [comparable(outcome) for outcome in by_gx]


def test_the_suite_is_one_of_great_expectations_and_has_every_expectation() -> None:
    suite = expectation_suite(GAUGE, {"dclm.pool.warc": ["a"]})
    assert len(suite.expectations) == len(GAUGE.all_expectations())
    assert suite.to_json_dict()["name"] == GAUGE.name
    assert len(expectation_suite(GAUGE).expectations) == len(GAUGE.all_expectations()) - 2, "without references"


def test_an_unknown_expectation_is_refused_by_name(lake: Settings) -> None:
    odd = Contract(
        name="dclm.pool",
        description="Odd.",
        columns=CONTRACTS["dclm.pool"].columns,
        primary_key=("warc",),
        expectations=(Expectation(name="expect_the_unexpected", column="warc"),),
    )
    reading = Reading.of(open_engine(Lake.of(lake)), Lake.of(lake), odd)
    for checker in (check_table, check_table_with_gx):
        with pytest.raises(WatershedError, match="expect_the_unexpected"):
            checker(reading)

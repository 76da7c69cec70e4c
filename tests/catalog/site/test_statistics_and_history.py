"""Statistics of columns against numpy, what a log says about versions, and what is taken for personal data."""

from __future__ import annotations

import math
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
from deltalake import Field
from deltalake.schema import PrimitiveType
from small_lake import good_rows, settings_in, write_rows

from catalog.history import commits
from catalog.lake import Lake
from catalog.personal import masked, personal_columns
from catalog.sql.query import connect
from catalog.statistics import BINS, table_statistics
from catalog.tables import CONTRACTS

SCORES = CONTRACTS["dclm.scores"]


def scores(count: int, seed: int = 0, begin: int = 0) -> list[dict[str, object]]:
    draw = random.Random(seed)
    topics = ("rivers", "lakes", None)
    return [
        {"doc_id": f"{number:032x}", "model_id": "m0", "score": draw.random() ** 3, "bucket": draw.randrange(10)}
        | {"topic": draw.choice(topics)}
        for number in range(begin, begin + count)
    ]


def test_statistics_are_those_of_numpy(tmp_path: Path) -> None:
    rows = scores(2000)
    settings = write_rows(settings_in(tmp_path), {"dclm.scores": rows})
    with connect(settings) as connection:
        found = table_statistics(connection, Lake.of(settings), SCORES, {})
    assert found.rows == found.read == 2000
    values = np.array([row["score"] for row in rows])
    score = found.columns["score"]
    assert (score.low, score.high, score.nulls) == (values.min(), values.max(), 0)
    assert math.isclose(score.mean or 0, values.mean())
    counts, _ = np.histogram(values, BINS, (values.min(), values.max()))
    assert sum(score.bins) == 2000
    # A value on the border of two bars may be in either, as each rounds it.
    assert sum(abs(one - other) for one, other in zip(score.bins, counts, strict=True)) <= 2
    topic = found.columns["topic"]
    assert topic.nulls == sum(row["topic"] is None for row in rows)
    assert dict(topic.values) == {name: sum(row["topic"] == name for row in rows) for name in ("rivers", "lakes")}
    assert (found.columns["doc_id"].distinct, topic.distinct) == (2000, 2)


def test_nothing_of_a_hidden_column_is_given_but_counts_and_lengths(tmp_path: Path) -> None:
    rows = [{**row, "topic": f"Jane {row['bucket']}"} for row in scores(50)]
    settings = write_rows(settings_in(tmp_path), {"dclm.scores": rows})
    with connect(settings) as connection:
        hidden = {"topic": "name", "score": "measure"}
        found = table_statistics(connection, Lake.of(settings), SCORES, hidden).columns
    assert found["topic"].values == () and (found["topic"].low, found["topic"].high) == (6, 6)
    assert (found["score"].low, found["score"].high, found["score"].bins) == (None, None, ())


def test_a_large_table_is_described_by_files_drawn_at_random(tmp_path: Path) -> None:
    settings = write_rows(settings_in(tmp_path), {"dclm.scores": scores(10)})
    lake = Lake.of(settings)
    for part in range(1, 5):
        table = pa.Table.from_pylist(scores(10, part, 10 * part), schema=SCORES.schema)
        lake.append(SCORES, table, "f" * 16)
    with connect(settings) as connection:
        found = table_statistics(connection, lake, SCORES, {}, rows=15)
        again = table_statistics(connection, lake, SCORES, {}, rows=15)
    assert (found.rows, found.read) == (50, 20)
    assert found == again


def test_the_log_says_what_each_version_changed(tmp_path: Path) -> None:
    rows = good_rows()["dclm.scores"]
    settings = write_rows(settings_in(tmp_path), {"dclm.scores": rows})
    lake = Lake.of(settings)
    lake.append(SCORES, pa.Table.from_pylist(scores(5, begin=100), schema=SCORES.schema), "f" * 16)
    lake.replace(SCORES, pa.Table.from_pylist(rows[:1], schema=SCORES.schema), "e" * 16)
    lake.table("dclm.scores").alter.add_columns([Field("extra", PrimitiveType("long"), nullable=True)])
    found = commits(lake, "dclm.scores")
    assert [each.version for each in found] == list(range(len(found)))[::-1]
    told = {each.version: (each.rows, each.added_rows, each.removed_rows) for each in found}
    last = found[0].version
    assert told[last - 1] == (1, 1, 8)
    assert told[last - 2] == (8, 5, 0)
    assert (found[0].columns, found[0].summary) == (("+extra",), "columns +extra")
    assert sum(each.added_rows - each.removed_rows for each in found) == lake.read("dclm.scores").num_rows == 1


def test_personal_data_is_found_by_pattern_and_followed_down_lineage() -> None:
    for text, safe in (
        ("mail a.b+c@lake.example.org now", "mail [e-mail address] now"),
        ("from 10.0.0.255, not 1.2.3 or 999.1.1.1", "from [IP address], not 1.2.3 or 999.1.1.1"),
        ("2001:db8:0:0:1:0:0:1", "[IP address]"),
        ("call +1 415 555 0100", "call [telephone number]"),
        ("key sk-abcdefghijklmnop1234", "key [key]"),
        ("3.NF.A.1 at 2026-01-02 03:04:05, 1,234,567 rows", "3.NF.A.1 at 2026-01-02 03:04:05, 1,234,567 rows"),
    ):
        assert masked(text) == safe
    hidden = personal_columns(CONTRACTS["dclm.documents"], CONTRACTS)
    assert {"url", "text"} <= hidden.keys() and "doc_id" not in hidden
    derived = {
        f"{name}.{column}"
        for name, contract in CONTRACTS.items()
        for column in personal_columns(contract, CONTRACTS)
        if not contract.column(column).personal_data
    }
    for place in derived:
        table, _, column = place.rpartition(".")
        assert CONTRACTS[table].column(column).derived_from

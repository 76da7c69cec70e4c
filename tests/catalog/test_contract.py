"""A contract refuses what does not fit it, and implies expectations that it does not declare."""

from __future__ import annotations

import re

import pyarrow as pa
import pytest

from catalog.contract import Column, Contract, Expectation, between, mostly, one_of
from catalog.creation import constraint_sql
from catalog.errors import WatershedError
from catalog.tables import CONTRACTS, contract

RAIN = Contract(
    name="weather.rain",
    description="Rain, a row per gauge and day.",
    columns=(
        Column(name="gauge", type=pa.string(), description="The gauge."),
        Column(name="day", type=pa.int32(), description="Day of the year, 1..366."),
        Column(name="millimetres", type=pa.float64(), nullable=True, description="Rain of the day."),
    ),
    primary_key=("gauge", "day"),
    expectations=(between("millimetres", 0, 2000), one_of("day", tuple(range(1, 367)))),
)


def rain(**columns: pa.Array) -> pa.Table:
    """Two rows that fit, with the given columns replaced or added."""
    return pa.table({"gauge": ["a", "a"], "day": [1, 2], "millimetres": [0.5, None], **columns})


def test_columns_are_put_into_the_order_and_types_of_the_contract() -> None:
    shuffled = rain().select(["millimetres", "gauge", "day"])
    assert RAIN.conform(shuffled).schema == RAIN.schema


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        (rain().drop_columns(["day"]), "missing day"),
        (rain(hour=pa.array([1, 2])), "unknown hour"),
        (rain(day=pa.array(["one", "two"])), "int32|Failed"),
        (rain(day=pa.array([1, 2**40])), "not in range|out of bounds|overflow"),
        (rain(gauge=pa.array(["a", None])), "nulls? .*gauge|gauge.* null"),
    ],
)
def test_the_error_for_rows_that_do_not_fit_names_the_table_and_the_problem(rows: pa.Table, problem: str) -> None:
    with pytest.raises(WatershedError, match=r"rows for weather\.rain") as refused:
        RAIN.conform(rows)
    assert re.search(problem, refused.value.cause)


def test_required_columns_and_the_primary_key_imply_expectations() -> None:
    labels = [expectation.label for expectation in RAIN.all_expectations()]
    assert labels[:3] == ["gauge__not_be_null", "day__not_be_null", "compound_columns_to_be_unique"]
    assert "millimetres__not_be_null" not in labels


def test_a_contract_that_uses_a_column_it_lacks_is_refused() -> None:
    with pytest.raises(WatershedError, match="uses the column 'hour'"):
        Contract(name="a.b", description="", columns=RAIN.columns, primary_key=("hour",))


def test_bounds_and_sets_become_constraints_but_shares_do_not() -> None:
    assert constraint_sql(between("x", 0, 1)) == "x IS NULL OR (x >= 0 AND x <= 1)"
    assert constraint_sql(one_of("x", ("it's", "b"))) == "x IS NULL OR x IN ('it''s', 'b')"
    assert constraint_sql(mostly(between("x", 0, 1), 0.9)) is None
    assert constraint_sql(Expectation(name="expect_column_values_to_be_unique", column="x")) is None


def test_every_table_of_the_catalog_is_fully_described() -> None:
    for name, each in CONTRACTS.items():
        assert re.fullmatch(r"[a-z]+\.[a-z_]+", name)
        assert each.description.endswith(".")
        for column in each.columns:
            assert column.description.strip(), f"{name}.{column.name}"
        labels = [expectation.label for expectation in each.all_expectations()]
        assert len(labels) == len(set(labels)), f"{name}: two expectations share a label"


def test_upstream_tables_columns_and_references_exist() -> None:
    for name, each in CONTRACTS.items():
        assert set(each.upstream) <= CONTRACTS.keys(), name
        places = [place for column in each.columns for place in column.derived_from]
        places += [e["target"] for e in each.expectations if e.name == "references"]
        for place in places:
            table, _, column = place.rpartition(".")
            assert column in contract(table).schema.names, f"{name} refers to {place}"


def test_the_tables_form_a_graph_without_cycles() -> None:
    done: set[str] = set()
    while len(done) < len(CONTRACTS):
        ready = {name for name, each in CONTRACTS.items() if name not in done and set(each.upstream) <= done}
        assert ready, f"a cycle among {sorted(CONTRACTS.keys() - done)}"
        done |= ready


def test_the_error_for_an_unknown_table_lists_the_tables() -> None:
    with pytest.raises(WatershedError, match=r"no table is called 'dclm\.nope'") as refused:
        contract("dclm.nope")
    assert "dclm.pool" in refused.value.mend

"""Export every table of a lake as a Croissant data set, and compare what mlcroissant reads with the rows of the table.

    uv run --group test python -m benchmarks.croissant_round_trip [TABLE...]

It works on the lake of the project in the current folder, prints a line a table, and ends with 1 if one differs.
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from catalog.cards.croissant.export import METADATA, Exported, export_croissant
from catalog.cards.croissant.importing import read_croissant
from catalog.cards.croissant.metadata import nested
from catalog.lake import Lake
from catalog.settings import load_settings
from catalog.tables import CONTRACTS


def read_by_mlcroissant(folder: Path) -> list[dict[str, Any]]:
    """The rows that mlcroissant reads of the only record set of an export, by the names of their columns."""
    import mlcroissant as mlc

    data_set = mlc.Dataset(jsonld=folder / METADATA)
    assert data_set.metadata.ctx.is_v1_1()
    (records,) = data_set.metadata.record_sets
    return [{key.split("/", 1)[1]: value for key, value in row.items()} for row in data_set.records(records.id)]


def read_by_us(folder: Path) -> list[dict[str, Any]]:
    """The rows that `watershed croissant import` reads of an export."""
    (records,) = read_croissant(folder / METADATA).record_sets
    return records.rows.to_pylist()


def plain(value: Any, type_: pa.DataType) -> Any:
    """A value of a reader as Arrow gives it: text from bytes, nested values from JSON, nulls from NaN."""
    if isinstance(value, (list, np.ndarray)):
        return [plain(each, type_.value_type) for each in value]
    if value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return None
    if nested(type_):
        return json.loads(value)
    if isinstance(value, bytes) and not pa.types.is_binary(type_):
        return value.decode()
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.item() if isinstance(value, np.generic) else value


def stored(value: Any, type_: pa.DataType) -> Any:
    """A value of the table as the readers give it: nested ones after a way through JSON, NaN as null."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if value is None or not nested(type_):
        return value
    return json.loads(
        json.dumps(value, default=lambda each: each.hex() if isinstance(each, bytes) else each.isoformat())
    )


def difference(lake: Lake, exported: Exported, found: list[dict[str, Any]]) -> str:
    """The first difference between the rows `found` in an export and those of the version; empty if there is none."""
    contract = CONTRACTS[exported.table]
    table = lake.table(exported.table, exported.version).to_pyarrow_table()
    types = {field.name: field.type for field in table.schema}

    def key(row: dict[str, Any]) -> str:
        return repr([row[name] for name in contract.primary_key])

    expected = [{name: stored(value, types[name]) for name, value in row.items()} for row in table.to_pylist()]
    got = [{name: plain(value, types[name]) for name, value in row.items()} for row in found]
    if len(got) != len(expected):
        return f"{len(got):,} rows, not {len(expected):,}"
    for one, other in zip(sorted(got, key=key), sorted(expected, key=key), strict=True):
        if one != other:
            names = [name for name in other if one.get(name) != other[name]]
            return f"{key(other)}: {', '.join(names) or 'columns'}"
    return ""


def main(names: list[str]) -> int:
    """Compare the tables `names`, or all that are made; returns the exit code."""
    lake = Lake.of(load_settings())
    made = [name for name in names or CONTRACTS if lake.exists(name)]
    differing = 0
    for name in made:
        begin = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            exported = export_croissant(lake, CONTRACTS[name], Path(folder) / "out")
            found = {
                reader.__name__: difference(lake, exported, reader(exported.folder))
                for reader in (read_by_mlcroissant, read_by_us)
            }
        problems = "; ".join(f"{reader}: {problem}" for reader, problem in found.items() if problem)
        differing += bool(problems)
        print(f"{name:32} {exported.rows:>9,} rows {time.perf_counter() - begin:6.1f} s  {problems or 'equal'}")
    print(f"{len(made) - differing} of {len(made)} tables equal")
    return 1 if differing or not made else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

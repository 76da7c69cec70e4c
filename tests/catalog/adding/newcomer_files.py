"""Nine files as newcomers bring them: three each of Parquet, JSON lines and CSV, with what real files have.

Nulls, nested columns, duplicate keys, odd names of columns, mixed types, quoted line breaks, leading zeros, times.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = {
    "people": 12,
    "visits": 3,
    "numbers": 2,
    "lessons": 4,
    "odd_keys": 3,
    "events": 12,
    "shops": 12,
    "notes": 3,
    "codes": 3,
}
"""The rows of every table that is made of the files."""


def write_newcomer_files(folder: Path) -> dict[str, Path]:
    """The files, by the name of the table that they become."""
    return {
        **_parquet(folder),
        **_json_lines(folder),
        **_csv(folder),
    }


def _parquet(folder: Path) -> dict[str, Path]:
    people = pa.table(
        {
            "Id": pa.array(range(1, 13), pa.int64()),
            "First Name": [f"Ann {n}" for n in range(12)],
            "E-Mail": [f"ann{n}@example.org" if n != 3 else None for n in range(12)],
            "age": pa.array([18 + 5 * n for n in range(12)], pa.int32()),
            "address": [{"city": "Rome", "zip": f"0{n}"} if n % 2 else None for n in range(12)],
            "tags": [["a", "b"] if n else [] for n in range(12)],
        }
    )
    # The key is not unique, so that no column names a row.
    visits = pa.table(
        {
            "visit id": pa.array([1, 1, 2], pa.uint64()),
            "when": pa.array([datetime.datetime(2026, 1, day, tzinfo=datetime.UTC) for day in (1, 2, 3)]),
            "clock": pa.array([datetime.time(1, 2, 3)] * 3),
            "nothing": pa.nulls(3),
            "odd struct": [{"a b": 1, "c": "x"}] * 3,
        }
    )
    numbers = pa.table(
        {
            "ratio": pa.array([0.5, float("nan")], pa.float32()),
            "big": pa.array([2**63 + 5, 1], pa.uint64()),
            "day": pa.array([datetime.date(2026, 1, 1), None]),
            "kind": pa.array(["x", "y"]).dictionary_encode(),
            "order": [True, None],
        }
    )
    paths = {name: folder / f"{name}.parquet" for name in ("people", "visits", "numbers")}
    for table, path in zip((people, visits, numbers), paths.values(), strict=True):
        pq.write_table(table, path)
    return paths


def _json_lines(folder: Path) -> dict[str, Path]:
    # As in MathFish's metadata: a field is a text in one row and a number in another.
    lessons = [
        {"id": "l1", "metadata": {"lesson_number": 3, "unit": "A"}, "standards": [["Alignment", "3.NF"]]},
        {"id": "l2", "metadata": {"lesson_number": "3b", "unit": None}, "standards": []},
        {"id": "l3", "metadata": None, "standards": None},
        {"id": "l4", "metadata": {"unit": "B"}},
    ]
    odd_keys = [
        {"größe": 1, "a b": "x", "": True, "select": "s", "1st": {"in side": 2}},
        {"größe": 2.5, "a b": "y\nz", "": None, "select": None, "1st": {"in side": 3}},
        {"größe": None, "a b": "x", "": False, "select": "s", "1st": None},
    ]
    events = [
        {"event_id": n, "kind": "view" if n % 3 else "buy", "price": 1.5 * n, "at": f"2026-01-{n + 1:02}T10:00:00Z"}
        for n in range(12)
    ]
    paths = {}
    for name, rows in (("lessons", lessons), ("odd_keys", odd_keys), ("events", events)):
        paths[name] = folder / f"{name}.jsonl"
        paths[name].write_text("".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows), encoding="utf-8")
    return paths


def _csv(folder: Path) -> dict[str, Path]:
    shops = "id;Zip Code;rating;open;since;phone\n"
    shops += "".join(
        f"{n};0{n:04};{n % 5 + 1};{'true' if n % 2 else 'false'};2026-01-{n + 1:02};+39 06 555 01{n:02}\n"
        for n in range(12)
    )
    notes = 'Note,Note,"said, by"\n"first\nline",,"Ann ""A"""\n,second,\nthird,fourth,Bob\n'
    codes = "\ufeffcode\tvalue\n007\t1e3\n008\t-2.5\n007\t\n"
    paths = {name: folder / f"{name}.csv" for name in ("shops", "notes")} | {"codes": folder / "codes.tsv"}
    for name, text in (("shops", shops), ("notes", notes), ("codes", codes)):
        paths[name].write_bytes(text.encode())
    return paths

"""All kinds of input files give the same documents, and errors name the position in the file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalog.errors import WatershedError
from spark_jobs.curate.inputs import SCHEMA, find_sources, read_batches
from spark_jobs.demo.crawl.faults import write_faults

ROWS: list[dict[str, Any]] = [
    {"id": "a", "text": "One text.", "url": "https://a.example/", "metadata": {"n": 1}},
    {"id": "b", "text": "Zwei Texte — mit Umlauten: äöü.", "url": None, "metadata": None},
    {"id": "c", "text": "", "url": "https://c.example/", "metadata": None},
    {"id": "d", "text": None, "url": None, "metadata": {"WARC-Target-URI": "https://d.example/"}},
]


def write(path: Path, rows: list[dict[str, Any]] = ROWS) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    if path.suffix == ".gz":
        lines = gzip.compress(lines)
    elif path.suffix == ".zst":
        lines = pa.compress(lines, "zstd", asbytes=True)
    path.write_bytes(lines)
    return path


def documents(*inputs: Path) -> list[dict[str, Any]]:
    sources = find_sources([str(path) for path in inputs])
    return [row for source in sources for batch in read_batches(source) for row in batch.to_pylist()]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz", "x.jsonl.zst", "x.json", "x.ndjson.gz"])
def test_json_lines_are_read_in_every_coding(tmp_path: Path, name: str) -> None:
    found = documents(write(tmp_path / name))
    assert [row["id"] for row in found] == ["a", "b", "c", "d"]
    assert [row["text"] for row in found] == [row["text"] for row in ROWS]
    assert [row["state"] for row in found] == ["ok", "ok", "empty_text", "empty_text"]
    assert [row["url"] for row in found] == ["https://a.example/", None, "https://c.example/", "https://d.example/"]
    assert json.loads(found[0]["metadata"]) == {"n": 1}


def test_parquet_gives_the_same_documents(tmp_path: Path) -> None:
    rows = [{**row, "metadata": row["metadata"] and json.dumps(row["metadata"])} for row in ROWS[:3]]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet", row_group_size=2)
    pq.write_table(pa.table({"id": [7], "text": ["Only these."]}), tmp_path / "y.parquet")
    found = documents(tmp_path / "x.parquet", tmp_path / "y.parquet")
    assert [(row["id"], row["text"], row["state"]) for row in found] == [
        ("a", "One text.", "ok"),
        ("b", ROWS[1]["text"], "ok"),
        ("c", "", "empty_text"),
        ("7", "Only these.", "ok"),
    ]


def test_archives_give_every_record_with_its_state(tmp_path: Path) -> None:
    from spark_jobs.archives.documents import document_id

    write_faults(tmp_path)
    found = documents(tmp_path)
    assert {"ok", "record_damaged", "undecodable"} & {row["state"] for row in found}
    assert len({row["id"] for row in found}) == len(found)
    assert all(len(row["id"]) == len(document_id("x", 0, None)) for row in found)


def test_folders_patterns_and_repeats_name_each_file_once(tmp_path: Path) -> None:
    write(tmp_path / "b.jsonl", [{"id": "b", "text": "b"}])
    write(tmp_path / "a.jsonl", [{"id": "a", "text": "a"}])
    write(tmp_path / "notes.json", [{"about": "the folder"}])
    (tmp_path / "README.txt").write_text("not documents")
    found = documents(tmp_path, tmp_path / "*.jsonl", tmp_path / "a.jsonl")
    assert [row["id"] for row in found] == ["a", "b"]


def test_an_empty_file_holds_no_document_and_long_ones_come_in_batches(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    assert documents(tmp_path / "empty.jsonl") == []
    rows = [{"id": str(number), "text": "x" * 10_000} for number in range(5_000)]
    (source,) = find_sources([str(write(tmp_path / "many.jsonl", rows))])
    batches = list(read_batches(source))
    assert len(batches) > 2
    assert all(batch.schema == SCHEMA for batch in batches)
    assert sum(batch.num_rows for batch in batches) == 5_000


@pytest.mark.parametrize(
    ("name", "held", "cause"),
    [
        ("x.jsonl", b'{"id": 1, "text": "a"}\n{"id": 2, "te', r"x.jsonl:2: not valid JSON"),
        ("x.jsonl", b'{"id": 1, "text": "\xff"}\n', r"x.jsonl:1: not valid JSON in UTF-8"),
        ("x.jsonl", b'{"id": 1}\n', r"x.jsonl:1: no column 'text'"),
        ("x.jsonl", b'{"text": "a"}\n', r"x.jsonl:1: no column 'id'"),
        ("x.jsonl", b'{"id": null, "text": "a"}\n', r"x.jsonl:1: `id` is None"),
        ("x.jsonl", b'{"id": 1, "text": 5}\n', r"x.jsonl:1: `text` is int"),
        ("x.jsonl", b'{"id": 1180591620717411303424, "text": "a"}\n', r"`id` is a number of more than 64 bits"),
        ("x.jsonl", b"[1]\n", r"x.jsonl:1: expected a JSON object"),
        (
            "x.jsonl.gz",
            gzip.compress(b'{"id": 1, "text": "a"}\n' * 999, mtime=0)[:-20],
            r"x.jsonl.gz: damaged or cut short",
        ),
        ("x.jsonl.zst", b"no zstandard", r"x.jsonl.zst: damaged or cut short"),
        ("x.parquet", b"no parquet at all", r"x.parquet: not a Parquet file"),
        ("x.txt", b"text", r"x.txt: a file of this kind cannot be read"),
    ],
)
def test_a_damaged_file_is_an_error_with_its_place(tmp_path: Path, name: str, held: bytes, cause: str) -> None:
    path = tmp_path / name
    path.write_bytes(held)
    with pytest.raises(WatershedError, match=cause) as error:
        documents(path)
    assert "\n" not in str(error.value)


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_bytes(b"\xef\xbb\xbf" + b'{"id": 1, "text": "a"}\n')
    assert [(row["id"], row["text"]) for row in documents(tmp_path / "x.jsonl")] == [("1", "a")]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())])
def test_columns_of_every_type_of_string_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    columns = {"id": ["a", "b"], "text": ["One.", "Two."], "metadata": ['{"n": 1}', None]}
    table = pa.table({name: pa.array(values, pa.string()).cast(kind) for name, values in columns.items()})
    pq.write_table(table, tmp_path / "x.parquet")
    found = documents(tmp_path / "x.parquet")
    assert {name: [row[name] for row in found] for name in columns} == columns


@pytest.mark.parametrize(
    ("name", "kind"),
    [("id", pa.list_(pa.string())), ("id", pa.struct({"a": pa.string()})), ("id", pa.binary()), ("text", pa.binary())],
)
def test_a_column_that_is_not_a_text_is_named(tmp_path: Path, name: str, kind: pa.DataType) -> None:
    columns = {"id": pa.array(["a"]), "text": pa.array(["b"]), name: pa.nulls(1, kind)}
    pq.write_table(pa.table(columns), tmp_path / "x.parquet")
    with pytest.raises(WatershedError, match=f"column '{name}' is "):
        documents(tmp_path / "x.parquet")


def test_bytes_that_are_not_utf_8_in_a_column_of_strings_are_damage(tmp_path: Path) -> None:
    broken = pa.array([b"a \xff b"], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"id": ["a"], "text": broken}), tmp_path / "x.parquet")
    with pytest.raises(WatershedError, match=r"x.parquet: damaged \(Invalid UTF8"):
        documents(tmp_path / "x.parquet")


def test_columns_of_other_names_or_types_are_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1], "content": ["a"]}), tmp_path / "x.parquet")
    with pytest.raises(WatershedError, match="no column 'text' among id, content"):
        documents(tmp_path / "x.parquet")
    pq.write_table(pa.table({"id": [1], "text": [[1, 2]]}), tmp_path / "y.parquet")
    with pytest.raises(WatershedError, match="column 'text' is list"):
        documents(tmp_path / "y.parquet")
    with pytest.raises(WatershedError, match="no such file"):
        documents(tmp_path / "none.jsonl")

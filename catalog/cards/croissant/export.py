"""Export a version of a table as a Croissant 1.1 data set: a folder of Parquet files and `croissant.json`.

The rows are those of the version: they are read through the table's log, so that files that a later or an earlier
version has, and removed ones, never appear. Types that Croissant's readers do not know are written as text: structs,
maps and lists of them as JSON. The property `watershed:type` of a field names the type in the lake.

Specification: http://mlcommons.org/croissant/1.1. Provenance is PROV-O, conditions of use are ODRL, as it recommends.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.cards.croissant.metadata import FILES, Part, metadata, nested
from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.files import sha256_of, whole_folder
from catalog.lake import Lake
from catalog.licences.inherited import licences_of, rows_by_licence
from catalog.tables import CONTRACTS

METADATA = "croissant.json"
PART_ROWS = 1_000_000
"""Rows of a Parquet file."""
BATCH_ROWS = 8_192


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A version that was exported."""

    folder: Path
    table: str
    version: int
    rows: int
    files: int


def export_croissant(lake: Lake, contract: Contract, out: Path, version: int | None = None) -> Exported:
    """Write a version of a table as a Croissant data set to the folder `out`.

    Args:
        version: the version; by default the latest.
        out: a folder that does not exist, is empty, or holds an earlier export, which is replaced.

    Raises:
        WatershedError: the table or the version does not exist, or `out` holds something else.

    Example:
        >>> from pathlib import Path
        >>> from catalog import CONTRACTS, Lake, load_settings
        >>> from catalog.cards.croissant.export import export_croissant
        >>> lake = Lake.of(load_settings())
        >>> export_croissant(lake, CONTRACTS["dclm.scores"], Path("scores")).rows
        3
    """
    out = out.absolute()
    if out.exists() and not (out.is_dir() and ((out / METADATA).is_file() or not any(out.iterdir()))):
        raise WatershedError(f"{out} is not an export that was made here", "choose another folder with --out")
    table = _version(lake, contract, version)
    with whole_folder(out) as folder:
        (folder / FILES).mkdir()
        with lake.readable(contract.name):
            parts = _write_rows(table.to_pyarrow_dataset(), folder)
        licences = licences_of(contract.name, CONTRACTS, rows_by_licence(lake))
        described = metadata(lake, contract, table, parts, licences)
        (folder / METADATA).write_text(json.dumps(described, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    rows = sum(part.rows for part in parts)
    return Exported(folder=out, table=contract.name, version=table.version(), rows=rows, files=len(parts))


def _version(lake: Lake, contract: Contract, version: int | None) -> Any:
    last = lake.table(contract.name)
    if version is None or version == last.version():
        return last
    if not 0 <= version < last.version():
        raise WatershedError(
            f"{contract.name} has no version {version}: its last is {last.version()}",
            f"see `watershed describe {contract.name}`",
        )
    return lake.table(contract.name, version)


def _write_rows(dataset: Any, folder: Path) -> list[Part]:
    import pyarrow.parquet as pq

    schema = portable_schema(dataset.schema)
    parts: list[Part] = []
    batches = dataset.to_batches(batch_size=BATCH_ROWS)
    pending = next(batches, None)
    while pending is not None or not parts:
        name = f"{FILES}/part-{len(parts):05}.parquet"
        rows = 0
        with pq.ParquetWriter(folder / name, schema, compression="zstd") as writer:
            while pending is not None and rows < PART_ROWS:
                writer.write_batch(portable(pending, schema))
                rows += pending.num_rows
                pending = next(batches, None)
        path = folder / name
        parts.append(Part(path=name, rows=rows, bytes=path.stat().st_size, sha256=sha256_of(path)))
    return parts


def portable_schema(schema: pa.Schema) -> pa.Schema:
    """The schema of the exported files: nested types as text, and integers that pandas reads exactly beside nulls."""
    fields = [
        pa.field(field.name, pa.string() if nested(field.type) else field.type, field.nullable) for field in schema
    ]
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": str(field.type),
            # Without this, pandas makes floating-point numbers of integers beside a null.
            "numpy_type": str(field.type).capitalize(),
            "metadata": None,
        }
        for field in fields
        if pa.types.is_integer(field.type)
    ]
    pandas = {
        "index_columns": [],
        "column_indexes": [],
        "columns": columns,
        "creator": {"library": "pyarrow", "version": pa.__version__},
        "pandas_version": "2.0",
    }
    return pa.schema(fields, metadata={"pandas": json.dumps(pandas)})


def portable(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """`batch` in the schema that `portable_schema` returns for it."""
    columns = [
        pa.array(map(_json, batch.column(field.name).to_pylist()), pa.string())
        if nested(batch.schema.field(field.name).type)
        else batch.column(field.name)
        for field in schema
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value.isoformat()

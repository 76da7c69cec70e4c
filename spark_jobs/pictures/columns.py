"""Addresses of pictures from a column of a Parquet file."""

from __future__ import annotations

import re
from pathlib import Path

from catalog.errors import WatershedError
from spark_jobs.pictures.fetch import Wanted

DIGEST = re.compile(r"[0-9a-f]{64}")


def wanted_of(table: Path, url_column: str, sha256_column: str = "") -> list[Wanted]:
    """The pictures that a Parquet file names, each address once.

    Args:
        table: the file.
        url_column: of addresses; rows without one are left out.
        sha256_column: of the digests that pictures must have; empty for none.

    Raises:
        WatershedError: the file cannot be read, or has no such column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    names = [url_column, *([sha256_column] if sha256_column else [])]
    try:
        reader = pq.ParquetFile(table)
        if missing := [name for name in names if name not in reader.schema_arrow.names]:
            known = ", ".join(reader.schema_arrow.names[:20])
            raise WatershedError(f"{table} has no column {missing[0]!r}", f"give one of {known}")
        rows = reader.read(names)
    except (OSError, pa.ArrowException) as error:
        raise WatershedError(f"{table} cannot be read: {str(error)[:150]}", "give a Parquet file") from error
    digests = rows[sha256_column].to_pylist() if sha256_column else [None] * rows.num_rows
    found: dict[str, Wanted] = {}
    for url, digest in zip(rows[url_column].to_pylist(), digests, strict=True):
        if isinstance(url, str) and url:
            sound = digest if isinstance(digest, str) and DIGEST.fullmatch(digest) else None
            found.setdefault(url, Wanted(url=url, sha256=sound))
    return list(found.values())

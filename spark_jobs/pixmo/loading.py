"""Rows of the PixMo datasets from their published files. They are strangers' files: bounded, and refused with a place.

Rows are read in batches, and pictures that a file holds are stored at once, so that memory holds the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lines import bounded_lines, opened
from catalog.tables.pixmo.columns import DIGEST, MAKERS, SPLITS
from spark_jobs.input_files import JSONL
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from spark_jobs.pictures.look import NotAPicture, look
from spark_jobs.pictures.store import PictureStore
from spark_jobs.pixmo.raw import BY_NAME, PUBLISHED, Malformed, Published

LARGEST_LINE = 64_000_000
BATCH = 512
KINDS = {**JSONL, ".parquet": "parquet"}
BYTES = pa.struct([("bytes", pa.binary()), ("path", pa.string())])

Row = dict[str, Any]


@dataclass(frozen=True)
class PixmoFile:
    """A file of a dataset."""

    dataset: str
    path: Path
    name: str
    """Relative to the folder of the data; tables name it so."""
    kind: str

    @property
    def split(self) -> str:
        """train, validation or test, as the name of the file or of a folder says; train if none does."""
        words = re.split(r"[^a-z]+", self.name.lower())
        return next((split for split in ("validation", "test") if split in words), SPLITS[0])

    @property
    def folder_kind(self) -> str:
        """charts, tables, diagrams or other, as a folder of the documents is called; empty if none is."""
        words = re.split(r"[^a-z]+", self.name.lower())
        return next((kind for kind in ("charts", "tables", "diagrams", "other") if kind in words), "")


def pixmo_files(*folders: Path) -> list[PixmoFile]:
    """The files of all datasets in folders: `pixmo-points/**/*.parquet` and so on, sorted by name."""
    found = []
    for folder in folders:
        for published in PUBLISHED:
            for inside in published.folders:
                for path in sorted((folder / inside).rglob("*")):
                    kind = next((kind for ending, kind in KINDS.items() if path.name.lower().endswith(ending)), None)
                    if kind and path.is_file() and not path.name.startswith("."):
                        name = path.relative_to(folder).as_posix()
                        found.append(PixmoFile(published.name, path, name, kind))
    return found


def load(dataset: str, files: list[PixmoFile], store: PictureStore) -> pa.Table:
    """The rows of a dataset's table.

    Args:
        dataset: cap, points and so on.
        files: `pixmo_files`; those of other datasets are left out.
        store: where pictures go that a file holds.

    Raises:
        WatershedError: a file cannot be read, lacks a field, or has a malformed row; the cause names file and row.
    """
    published = BY_NAME[dataset]
    schema, batches = published.contract.schema, []
    for file in files:
        if file.dataset != dataset:
            continue
        for rows in _batched(_rows(published, file, store)):
            try:
                batches.append(pa.RecordBatch.from_pylist(rows, schema=schema))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                first = rows[0]["row"]
                raise WatershedError(
                    f"{file.path}: rows {first} to {rows[-1]['row']}: {str(error).splitlines()[0][:200]}",
                    f"give the fields of the published {published.folders[0]}",
                ) from None
    return pa.Table.from_batches(batches, schema)


def _batched(rows: Iterator[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    for row in rows:
        batch.append(row)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _rows(published: Published, file: PixmoFile, store: PictureStore) -> Iterator[Row]:
    mend = f"give the fields of the published {published.folders[0]}: {', '.join(published.fields)}"
    for number, row in enumerate(_raw_rows(published, file, mend)):
        try:
            made = published.make(row)
            default = published.maker if file.split == SPLITS[0] else published.verified_by or published.maker
            maker = row.get("maker") or default
            if maker not in MAKERS:
                raise Malformed(f"its maker is {str(maker)[:40]!r}, not one of {', '.join(MAKERS)}")
            place = {"file": file.name, "row": number, "split": file.split, "maker": maker}
            if published.name == "docs":
                made["kind"] = file.folder_kind
            yield {**place, **_picture(row, store), **made}
        except (Malformed, TypeError, AttributeError, ValueError) as error:
            reason = str(error) if isinstance(error, Malformed) else "a field is of another type than published"
            raise WatershedError(f"{file.path}: row {number}: {reason}", mend) from None


def _picture(row: Row, store: PictureStore) -> Row:
    """The address and the digest of a row's picture, which is stored if the row holds it."""
    url, declared = row.get("image_url"), row.get("image_sha256")
    if declared is not None and (not isinstance(declared, str) or not re.fullmatch(DIGEST, declared)):
        raise Malformed("its image_sha256 is not 64 hex digits")
    image = row.get("image")
    data = image.get("bytes") if isinstance(image, Mapping) else image
    if not isinstance(data, bytes):
        return {"image_url": url, "image_sha256": declared}
    try:
        digest = store.put(data, look(data)).digest
    except NotAPicture as error:
        raise Malformed(f"its image: {error}") from None
    if declared not in (None, digest):
        raise Malformed("its image has another digest than image_sha256 says")
    return {"image_url": None, "image_sha256": digest}


def _raw_rows(published: Published, file: PixmoFile, mend: str) -> Iterator[Row]:
    """Rows of published fields, from Parquet or JSON lines."""
    try:
        if file.kind == "parquet":
            yield from _parquet_rows(published, file, mend)
            return
        with opened(file.path) as lines:
            for number, line in bounded_lines(lines, LARGEST_LINE):
                if line is None:
                    raise WatershedError(f"{file.path}:{number}: more than {LARGEST_LINE:,} bytes", mend)
                try:
                    row = bounded_json(line)
                except MalformedReply as error:
                    raise WatershedError(f"{file.path}:{number}: {error}", mend) from None
                if not isinstance(row, dict):
                    raise WatershedError(f"{file.path}:{number}: no JSON object", mend)
                yield row
    except (OSError, EOFError, pa.ArrowException) as error:
        raise WatershedError(f"{file.path} cannot be read: {str(error).splitlines()[0][:200]}", mend) from error


def _parquet_rows(published: Published, file: PixmoFile, mend: str) -> Iterator[Row]:
    import pyarrow.parquet as pq

    reader = pq.ParquetFile(file.path)
    present = reader.schema_arrow
    if missing := [name for name in published.fields if name not in present.names]:
        raise WatershedError(f"{file.path} has no column {', '.join(missing)}", mend)
    extra = [name for name in ("image_url", "image_sha256", "image", "maker", "unit") if name in present.names]
    for batch in reader.iter_batches(BATCH, columns=[*published.fields, *extra]):
        yield from batch.to_pylist()

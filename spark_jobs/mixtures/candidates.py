"""The documents of a mixture's sources on the disk: tokenised, filtered and hashed, in an Arrow file for each source.

What becomes of a document is held in memory, in a few bytes each; its text and tokens are read again from the file,
which is mapped into memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.files import whole_file
from catalog.licences.rows import RowLicences
from catalog.progress import Task
from spark_jobs.compute import pc
from spark_jobs.hash_order import hash_number
from spark_jobs.mixtures.filters import Filter, Read
from spark_jobs.mixtures.sources import LICENCE, TEXT, Rows, key_schema
from spark_jobs.shards.vocabulary import Vocabulary

MINHASH_BYTES = 4 * 128


class Fate(IntEnum):
    """What became of a document."""

    LEFT = 0
    EMPTY = 1
    LICENCE = 2
    FILTER = 3
    DUPLICATE = 4
    CONTAMINATED = 5
    PROPORTION = 6


@dataclass(kw_only=True)
class Candidates:
    """The documents of one source, in the order of its file."""

    rows: Rows
    file: Path
    fate: NDArray[np.int8]
    """(documents,): a `Fate`."""
    tokens: NDArray[np.int64]
    """(documents,): tokens, and the one that ends the document."""
    text_bytes: NDArray[np.int64]
    heldout: NDArray[np.bool_]
    details: dict[int, str] = field(default_factory=dict)
    """Why a document was dropped, in a word; of copies nothing."""
    kept: dict[int, tuple[str, float | None]] = field(default_factory=dict)
    """Of a copy: the document that is kept, and their similarity."""

    @property
    def name(self) -> str:
        """The name of the source."""
        return self.rows.source.name

    @property
    def left(self) -> NDArray[np.bool_]:
        """(documents,): which are left."""
        return self.fate == Fate.LEFT

    @cached_property
    def _opened(self) -> pa.ipc.RecordBatchFileReader:
        return pa.ipc.open_file(pa.memory_map(str(self.file)))

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        sizes = [self._opened.get_batch(at).num_rows for at in range(self._opened.num_record_batches)]
        return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)

    def batches(
        self, columns: Sequence[str], chosen: NDArray[np.bool_] | None = None
    ) -> Iterator[tuple[NDArray[np.int64], pa.RecordBatch]]:
        """Documents in their order, with their places; all, or those that are `chosen`."""
        for at in range(self._opened.num_record_batches):
            batch, start = self._opened.get_batch(at).select(list(columns)), int(self._starts[at])
            places = np.arange(start, start + batch.num_rows)
            if chosen is not None:
                some = chosen[places]
                batch, places = batch.filter(pa.array(some)), places[some]
            if batch.num_rows:
                yield places, batch

    def tokens_at(self, places: NDArray[np.int64]) -> list[NDArray[np.uint32]]:
        """The tokens of documents, without those that end them."""
        batch = np.searchsorted(self._starts, places, side="right") - 1
        found: list[NDArray[np.uint32]] = []
        for at, place in zip(batch.tolist(), places.tolist(), strict=True):
            lists = self._opened.get_batch(at).column("tokens")
            row = place - int(self._starts[at])
            first, last = lists.offsets[row].as_py(), lists.offsets[row + 1].as_py()
            found.append(lists.values.slice(first, last - first).to_numpy())
        return found

    def doc_ids(self, chosen: NDArray[np.bool_]) -> list[str]:
        """The ids of the documents that are chosen, in their order."""
        return [each for _, batch in self.batches(["doc_id"], chosen) for each in batch.column("doc_id").to_pylist()]

    def drop(self, doc_ids: pa.Array, fate: Fate) -> NDArray[np.int64]:
        """Drop documents by their ids; returns their places, in the order of the ids."""
        places = np.full(len(doc_ids), -1, np.int64)
        for here, batch in self.batches(["doc_id"]):
            at = pc.index_in(doc_ids, value_set=batch.column("doc_id"))
            known = at.is_valid().to_numpy(zero_copy_only=False)
            places[known] = here[at.drop_null().to_numpy()]
        self.fate[places] = fate
        return places


def schema_of(rows: Rows) -> pa.Schema:
    """The columns of a source's file."""
    return pa.schema(
        [
            ("doc_id", pa.string()),
            *key_schema(rows),
            ("licence", pa.string()),
            ("text", pa.string()),
            ("tokens", pa.large_list(pa.uint32())),
            ("text_hash", pa.int64()),
            ("text_bytes", pa.int64()),
            ("minhash", pa.binary(MINHASH_BYTES)),
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Judging:
    """What decides about the rows of a source before they are compared with others."""

    vocabulary: Vocabulary
    filters: Mapping[str, Filter]
    licences: RowLicences
    drop_licences: bool
    """Whether rows whose licence is not known or forbidden are dropped; if not, they are refused."""
    seed: int
    heldout: float
    minhash: bool
    forgotten: Callable[[pa.RecordBatch], Sequence[bool]]
    """Says of rows, by doc_id and key columns, which people ordered to forget; they are left out as if they were not
    there."""


def read_candidates(
    batches: Iterator[pa.RecordBatch], rows: Rows, judging: Judging, file: Path, task: Task
) -> Candidates:
    """Write the file of a source, and say what its filters drop.

    Raises:
        WatershedError: a licence is not known or is forbidden, or a key is missing or names two rows.
    """
    schema = schema_of(rows)
    parts: list[tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]] = []
    details: dict[int, str] = {}
    ids = _Ids(rows)
    with whole_file(file) as fresh, pa.ipc.new_file(str(fresh), schema) as out:
        start = 0
        for read in batches:
            batch = _remembered(read, rows, judging)
            judged, found, why = _judged(batch, rows, judging, schema)
            ids.add(judged.column("doc_id"))
            out.write_batch(judged)
            parts.append(found)
            details |= {start + place: word for place, word in why.items()}
            start += batch.num_rows
            task.advance(batch.num_rows)
    ids.finish()
    empty = (np.empty(0, np.int8), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.bool_))
    fate, tokens, sizes, heldout = (np.concatenate(column) for column in zip(empty, *parts, strict=True))
    return Candidates(
        rows=rows, file=file, fate=fate, tokens=tokens, text_bytes=sizes, heldout=heldout, details=details
    )


def _remembered(batch: pa.RecordBatch, rows: Rows, judging: Judging) -> pa.RecordBatch:
    """A batch with the ids of its rows, without what people ordered to forget."""
    keys = [(name, batch.column(name).cast(type_)) for name, type_ in key_schema(rows)]
    names = ["doc_id", *(name for name, _ in keys)]
    arrays = [pa.array(_doc_ids(batch, rows), pa.string()), *(column for _, column in keys)]
    forgotten = judging.forgotten(pa.RecordBatch.from_arrays(arrays, names=names))
    others = [name for name in batch.schema.names if name not in names]
    whole = pa.RecordBatch.from_arrays([*arrays, *(batch.column(name) for name in others)], names=[*names, *others])
    return whole.filter(pa.array([not one for one in forgotten], pa.bool_())) if any(forgotten) else whole


class _Ids:
    """The ids of a source's rows, which must differ: 8 bytes a row in memory."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.seen: list[NDArray[np.uint64]] = []

    def add(self, doc_ids: pa.Array) -> None:
        """Add the ids of a batch."""
        self.seen.append(np.array([int(each[:16], 16) for each in doc_ids.to_pylist()], np.uint64))

    def finish(self) -> None:
        """Refuse ids that occur twice.

        Raises:
            WatershedError: a key names two rows.
        """
        seen = np.concatenate([np.empty(0, np.uint64), *self.seen])
        if twice := len(seen) - len(np.unique(seen)):
            source, key = self.rows.source, ", ".join(each.name for each in self.rows.keys)
            raise WatershedError(
                f"source {source.name}: the key {key} of {source.table} names {twice:,} rows twice",
                "name a table or view in which it is unique",
            )


def _judged(
    batch: pa.RecordBatch, rows: Rows, judging: Judging, schema: pa.Schema
) -> tuple[
    pa.RecordBatch, tuple[NDArray[np.int8], NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]], dict[int, str]
]:
    """A batch as it is stored; fates, tokens, bytes and whether each is held out; and why documents are dropped."""
    from spark_jobs.kernels.minhash import minhash
    from spark_jobs.kernels.text_hash import text_hash

    count = batch.num_rows
    texts = batch.column(TEXT).cast(pa.string()).fill_null("")
    ids, ends = judging.vocabulary.encode(texts)
    fate, why = np.zeros(count, np.int8), dict[int, str]()
    sizes = pc.binary_length(texts).to_numpy(zero_copy_only=False).astype(np.int64)
    fate[np.diff(ends) == 0] = Fate.EMPTY
    licences = _licences(batch, rows, judging, fate, why)
    read = Read(texts=texts, ids=ids, ends=ends, columns={name: batch.column(name) for name in rows.extras})
    for name, each in judging.filters.items():
        dropped = each.drops(read) & (fate == Fate.LEFT)
        fate[dropped] = Fate.FILTER
        why |= dict.fromkeys(np.flatnonzero(dropped).tolist(), name)
    hashes = text_hash(texts)
    limit = int(judging.heldout * 2**64)
    # By the text, so that equal texts are on one side.
    heldout = np.array([hash_number(judging.seed, "heldout", each) < limit for each in hashes.to_pylist()], np.bool_)
    signatures = minhash(texts) if judging.minhash else pa.nulls(count, pa.binary(MINHASH_BYTES))
    columns = {
        "doc_id": batch.column("doc_id"),
        **{name: batch.column(name) for name, _ in key_schema(rows)},
        "licence": pa.array(licences, pa.string()),
        "text": texts,
        "tokens": pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), pa.array(ids, pa.uint32())),
        "text_hash": hashes,
        "text_bytes": pa.array(sizes),
        "minhash": signatures,
    }
    stored = pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)
    return stored, (fate, np.diff(ends).astype(np.int64) + 1, sizes, heldout), why


def _licences(
    batch: pa.RecordBatch, rows: Rows, judging: Judging, fate: NDArray[np.int8], why: dict[int, str]
) -> list[str]:
    """The licence of each row; marks the rows that may not be taken, or refuses them."""
    found = [judging.licences.of(written) for written in batch.column(LICENCE).to_pylist()]
    for place, (words, fault) in enumerate(found):
        if not fault or fate[place] != Fate.LEFT:
            continue
        if not judging.drop_licences:
            source = rows.source
            raise WatershedError(
                f"source {source.name} ({source.table or ', '.join(source.files)}) has rows whose licence may not be "
                f"taken: {fault}",
                'state the licence where the source is declared, write licences = "drop" in the recipe to leave such '
                f"rows out, or accept {words!r} in `[licences] accept` of watershed.toml",
            )
        fate[place] = Fate.LICENCE
        why[place] = words
    return [words for words, _ in found]


def _doc_ids(batch: pa.RecordBatch, rows: Rows) -> list[str]:
    """The ids of rows: a hash of the source's name and the key."""
    keys = [batch.column(each.column).to_pylist() for each in rows.keys]
    found = []
    for key in zip(*keys, strict=True):
        if None in key:
            raise WatershedError(
                f"source {rows.source.name}: a row of {rows.source.table} has no {rows.keys[key.index(None)].name}",
                "name a table or view whose key is never null",
            )
        name = "\x1f".join((rows.source.name, *map(str, key)))
        found.append(hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32])
    return found

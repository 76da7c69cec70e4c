"""Clusters of equal and nearly equal documents, found without Spark.

- Equal documents have the same text hash, length and signature.
- Near copies are found in two steps. Documents are connected if they share one of the LSH bands of their MinHash
  signatures (Broder 1997) and the signatures do not rule out the threshold. The documents that are connected, directly
  or through others, are a group, and their texts are compared by their sets of word 5-shingles (`kept_copies`). With
  `verify: signature`, they are compared by the share of equal signature values alone.

Whether two documents are connected depends on these two only. Groups, and with them clusters, therefore do not depend
on the order of documents, or on batches, shards and workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.dedup.kept_copies import MEMBERS, NOW, Positions, Ranked, equal_runs, keep_copies, text_sets
from spark_jobs.dedup.near_copies import Keep, NearCopies, Verify

if TYPE_CHECKING:
    from spark_jobs.kernels.near_copies import Marks
    from spark_jobs.kernels.union_find import UnionFind

Texts = Callable[[], Iterable[pa.RecordBatch]]
"""Opens documents again: the same ones in the same order, with their `text`. Rows without a text are skipped."""


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The documents of one run."""

    batches: Iterable[pa.RecordBatch]
    """id, text_hash, text_bytes, minhash (see kernels.text_hash and kernels.minhash). Rows without a text hash match no
    other row."""
    texts: Texts | None = None
    """Needed to compare by `verify: jaccard`."""


def cluster(documents: pa.Table | Documents, options: NearCopies | None = None) -> pa.Table:
    """The clusters among documents, in the columns of dclm.duplicates and the order of doc_id.

    Signatures, sets and keys are stored in temporary files; memory holds about 80 bytes per document, and its id.

    Args:
        documents: a table with the columns of `Documents.batches`, and `text` if `options.verify` needs it.
        options: when two documents are near copies.

    Raises:
        WatershedError: a column is missing, or an id occurs twice.
    """
    if isinstance(documents, pa.Table):
        table = documents
        texts = table.select(["text"]).to_batches if "text" in table.schema.names else None
        documents = Documents(batches=table.to_batches(), texts=texts)
    return cluster_against(documents, (), options).select(MEMBERS.names).cast(MEMBERS)


def cluster_against(
    documents: Documents,
    earlier: Sequence[Documents],
    options: NearCopies | None = None,
    *,
    keep: Keep = Keep.ONE,
    within: bool = True,
) -> pa.Table:
    """The clusters among documents and those of earlier runs, which are kept.

    Ids are compared only within their run.

    Args:
        documents: of this run.
        earlier: documents that earlier runs kept, a run after the other.
        options: when two documents are near copies.
        keep: which documents of this run are kept of a cluster.
        within: whether the documents of this run are compared with each other too.

    Returns:
        the documents of this run that have copies, in the columns of `kept_copies.MEMBERS_AGAINST`, by doc_id;
        `kept_run` is a place in `earlier`.

    Raises:
        WatershedError: a column or the texts are missing, or an id occurs twice in a run.
    """
    from spark_jobs.kernels.union_find import UnionFind

    options = options or NearCopies()
    with Signed(options) as signed:
        runs = [*enumerate(earlier), (int(NOW), documents)]
        for run, some in runs:
            if options.verify is Verify.JACCARD and some.texts is None:
                raise WatershedError(
                    "documents to compare lack text", "pass their texts, or compare by `verify: signature`"
                )
            for batch in some.batches:
                signed.add(batch, run)
        signed.finish()
        sets = UnionFind(len(signed))
        for band in range(-1, signed.bands):
            signed.join(band, sets)
        ranked = Ranked.of(grouped(signed.table(), sets.labels()))
        number = ranked.table["number"].to_numpy()
        if options.verify is Verify.SIGNATURE:
            return keep_copies(ranked, signed.marks(), number, options, keep=keep, within=within)
        wanted = np.full(len(signed), -1, np.int64)
        wanted[number] = np.arange(len(number))
        with text_sets(ranked, _texts([some.texts for _, some in runs], wanted)) as texts:
            return keep_copies(ranked, texts.marks(), texts.places, options, keep=keep, within=within)


def _texts(runs: Iterable[Texts | None], positions: Positions) -> Iterator[tuple[Positions, pa.Array]]:
    """The texts of the documents that have a position, which is not -1; documents come in the order of `positions`."""
    if not (positions >= 0).any():
        return
    start = 0
    for batch in chain.from_iterable(texts() for texts in runs if texts):
        text = batch["text"].drop_null()
        some = positions[start : start + len(text)]
        start += len(text)
        if start <= len(positions) and (some >= 0).any():
            yield some[some >= 0], text.filter(pa.array(some >= 0))
    if start != len(positions):
        raise WatershedError(
            f"{len(positions):,} documents are compared, and the texts are of {start:,}",
            "pass the texts of the same documents, in the same order",
        )


class Signed:
    """Documents and their comparison keys: small columns in memory, signatures and band keys in temporary files."""

    def __init__(self, options: NearCopies) -> None:
        self.options = options
        self.bands, self.rows = options.bands()
        self._batches: list[pa.RecordBatch] = []
        self._documents = 0
        self._widths: list[npt.NDArray[np.int64]] = []
        self._files = ExitStack()
        self._marks = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        self._keys = self._files.enter_context(tempfile.TemporaryFile())  # noqa: SIM115

    def __enter__(self) -> Signed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.close()

    def __len__(self) -> int:
        return self._documents

    def add(self, batch: pa.RecordBatch, run: int = int(NOW)) -> None:
        """Add documents of a run: NOW, or the place of an earlier one."""
        wanted = ["id", "text_hash", "text_bytes", "minhash"]
        if missing := [name for name in wanted if name not in batch.schema.names]:
            raise WatershedError(
                f"documents to compare lack {', '.join(missing)}", "pass text_hash, minhash and text_bytes too"
            )
        batch = batch.filter(batch["text_hash"].is_valid())
        values, widths, keys, prints = signed_batch(batch, self.options, self.bands, self.rows)
        self._marks.write(values.tobytes())
        self._keys.write(keys.tobytes())
        self._widths.append(widths)
        self._documents += batch.num_rows
        small = batch.select(["id", "text_hash", "text_bytes"])
        small = small.append_column("print", pa.array(prints))
        self._batches.append(small.append_column("run", pa.array(np.full(batch.num_rows, run, np.int32))))

    def finish(self) -> None:
        """End adding documents.

        Raises:
            WatershedError: an id occurs twice in a run.
        """
        self._marks.flush()
        self._keys.flush()
        table = self.table()
        if len(table.group_by(["run", "doc_id"]).aggregate([])) != len(table):
            raise WatershedError("an id occurs twice among the documents to compare", "give every document a unique id")
        self._bounds = np.concatenate([[0], *self._widths]).cumsum().astype(np.int64)

    def table(self) -> pa.Table:
        """doc_id, text_hash, text_bytes, print (a hash of the signature) and run of every document."""
        numbers = [(name, pa.int64()) for name in ("text_hash", "text_bytes", "print")]
        schema = pa.schema([("id", pa.string()), *numbers, ("run", pa.int32())])
        batches = [batch.cast(schema) for batch in self._batches]
        return pa.Table.from_batches(batches, schema).rename_columns(["doc_id", *schema.names[1:]])

    def join(self, band: int, sets: UnionFind) -> None:
        """Join documents that share a band and may be near copies, or, for band -1, documents with equal text."""
        from spark_jobs.kernels.near_copies import ESTIMATE, connect, runs

        if not len(self):
            return
        if band < 0:
            join_equal(self.table(), sets)
            return
        signed = np.flatnonzero(np.diff(self._bounds)).astype(np.int32)
        found = runs(np.ascontiguousarray(self.keys()[signed, band]), signed)
        connect(found, self.marks(), sets, compare=ESTIMATE, threshold=self.options.screen)

    def keys(self) -> npt.NDArray[np.int64]:
        """Band keys, (documents, bands); zero for a document without a signature."""
        shape = (len(self), self.bands)
        return np.memmap(self._keys, np.int64, "r", shape=shape) if len(self) else np.zeros(shape, np.int64)

    def signatures(self, documents: npt.NDArray[np.int64]) -> npt.NDArray[np.uint32]:
        """Signatures, (documents, permutations); zero for a document without one."""
        values = np.zeros((len(documents), self.options.permutations), np.uint32)
        signed = np.flatnonzero(np.diff(self._bounds)[documents])
        marks = self.marks()
        for row in signed:
            first = marks.bounds[documents[row]]
            values[row] = marks.values[first : first + values.shape[1]]
        return values

    def marks(self) -> Marks:
        """The signatures."""
        from spark_jobs.kernels.near_copies import Marks

        if not self._bounds[-1]:
            return Marks(np.zeros(0, np.uint32), self._bounds)
        values = np.memmap(self._marks, np.uint32, "r", shape=(int(self._bounds[-1]),))
        return Marks(values.view(np.ndarray), self._bounds)


def signed_batch(
    batch: pa.RecordBatch, options: NearCopies, bands: int, rows: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The signatures of documents, and their band keys.

    Args:
        batch: minhash.
        options: how documents compare.
        bands: LSH bands.
        rows: signature values in a band.

    Returns:
        the signatures of all documents, one after the other; the number of values of each document, 0 without a
        signature; band keys, (documents, bands); a hash of each signature, 0 without one.
    """
    from spark_jobs.kernels.minhash import bands as band_keys
    from spark_jobs.kernels.minhash import signature_values

    values, valid = signature_values(batch["minhash"])
    if valid.any() and values.shape[1] != options.permutations:
        raise WatershedError(
            f"signatures of {values.shape[1]} values where {options.permutations} are expected",
            "compute all signatures with the same settings",
        )
    keys = np.zeros((batch.num_rows, bands), np.int64)
    prints = np.zeros(batch.num_rows, np.int64)
    if valid.any():
        signatures = batch["minhash"].filter(pa.array(valid))
        keys[valid] = band_keys(signatures, bands, rows).flatten().to_numpy().reshape(-1, bands)
        prints[valid] = band_keys(signatures, 1, options.permutations).flatten().to_numpy()
    return values[valid].ravel(), np.where(valid, values.shape[1], 0), keys, prints


def join_equal(table: pa.Table, sets: UnionFind) -> npt.NDArray[np.int32]:
    """Join documents with equal text_hash, text_bytes and print (of the signature); returns the pairs, (n, 2)."""
    columns = (table[name].to_numpy() for name in ("print", "text_bytes", "text_hash"))
    _, first, inverse = np.unique(equal_runs(*columns), return_index=True, return_inverse=True)
    stands = first[inverse]
    others = np.flatnonzero(stands != np.arange(len(stands)))
    sets.union(stands[others], others)
    return np.stack([stands[others], others], axis=1).astype(np.int32)


def grouped(table: pa.Table, labels: npt.NDArray[np.int32]) -> pa.Table:
    """The documents of groups of two or more, with `number`, their row in the table, and `group`, the label."""
    sizes = np.bincount(labels, minlength=len(labels))
    chosen = np.flatnonzero(sizes[labels] > 1)
    members = table.take(pa.array(chosen)).append_column("number", pa.array(chosen))
    return members.append_column("group", pa.array(labels[chosen]))


def whole_runs(batches: Iterable[pa.RecordBatch], column: str) -> Iterator[pa.Table]:
    """Batches that are ordered by a column, regrouped so that all rows of a value are in one table."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        key = batch.column(column).to_numpy()
        last = int(np.searchsorted(key, key[-1]))
        if held and (last or held[-1].column(column)[-1].as_py() != key[0]):
            yield pa.Table.from_batches([*held, batch.slice(0, last)])
            held = []
        elif last:
            yield pa.Table.from_batches([batch.slice(0, last)])
        held.append(batch.slice(last))
    if held:
        yield pa.Table.from_batches(held)

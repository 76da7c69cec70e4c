"""Clusters of equal and nearly equal documents: what a copy is, which copy is kept, and finding them without Spark.

- Equal documents have the same text hash, length and signature.
- Near copies share one of the LSH bands of their MinHash signatures (Broder 1997) AND reach a threshold of similarity,
  measured by the share of equal signature values, or exactly, by their sets of word 5-shingles.
- A cluster consists of the documents that such pairs connect. Its longest text is kept; among equally long texts, the
  one with the least id.

Whether two documents are a pair depends on these two only. Clusters therefore do not depend on the order of documents,
or on batches, shards and workers.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from spark_jobs.kernels.near_copies import Marks
    from spark_jobs.kernels.union_find import UnionFind

THRESHOLD = 0.8
"""Jaccard similarity of word 5-shingles from which two documents are near copies."""


class Verify(StrEnum):
    """How documents that share a band are compared."""

    SIGNATURE = "signature"
    """By the share of equal signature values, an estimate with a standard deviation of about 0.035 at 0.8."""
    JACCARD = "jaccard"
    """Exactly, by their sets of shingles; needs the texts."""


@dataclass(frozen=True, kw_only=True)
class NearCopies:
    """When two documents are near copies."""

    threshold: float = THRESHOLD
    """Jaccard similarity from which two documents are copies."""
    recall: float | None = None
    """Least probability that a pair AT the threshold shares a band. None: datasketch's bands, which balance missed
    pairs against needless comparisons; of pairs at 0.8 they find 40 %, at 0.9 93 %."""
    verify: Verify = Verify.SIGNATURE
    permutations: int = 128
    """Values of a signature."""

    def bands(self) -> tuple[int, int]:
        """LSH bands, and signature values in each.

        Raises:
            WatershedError: no number of bands reaches the threshold or recall.
        """
        from spark_jobs.kernels.minhash import optimal_bands, recall_bands

        try:
            if self.recall is None:
                return optimal_bands(self.threshold, self.permutations)
            return recall_bands(self.threshold, self.recall, self.permutations)
        except ValueError as error:
            raise WatershedError(str(error), "choose another threshold or recall") from error


def cluster(documents: pa.Table | Iterable[pa.RecordBatch], options: NearCopies | None = None) -> pa.Table:
    """The clusters among documents, in the columns of dclm.duplicates and the order of doc_id.

    Signatures, sets and keys are stored in temporary files; memory holds about 80 bytes per document, and its id.

    Args:
        documents: id, text_hash, text_bytes, minhash (see kernels.text_hash and kernels.minhash), and text if
            `options.verify` needs it. Rows without a text hash match no other row.
        options: when two documents are near copies.

    Raises:
        WatershedError: a column is missing, or an id occurs twice.
    """
    from spark_jobs.kernels.union_find import UnionFind

    options = options or NearCopies()
    batches = documents.to_batches() if isinstance(documents, pa.Table) else documents
    with Signed(options) as signed:
        for batch in batches:
            signed.add(batch)
        signed.finish()
        sets = UnionFind(len(signed))
        for band in range(-1, signed.bands):
            signed.join(band, sets)
        labels = sets.labels()
    return describe(pick(signed.table(), labels))


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

    def add(self, batch: pa.RecordBatch) -> None:
        """Add documents."""
        wanted = ["id", "text_hash", "text_bytes", "minhash"]
        wanted += ["text"] if self.options.verify is Verify.JACCARD else []
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
        self._batches.append(small.append_column("print", pa.array(prints)))

    def finish(self) -> None:
        """End adding documents.

        Raises:
            WatershedError: an id occurs twice.
        """
        self._marks.flush()
        self._keys.flush()
        table = self.table()
        if len(pc.call_function("unique", [table["doc_id"]])) != len(table):
            raise WatershedError("an id occurs twice among the documents to compare", "give every document a unique id")
        self._bounds = np.concatenate([[0], *self._widths]).cumsum().astype(np.int64)

    def table(self) -> pa.Table:
        """doc_id, text_hash, text_bytes and print of every document."""
        schema = pa.schema(
            [("id", pa.string()), ("text_hash", pa.int64()), ("text_bytes", pa.int64()), ("print", pa.int64())]
        )
        batches = [batch.cast(schema) for batch in self._batches]
        return pa.Table.from_batches(batches, schema).rename_columns(["doc_id", *schema.names[1:]])

    def join(self, band: int, sets: UnionFind) -> None:
        """Join the near copies that share a band, or, for band -1, the documents with equal text."""
        from spark_jobs.kernels.near_copies import connect, runs

        if not len(self):
            return
        if band < 0:
            join_equal(self.table(), sets)
            return
        signed = np.flatnonzero(np.diff(self._bounds)).astype(np.int32)
        found = runs(np.ascontiguousarray(self.keys()[signed, band]), signed)
        connect(found, self.marks(), sets, compare=comparison(self.options), threshold=self.options.threshold)

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
        """The values by which documents are compared: signatures or sets of shingles."""
        from spark_jobs.kernels.near_copies import Marks

        if not self._bounds[-1]:
            return Marks(np.zeros(0, np.uint32), self._bounds)
        values = np.memmap(self._marks, np.uint32, "r", shape=(int(self._bounds[-1]),))
        return Marks(values.view(np.ndarray), self._bounds)


def signed_batch(
    batch: pa.RecordBatch, options: NearCopies, bands: int, rows: int
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The values by which documents are compared, and their band keys.

    Args:
        batch: minhash, and text if it is compared.
        options: how documents compare.
        bands: LSH bands.
        rows: signature values in a band.

    Returns:
        the compared values of all documents, one after the other; the number of values of each document, 0 if it
        matches no other; band keys, (documents, bands); a hash of each signature, 0 without one.
    """
    from spark_jobs.kernels.minhash import bands as band_keys
    from spark_jobs.kernels.minhash import shingles, signature_values

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
    if options.verify is Verify.JACCARD:
        sets = shingles(batch["text"])
        return sets.values.to_numpy(), np.diff(sets.offsets.to_numpy()).astype(np.int64), keys, prints
    return values[valid].ravel(), np.where(valid, values.shape[1], 0), keys, prints


def comparison(options: NearCopies) -> int:
    """The kernel's constant for the kind of comparison."""
    from spark_jobs.kernels.near_copies import ESTIMATE, JACCARD

    return JACCARD if options.verify is Verify.JACCARD else ESTIMATE


def equal_runs(*columns: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """A number for each row, which is the same for rows that are equal in all columns."""
    order = np.lexsort(columns)
    ordered = [column[order] for column in columns]
    changes = np.zeros(len(order), np.bool_)
    for column in ordered:
        changes[1:] |= column[1:] != column[:-1]
    numbers = np.empty(len(order), np.int64)
    numbers[order] = np.cumsum(changes)
    return numbers


def join_equal(table: pa.Table, sets: UnionFind) -> npt.NDArray[np.int32]:
    """Join documents with equal text_hash, text_bytes and print (of the signature); returns the pairs, (n, 2)."""
    columns = (table[name].to_numpy() for name in ("print", "text_bytes", "text_hash"))
    _, first, inverse = np.unique(equal_runs(*columns), return_index=True, return_inverse=True)
    stands = first[inverse]
    others = np.flatnonzero(stands != np.arange(len(stands)))
    sets.union(stands[others], others)
    return np.stack([stands[others], others], axis=1).astype(np.int32)


def pick(table: pa.Table, labels: npt.NDArray[np.int32]) -> pa.Table:
    """The documents of clusters of two or more, `cluster` being the label."""
    sizes = np.bincount(labels, minlength=len(labels))
    chosen = np.flatnonzero(sizes[labels] > 1)
    return table.take(pa.array(chosen)).append_column("cluster", pa.array(labels[chosen]))


MEMBERS = pa.schema(
    [
        pa.field("doc_id", pa.string(), nullable=False),
        pa.field("cluster_id", pa.string(), nullable=False),
        pa.field("cluster_size", pa.int64(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("kept", pa.bool_(), nullable=False),
        pa.field("kept_doc_id", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)
"""The schema of the members of clusters; the contract of `dclm.duplicates` says what each column means."""


def describe(members: pa.Table) -> pa.Table:
    """A row for each member of a cluster, by doc_id: which copy is kept, and why.

    Args:
        members: doc_id, text_hash, text_bytes and cluster (any number) of all members of clusters.
    """
    if not len(members):
        return MEMBERS.empty_table()
    order = [("cluster", "ascending"), ("text_bytes", "descending"), ("doc_id", "ascending")]
    members = members.sort_by(order)
    ids = members["doc_id"].combine_chunks()
    hashes, sizes, clusters = (members[name].to_numpy() for name in ("text_hash", "text_bytes", "cluster"))
    firsts = np.flatnonzero(np.concatenate([[True], clusters[1:] != clusters[:-1]]))
    group = np.cumsum(np.bincount(firsts, minlength=len(ids))) - 1
    best = firsts[group]
    ranks = np.empty(len(ids), np.int64)
    by_id = pc.call_function("array_sort_indices", [ids]).to_numpy()
    ranks[by_id] = np.arange(len(ids))
    least = by_id[np.minimum.reduceat(ranks, firsts)][group]
    counts = np.bincount(group)[group]
    same = equal_runs(hashes, sizes, clusters)
    exact = np.bincount(same)[same] > 1
    as_long = np.bincount(group, sizes == sizes[best]).astype(np.int64)[group]
    kept = best == np.arange(len(ids))
    same_text = (hashes == hashes[best]) & (sizes == sizes[best])
    reasons = [
        _reason(size, longest, members=members, as_long=equals if stays else 0, same_text=same)
        for stays, size, longest, members, equals, same in zip(
            kept, sizes, sizes[best], counts, as_long, same_text, strict=True
        )
    ]
    columns = {
        "doc_id": ids,
        "cluster_id": ids.take(pa.array(least)),
        "cluster_size": pa.array(counts),
        "method": pa.array(np.where(exact, "exact", "minhash")),
        "kept": pa.array(kept),
        "kept_doc_id": ids.take(pa.array(best)),
        "reason": pa.array(reasons, pa.string()),
    }
    return pa.table(columns).cast(MEMBERS).take(pa.array(by_id))


def _reason(size: int, longest: int, *, members: int, as_long: int, same_text: bool) -> str:
    """Why a document is kept or dropped; `as_long` is 0 for a dropped one."""
    if as_long > 1:
        return f"longest text ({size} bytes), least doc_id of the {as_long} as long"
    if as_long:
        return f"longest text ({size} bytes) of {members} copies"
    if same_text:
        return "same text as the kept copy"
    if size < longest:
        return f"nearly the text of the kept copy, which is longer ({longest} bytes against {size})"
    return "nearly the text of the kept copy, which is as long and has the smaller doc_id"


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

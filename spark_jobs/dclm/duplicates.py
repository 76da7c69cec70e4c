"""dclm.duplicates: equal and nearly equal documents among those that a recipe kept.

`spark_jobs.dedup.clusters` defines copies, and `kept_copies` which of them is kept. Here Spark finds them.

- Documents are numbered by their rank in doc_id order, which does not depend on partitions or order of arrival.
- Documents are brought together by text hash and by each band of their signatures.
- Spark finds pairs that signatures connect. The driver receives them one partition at a time and joins them to groups
  with 4 bytes per document (`kernels.union_find`).
- Spark brings the documents of each group together, with their texts, and compares them. A text is shuffled only if its
  document is in a group. A task holds one group at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.lake import Lake
from catalog.tables.dclm import DUPLICATES
from spark_jobs.compute import pc
from spark_jobs.dedup.clusters import signed_batch, whole_runs
from spark_jobs.dedup.kept_copies import MEMBERS, NOW, Ranked, keep_copies, text_sets
from spark_jobs.dedup.near_copies import NearCopies, Verify
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PREFIX = 3
"""Hex digits of doc_id: documents are counted and numbered in 16**3 = 4,096 prefixes."""

_AT_ONCE = 4096
"""Documents whose comparison keys are repeated, once a band, in one batch."""

Pairs = npt.NDArray[np.int32]
"""(n, 2): numbers of two documents that signatures connect."""


def write_duplicates(
    spark: SparkSession, lake: Lake, recipe: str, fingerprint: str, options: NearCopies | None = None
) -> dict[str, int]:
    """Replace dclm.duplicates by the clusters among the documents that `recipe` kept.

    The same documents give the same rows, whatever the partitions and the workers.

    Returns:
        documents compared, clusters, members of clusters by method, and documents dropped.

    Raises:
        WatershedError: there are no documents or verdicts yet, or the table could not be written.
    """
    options = options or NearCopies()
    documents = _kept(spark, lake, recipe)
    starts = _number_starts(documents)
    total = int(starts[-1])
    labels = _labels(documents.drop("text"), starts, total, options)
    write.replace(_members(spark, documents, starts, labels, options), DUPLICATES, lake, fingerprint)
    methods, kept = (write.counts(lake, DUPLICATES.name, column) for column in ("method", "kept"))
    return {
        "documents": total,
        # Of each cluster one copy is kept.
        "clusters": kept.get("True", 0),
        "exact": methods.get("exact", 0),
        "minhash": methods.get("minhash", 0),
        "dropped": kept.get("False", 0),
    }


def _kept(spark: SparkSession, lake: Lake, recipe: str) -> DataFrame:
    from pyspark.sql import functions as F

    # Documents are read and numbered several times, which must see the same version.
    documents, verdicts = (
        write.read(spark, lake, name, lake.version(name)) for name in ("dclm.documents", "dclm.verdicts")
    )
    kept = verdicts.where((F.col("recipe") == recipe) & F.col("kept"))
    documents = documents.where(F.col("text_hash").isNotNull())
    columns = ["doc_id", "text_hash", "text_bytes", "minhash", "text"]
    return documents.select(*columns).join(kept.select("doc_id"), "doc_id", "left_semi")


def _number_starts(documents: DataFrame) -> npt.NDArray[np.int64]:
    """Number of the first document of each doc_id prefix, and at the end the number of documents."""
    from pyspark.sql import functions as F

    found = documents.groupBy(F.substring("doc_id", 1, PREFIX).alias("prefix")).count().toArrow()
    sizes = np.zeros(16**PREFIX, np.int64)
    sizes[[int(prefix, 16) for prefix in found["prefix"].to_pylist()]] = found["count"].to_numpy()
    return np.concatenate([[0], np.cumsum(sizes)])


def _in_order(documents: DataFrame) -> DataFrame:
    """Documents in doc_id order, with each prefix of doc_id in one partition."""
    from pyspark.sql import functions as F

    return documents.repartition(F.substring("doc_id", 1, PREFIX)).sortWithinPartitions("doc_id")


def number_documents(batches: Iterable[pa.RecordBatch], starts: npt.NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
    """Add `number`, the rank by doc_id, to batches that are in its order and hold whole prefixes."""
    following = starts.copy()
    for batch in batches:
        prefixes = [int(doc_id[:PREFIX], 16) for doc_id in batch.column("doc_id").to_pylist()]
        numbers = np.empty(len(prefixes), np.int32)
        for row, prefix in enumerate(prefixes):
            numbers[row] = following[prefix]
            following[prefix] += 1
        yield batch.append_column("number", pa.array(numbers))


def _labels(
    documents: DataFrame, starts: npt.NDArray[np.int64], total: int, options: NearCopies
) -> npt.NDArray[np.int32]:
    """For each document number, the least number of its group."""
    from pyspark.storagelevel import StorageLevel

    from spark_jobs.kernels.union_find import UnionFind

    # Chosen here so that workers do not import SciPy.
    bands, rows = options.bands()

    def keys(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return meeting_places(number_documents(batches, starts), options, bands, rows)

    def pairs(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for found in copies(batches, options):
            yield pa.record_batch({"pairs": pa.array([found.tobytes()], pa.binary())})

    meetings = _in_order(documents).mapInArrow(keys, "key long, exact boolean, number int, mark binary")
    together = meetings.repartition("key").sortWithinPartitions("key", "exact", "number")
    found = together.mapInArrow(pairs, "pairs binary").persist(StorageLevel.DISK_ONLY)
    sets = UnionFind(total)
    try:
        # All workers compute at once; then the driver reads one partition after another.
        found.count()
        for row in found.toLocalIterator():
            edges = np.frombuffer(row["pairs"], np.int32).reshape(-1, 2)
            sets.union(edges[:, 0], edges[:, 1])
    finally:
        found.unpersist()
    return sets.labels()


def meeting_places(
    batches: Iterable[pa.RecordBatch], options: NearCopies, bands: int, rows: int
) -> Iterator[pa.RecordBatch]:
    """The keys under which copies of a document are found: one for its text and one for each band of its signature.

    Args:
        batches: text_hash, text_bytes, minhash and number.
        options: how documents compare.
        bands: LSH bands of a signature.
        rows: values in a band.

    Returns:
        key: equal for copies; exact: whether the key is of the text; number; mark: what documents with that key are
        compared by: text hash, length and signature for an exact key, the signature for a band.
    """
    for batch in batches:
        number, hashes, signatures = (batch.column(name) for name in ("number", "text_hash", "minhash"))
        sizes = batch.column("text_bytes").to_pylist()
        marks = [
            b"%d %d " % (text_hash, size) + (signature or b"")
            for text_hash, size, signature in zip(hashes.to_pylist(), sizes, signatures.to_pylist(), strict=True)
        ]
        yield _meetings(hashes, number, pa.array(marks, pa.binary()), exact=True)
        values, widths, keys, _ = signed_batch(batch, options, bands, rows)
        ends = np.concatenate([[0], 4 * np.cumsum(widths)]).astype(np.int32)
        compared = pa.Array.from_buffers(
            pa.binary(), len(widths), [None, pa.py_buffer(ends), pa.py_buffer(np.ascontiguousarray(values))]
        )
        signed = np.flatnonzero(widths)
        for start in range(0, len(signed), _AT_ONCE):
            some = signed[start : start + _AT_ONCE]
            repeated = pa.array(np.repeat(some, bands))
            yield _meetings(pa.array(keys[some].ravel()), number.take(repeated), compared.take(repeated), exact=False)


def _meetings(key: pa.Array, number: pa.Array, mark: pa.Array, *, exact: bool) -> pa.RecordBatch:
    return pa.record_batch(
        {"key": key, "exact": pa.array([exact] * len(key), pa.bool_()), "number": number, "mark": mark}
    )


def copies(batches: Iterable[pa.RecordBatch], options: NearCopies) -> Iterator[Pairs]:
    """Pairs that connect documents with a common key, enough of them to connect each group.

    Args:
        batches: as `meeting_places` makes them, ordered by key, exact and number; a key in one task only.
        options: how documents compare.
    """
    for table in whole_runs(batches, "key"):
        exact = table["exact"]
        found = [
            _exact_copies(table.filter(exact)),
            _near_copies(table.filter(pc.invert(exact)), options),
        ]
        if len(pairs := np.concatenate(found)):
            yield np.unique(pairs, axis=0)


def _exact_copies(met: pa.Table) -> Pairs:
    """Pairs of each document with the first that has the same mark (which includes the key)."""
    number = met["number"].to_numpy()
    group = met["mark"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    other = np.flatnonzero(first[inverse] != np.arange(len(number)))
    return np.stack([number[first[inverse[other]]], number[other]], axis=1).astype(np.int32)


def _near_copies(met: pa.Table, options: NearCopies) -> Pairs:
    """Pairs of documents with the same key whose signatures are as similar as `options.screen` requires."""
    from spark_jobs.kernels.near_copies import ESTIMATE, Marks, connect, runs
    from spark_jobs.kernels.union_find import UnionFind

    number, mark = met["number"].to_numpy(), met["mark"].combine_chunks()
    if len(number) < 2:
        return np.empty((0, 2), np.int32)
    mark = mark.cast(pa.large_binary())
    _, ends, data = mark.buffers()
    bounds = np.frombuffer(ends, np.int64)[mark.offset : mark.offset + len(mark) + 1]
    values = np.frombuffer(data, np.uint8)[bounds[0] : bounds[-1]].copy().view(np.uint32)
    marks = Marks(values, (bounds - bounds[0]) // 4)
    edges = connect(
        runs(met["key"].to_numpy()),
        marks,
        UnionFind(len(number)),
        compare=ESTIMATE,
        threshold=options.screen,
    )
    return number[edges].astype(np.int32).reshape(-1, 2)


def _members(
    spark: SparkSession,
    documents: DataFrame,
    starts: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int32],
    options: NearCopies,
) -> DataFrame:
    """Rows of dclm.duplicates."""
    from pyspark.sql import functions as F

    def number(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return number_documents(batches, starts)

    def rows(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for groups in whole_runs(batches, "group"):
            yield from members_of(groups, options).to_batches()

    sizes = np.bincount(labels, minlength=len(labels))
    numbers = np.flatnonzero(sizes[labels] > 1).astype(np.int32)
    grouped = spark.createDataFrame(pa.table({"number": numbers, "group": labels[numbers]}), "number int, group int")
    numbered = _in_order(documents.select("doc_id")).mapInArrow(number, "doc_id string, number int")
    chosen = numbered.join(F.broadcast(grouped), "number").select("doc_id", "group")
    columns = ["doc_id", "text_hash", "text_bytes", "minhash"]
    columns += ["text"] if options.verify is Verify.JACCARD else []
    members = documents.select(*columns).join(chosen, "doc_id").repartition("group").sortWithinPartitions("group")
    return members.mapInArrow(rows, write.spark_schema(DUPLICATES.schema))


def members_of(groups: pa.Table, options: NearCopies) -> pa.Table:
    """The copies among the documents of whole groups, in the columns of dclm.duplicates.

    Args:
        groups: doc_id, text_hash, text_bytes, minhash, group, and text if it is compared.
        options: when two documents are copies.
    """
    from spark_jobs.kernels.near_copies import Marks

    # Batch by batch: the signatures or texts of a group may exceed what one Arrow array holds.
    signed = [signed_batch(batch, options, 1, 1) for batch in groups.to_batches()]
    added = {
        "print": np.concatenate([prints for *_, prints in signed]),
        "run": np.full(len(groups), NOW, np.int32),
        "row": np.arange(len(groups)),
    }
    small = groups.select(["doc_id", "text_hash", "text_bytes", "group"])
    for name, column in added.items():
        small = small.append_column(name, pa.array(column))
    ranked = Ranked.of(small)
    rows = ranked.table["row"].to_numpy()
    if options.verify is Verify.SIGNATURE:
        bounds = np.concatenate([[0], *(widths for _, widths, *_ in signed)]).cumsum().astype(np.int64)
        marks = Marks(np.concatenate([values for values, *_ in signed]), bounds)
        return keep_copies(ranked, marks, rows, options).select(MEMBERS.names).cast(MEMBERS)
    positions = np.empty(len(rows), np.int64)
    positions[rows] = np.arange(len(rows))
    ends = np.cumsum([len(text) for text in groups["text"].chunks])
    texts = zip(np.split(positions, ends[:-1]), groups["text"].chunks, strict=True)
    with text_sets(ranked, texts) as sets:
        return keep_copies(ranked, sets.marks(), sets.places, options).select(MEMBERS.names).cast(MEMBERS)

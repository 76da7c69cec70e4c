"""dclm.duplicates: equal and nearly equal documents among those that a recipe kept.

- Documents are numbered by their rank in doc_id order, which no partitioning and no arrival changes.
- Exact copies meet by text hash, length and signature; near copies share one of the LSH bands of their MinHash
  signatures (Broder 1997; bands for a Jaccard threshold as datasketch chooses them), and are a pair when the
  signatures' estimate of the Jaccard similarity reaches the threshold.
- Spark finds pairs; the driver joins them to clusters with 4 bytes per document (`kernels.union_find`), and is
  handed pairs one partition at a time; Spark chooses which copy stays: the longest text, then the least doc_id.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.lake import Lake
from catalog.tables.dclm import DUPLICATES
from spark_jobs import write

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

THRESHOLD = 0.8
"""Estimated Jaccard similarity of word 5-shingles from which two documents are near copies."""
PREFIX = 3
"""Hex digits of doc_id: documents are counted and numbered in 16**3 = 4,096 prefixes."""
PAIRWISE = 512
"""Different signatures that share a band are all compared with each other up to so many; above, each is compared
with the first of every cluster found so far, which finds all but chains within the one band."""

Pairs = npt.NDArray[np.int32]
"""(n, 2): numbers of two documents that are copies."""


def write_duplicates(
    spark: SparkSession, lake: Lake, recipe: str, fingerprint: str, threshold: float = THRESHOLD
) -> dict[str, int]:
    """Replace dclm.duplicates by the clusters among the documents that `recipe` kept.

    The same documents give the same rows, however they are partitioned and whoever works on them.

    Returns:
        documents compared, clusters, members of clusters by method, and documents dropped.

    Raises:
        WatershedError: there are no documents or verdicts yet, or the table could not be written.
    """
    documents = _kept(spark, lake, recipe)
    starts = _number_starts(documents)
    total = int(starts[-1])
    labels = _labels(documents, starts, total, threshold)
    numbers = _clustered(labels)
    frame = _members(spark, documents, starts, numbers, labels)
    members = write.replace(frame, DUPLICATES, lake, fingerprint)
    clusters = len(np.unique(labels[numbers]))
    methods = write.counts(lake, DUPLICATES.name, "method")
    return {
        "documents": total,
        "clusters": clusters,
        "exact": methods.get("exact", 0),
        "minhash": methods.get("minhash", 0),
        "dropped": members - clusters,
    }


def _kept(spark: SparkSession, lake: Lake, recipe: str) -> DataFrame:
    from pyspark.sql import functions as F

    # Documents are read several times over, and numbered each time: all of one version.
    documents, verdicts = (
        write.read(spark, lake, name, lake.version(name)) for name in ("dclm.documents", "dclm.verdicts")
    )
    kept = verdicts.where((F.col("recipe") == recipe) & F.col("kept"))
    documents = documents.where(F.col("text_hash").isNotNull())
    columns = ("doc_id", "text_hash", "text_bytes", "minhash")
    return documents.select(*columns).join(kept.select("doc_id"), "doc_id", "left_semi")


def _number_starts(documents: DataFrame) -> npt.NDArray[np.int64]:
    """Number of the first document of each doc_id prefix; behind the last, how many there are."""
    from pyspark.sql import functions as F

    found = documents.groupBy(F.substring("doc_id", 1, PREFIX).alias("prefix")).count().toArrow()
    sizes = np.zeros(16**PREFIX, np.int64)
    sizes[[int(prefix, 16) for prefix in found["prefix"].to_pylist()]] = found["count"].to_numpy()
    return np.concatenate([[0], np.cumsum(sizes)])


def _in_order(documents: DataFrame) -> DataFrame:
    """Whole prefixes of doc_id together, and in its order."""
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


def _labels(documents: DataFrame, starts: npt.NDArray[np.int64], total: int, threshold: float) -> npt.NDArray[np.int32]:
    """For each number the least number of its cluster."""
    from pyspark.storagelevel import StorageLevel

    from spark_jobs.kernels.minhash import PERMUTATIONS, optimal_bands
    from spark_jobs.kernels.union_find import UnionFind

    bands, rows = optimal_bands(threshold, PERMUTATIONS)

    def keys(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return meeting_places(number_documents(batches, starts), bands, rows)

    def pairs(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for found in copies(batches, threshold):
            yield pa.record_batch({"pairs": pa.array([found.tobytes()], pa.binary())})

    meetings = _in_order(documents).mapInArrow(keys, "key long, exact boolean, number int, mark binary")
    together = meetings.repartition("key").sortWithinPartitions("key", "exact", "number")
    found = together.mapInArrow(pairs, "pairs binary").persist(StorageLevel.DISK_ONLY)
    sets = UnionFind(total)
    try:
        # Computed by all workers at once, then handed over partition by partition.
        found.count()
        for row in found.toLocalIterator():
            edges = np.frombuffer(row["pairs"], np.int32).reshape(-1, 2)
            sets.union(edges[:, 0], edges[:, 1])
    finally:
        found.unpersist()
    return sets.labels()


def meeting_places(batches: Iterable[pa.RecordBatch], bands: int, rows: int) -> Iterator[pa.RecordBatch]:
    """Where copies of a document would be found: a row for its text and one for each band of its signature.

    Args:
        batches: text_hash, text_bytes, minhash, number.
        bands: LSH bands of a signature.
        rows: values in a band.

    Returns:
        key: equal for copies; exact: whether of the text; number; mark: what tells copies among equal keys, text
        hash, length and signature for an exact key and the signature for a band.
    """
    from spark_jobs.kernels.minhash import bands as band_keys

    for batch in batches:
        number, hashes, signatures = (batch.column(name) for name in ("number", "text_hash", "minhash"))
        sizes = batch.column("text_bytes").to_pylist()
        marks = [
            b"%d %d " % (text_hash, size) + (signature or b"")
            for text_hash, size, signature in zip(hashes.to_pylist(), sizes, signatures.to_pylist(), strict=True)
        ]
        yield _meetings(hashes, number, pa.array(marks, pa.binary()), exact=True)
        signed = signatures.is_valid()
        signatures, number = signatures.filter(signed), number.filter(signed)
        keys = band_keys(signatures, bands, rows).flatten()
        repeated = pa.array(np.repeat(np.arange(len(signatures)), bands))
        yield _meetings(keys, number.take(repeated), signatures.take(repeated), exact=False)


def _meetings(key: pa.Array, number: pa.Array, mark: pa.Array, *, exact: bool) -> pa.RecordBatch:
    return pa.record_batch(
        {"key": key, "exact": pa.array([exact] * len(key), pa.bool_()), "number": number, "mark": mark}
    )


def copies(batches: Iterable[pa.RecordBatch], threshold: float) -> Iterator[Pairs]:
    """Pairs of copies among documents that meet, enough of them to connect each cluster.

    Args:
        batches: as `meeting_places` makes them, ordered by key, exact and number; a key in one task only.
        threshold: estimated Jaccard similarity from which two documents are near copies.
    """
    for table in _whole_runs(batches):
        key, exact = table["key"].to_numpy(), table["exact"].to_numpy()
        number, mark = table["number"].to_numpy(), table["mark"].combine_chunks()
        changes = np.flatnonzero((key[1:] != key[:-1]) | (exact[1:] != exact[:-1])) + 1
        starts = np.concatenate([[0], changes])
        ends = np.concatenate([changes, [len(key)]])
        found = [
            _exact_copies(number[start:end], mark.slice(start, end - start))
            if exact[start]
            else _near_copies(number[start:end], mark.slice(start, end - start), threshold)
            for start, end in zip(starts, ends, strict=True)
            if end - start > 1
        ]
        if found and len(pairs := np.concatenate(found)):
            yield np.unique(pairs, axis=0)


def _whole_runs(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The rows again, cut so that all of a key are in one table."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        if not batch.num_rows:
            continue
        key = batch.column("key").to_numpy()
        last = int(np.searchsorted(key, key[-1]))
        if held and (last or held[-1].column("key")[-1].as_py() != key[0]):
            yield pa.Table.from_batches([*held, batch.slice(0, last)])
            held = []
        elif last:
            yield pa.Table.from_batches([batch.slice(0, last)])
        held.append(batch.slice(last))
    if held:
        yield pa.Table.from_batches(held)


def _exact_copies(number: Pairs, mark: pa.Array) -> Pairs:
    """Each document with the first of the same mark."""
    return _with_first(number, mark.dictionary_encode().indices.to_numpy())


def _with_first(number: Pairs, group: np.ndarray) -> Pairs:
    _, first, inverse = np.unique(group, return_index=True, return_inverse=True)
    other = np.flatnonzero(first[inverse] != np.arange(len(number)))
    return np.stack([number[first[inverse[other]]], number[other]], axis=1).astype(np.int32)


def _near_copies(number: Pairs, signatures: pa.Array, threshold: float) -> Pairs:
    """Documents whose signatures agree in a share of at least `threshold` of their values."""
    from spark_jobs.kernels.minhash import signature_values

    same = signatures.dictionary_encode()
    pairs = [_with_first(number, same.indices.to_numpy())]
    values, _ = signature_values(same.dictionary)
    # The dictionary is in order of first appearance, and so of the least number.
    _, first = np.unique(same.indices.to_numpy(), return_index=True)
    stands_for = number[first]
    leaders: list[int] = []
    for row in range(len(values)):
        against = np.array(leaders, np.int64)
        alike = against[(values[against] == values[row]).mean(axis=1) >= threshold] if leaders else against
        pairs.append(np.stack([stands_for[alike], np.full(len(alike), stands_for[row])], axis=1).astype(np.int32))
        if len(values) <= PAIRWISE or not len(alike):
            leaders.append(row)
    return np.concatenate(pairs)


def _clustered(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """Numbers of the documents that are not alone, in order."""
    others = np.flatnonzero(labels != np.arange(len(labels), dtype=np.int32)).astype(np.int32)
    return np.union1d(others, labels[others])


def _members(
    spark: SparkSession,
    documents: DataFrame,
    starts: npt.NDArray[np.int64],
    numbers: npt.NDArray[np.int32],
    labels: npt.NDArray[np.int32],
) -> DataFrame:
    """Rows of dclm.duplicates."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    def number(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return number_documents(batches, starts)

    clusters = spark.createDataFrame(
        pa.table({"number": numbers, "cluster": labels[numbers]}), "number int, cluster int"
    )
    narrow = _in_order(documents.select("doc_id", "text_hash", "text_bytes"))
    numbered = narrow.mapInArrow(number, "doc_id string, text_hash long, text_bytes long, number int")
    cluster = Window.partitionBy("cluster")
    same_text = Window.partitionBy("cluster", "text_hash", "text_bytes")
    best = F.min(F.struct((-F.col("text_bytes")).alias("shortness"), "doc_id", "text_hash")).over(cluster)
    described = numbered.join(F.broadcast(clusters), "number").select(
        "doc_id",
        "text_hash",
        "text_bytes",
        F.min("doc_id").over(cluster).alias("cluster_id"),
        F.count("*").over(cluster).alias("cluster_size"),
        F.when(F.count("*").over(same_text) > 1, "exact").otherwise("minhash").alias("method"),
        best.alias("best"),
        F.count("*").over(Window.partitionBy("cluster", "text_bytes")).alias("as_long"),
    )
    return described.select(
        "doc_id",
        "cluster_id",
        "cluster_size",
        "method",
        (F.col("doc_id") == F.col("best.doc_id")).alias("kept"),
        F.col("best.doc_id").alias("kept_doc_id"),
        _reason().alias("reason"),
    )


def _reason() -> Column:
    from pyspark.sql import functions as F

    best_bytes = -F.col("best.shortness")
    kept = F.col("doc_id") == F.col("best.doc_id")
    return (
        F.when(
            kept & (F.col("as_long") > 1),
            F.format_string("longest text (%d bytes), least doc_id of the %d as long", "text_bytes", "as_long"),
        )
        .when(kept, F.format_string("longest text (%d bytes) of %d copies", "text_bytes", "cluster_size"))
        .when(
            (F.col("text_hash") == F.col("best.text_hash")) & (F.col("text_bytes") == best_bytes),
            F.lit("same text as the kept copy"),
        )
        .when(
            F.col("text_bytes") < best_bytes,
            F.format_string(
                "nearly the text of the kept copy, which is longer (%d bytes against %d)", best_bytes, "text_bytes"
            ),
        )
        .otherwise(F.lit("nearly the text of the kept copy, which is as long and has the smaller doc_id"))
    )

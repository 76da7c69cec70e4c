"""dclm.duplicates, updated shard by shard: shards that did not change are not compared again.

An index for each recipe (`spark_jobs.dedup.index`) is stored beside the table. The signatures of a shard are read again
if dclm.documents or dclm.verdicts has a newer version of it, and compared again if the recipe now keeps other documents
of it. Texts are read of the documents in groups that changed (`dedup.clusters`). The resulting table equals that of
`duplicates.write_duplicates`, in which Spark's workers compare all documents; this job runs in one process and reads
the keys of all shards for each new one.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lake import WHOLE, Lake, Written, partition_key
from catalog.tables.dclm import DOCUMENTS, DUPLICATES
from spark_jobs.compute import pc
from spark_jobs.dedup.index import DuplicateIndex
from spark_jobs.dedup.near_copies import NearCopies

TEXTS_AT_ONCE = 8192
"""Documents whose texts are read at once."""
COLUMNS = {"doc_id": "id", "text_hash": "text_hash", "text_bytes": "text_bytes", "minhash": "minhash"}


def update_duplicates(lake: Lake, recipe: str, fingerprint: str, options: NearCopies | None = None) -> dict[str, int]:
    """Replace dclm.duplicates by the clusters among the documents that `recipe` keeps now.

    Returns:
        documents compared, clusters, members of clusters by method, documents dropped, shards, and shards that were
        compared again.

    Raises:
        WatershedError: there are no documents or verdicts yet, or the table could not be written.
    """
    index = _index(lake, recipe, options or NearCopies())
    partitions = {partition_key(partition): partition for partition in _partitions(lake)}
    for name in index.shards.keys() - partitions.keys():
        index.remove(name)
    compared = 0
    # Each reads a table's whole history, which has a commit for every few shards.
    sources = [lake.written(name) for name in (DOCUMENTS.name, "dclm.verdicts")]
    for name in sorted(partitions):
        origin = _origin(sources, name)
        if index.origin(name) != origin:
            compared += index.add(name, _kept(lake, recipe, partitions[name]), origin=origin)

    def texts(shard: str, ids: pa.Array) -> Iterator[pa.RecordBatch]:
        documents = lake.table(DOCUMENTS.name).to_pyarrow_dataset(partitions=_chosen(partitions[shard]))
        read = documents.to_batches(
            columns=["doc_id", "text"], batch_size=TEXTS_AT_ONCE, batch_readahead=1, fragment_readahead=1
        )
        for batch in read:
            yield batch.filter(pc.is_in(batch["doc_id"], ids)).rename_columns(["id", "text"])

    rows = index.duplicates(texts=texts)
    lake.replace(DUPLICATES, rows, fingerprint)
    methods = Counter(rows["method"].to_pylist())
    return {
        "documents": sum(index.shards.values()),
        "clusters": len(rows["cluster_id"].unique()),
        "exact": methods["exact"],
        "minhash": methods["minhash"],
        "dropped": rows["kept"].to_pylist().count(False),
        "shards": len(partitions),
        "compared": compared,
    }


def _index(lake: Lake, recipe: str, options: NearCopies) -> DuplicateIndex:
    """The recipe's index; a new one if there is none, it is damaged, or the options of near copies changed."""
    folder = lake.folder("dclm.duplicates", "index", recipe)
    if folder.exists():
        # The index holds nothing that cannot be computed again.
        with suppress(WatershedError):
            index = DuplicateIndex.open(folder)
            if index.options == options and index.is_whole():
                return index
        shutil.rmtree(folder)
    return DuplicateIndex.create(folder, options)


def _chosen(partition: Mapping[str, str]) -> list[tuple[str, str, str]]:
    return [(column, "=", value) for column, value in partition.items()]


def _partitions(lake: Lake) -> list[dict[str, str]]:
    """Shards with documents, as partition columns and values."""
    # Delta returns the columns in any order.
    found = lake.table(DOCUMENTS.name).partitions()
    return [{column: partition[column] for column in DOCUMENTS.partition_by} for partition in found]


def _origin(sources: Sequence[Mapping[str, Written]], shard: str) -> str:
    """The versions of the shard's documents and verdicts."""
    versions = [
        max((written[key].version for key in (shard, WHOLE) if key in written), default=-1) for written in sources
    ]
    return " ".join(map(str, versions))


def _kept(lake: Lake, recipe: str, partition: Mapping[str, str]) -> Iterator[pa.RecordBatch]:
    """The documents of a shard that the recipe keeps."""
    chosen = _chosen(partition)
    verdicts = lake.table("dclm.verdicts").to_pyarrow_dataset(partitions=chosen)
    judged = verdicts.to_table(columns=["doc_id", "recipe", "kept"])
    judged = judged.filter(pc.equal(judged["recipe"], recipe)).filter(pc.field("kept"))
    documents = lake.table("dclm.documents").to_pyarrow_dataset(partitions=chosen)
    for batch in documents.to_batches(columns=list(COLUMNS)):
        kept = pc.is_in(batch["doc_id"], judged["doc_id"])
        yield batch.filter(kept).rename_columns(list(COLUMNS.values()))

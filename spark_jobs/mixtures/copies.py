"""Copies across the sources of a mixture, by the engine of deduplication: the first source in the recipe keeps its row.

Within a source the longest text is kept, and among equally long ones that with the least doc_id.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from spark_jobs.compute import pc
from spark_jobs.dedup.clusters import Documents, cluster_against
from spark_jobs.dedup.near_copies import NearCopies, Verify
from spark_jobs.mixtures.candidates import Candidates, Fate

HASHES = ("doc_id", "text_hash", "text_bytes")


def drop_copies(sources: Sequence[Candidates], kind: str, similarity: float) -> None:
    """Drop the copies among what is left of all sources.

    Args:
        sources: in the order of the recipe.
        kind: near (equal and nearly equal texts), exact, or none.
        similarity: Jaccard similarity of word 5-shingles from which two documents are near copies.
    """
    for number, each in enumerate(sources if kind != "none" else ()):
        earlier = [other for other in sources[:number] if other.left.any()]
        if not each.left.any():
            continue
        if kind == "near":
            options = NearCopies(threshold=similarity, verify=Verify.JACCARD)
            found = cluster_against(_documents(each), [_documents(other) for other in earlier], options)
            found = found.filter(pc.invert(found["kept"]))
        else:
            found = _equal(each, earlier)
        places = each.drop(found["doc_id"].combine_chunks(), Fate.DUPLICATE)
        rows = zip(places.tolist(), found["kept_doc_id"].to_pylist(), found["similarity"].to_pylist(), strict=True)
        each.kept |= {place: (kept, alike) for place, kept, alike in rows}


def _documents(source: Candidates) -> Documents:
    chosen = source.left
    return Documents(
        batches=_named(source, [*HASHES, "minhash"], chosen), texts=partial(_named, source, ["text"], chosen)
    )


def _named(source: Candidates, columns: Sequence[str], chosen: NDArray[np.bool_]) -> Iterator[pa.RecordBatch]:
    for _, batch in source.batches(columns, chosen):
        yield batch.rename_columns(["id" if name == "doc_id" else name for name in columns])


def _equal(source: Candidates, earlier: Sequence[Candidates]) -> pa.Table:
    """The copies of equal texts in a source: doc_id, kept_doc_id, similarity. Texts are equal by hash and length."""
    schema = pa.schema([("doc_id", pa.string()), ("text_hash", pa.int64()), ("text_bytes", pa.int64())])
    tables = []
    for place, each in enumerate([*earlier, source]):
        batches = (batch for _, batch in each.batches(HASHES, each.left))
        table = pa.Table.from_batches(batches, schema)
        tables.append(table.append_column("place", pa.array(np.full(len(table), place, np.int32))))
    table = pa.concat_tables(tables)
    keys = ("text_hash", "text_bytes")
    table = table.sort_by([(name, "ascending") for name in (*keys, "place", "doc_id")]).combine_chunks()
    changes = np.ones(len(table), np.bool_)
    hashes, sizes = (table[name].to_numpy() for name in keys)
    changes[1:] = (hashes[1:] != hashes[:-1]) | (sizes[1:] != sizes[:-1])
    first = np.flatnonzero(changes)[np.cumsum(changes) - 1]
    copies = np.flatnonzero(~changes & (table["place"].to_numpy() == len(earlier)))
    ids = table["doc_id"].combine_chunks()
    return pa.table(
        {
            "doc_id": ids.take(pa.array(copies)),
            "kept_doc_id": ids.take(pa.array(first[copies])),
            "similarity": pa.array(np.ones(len(copies))),
        }
    )

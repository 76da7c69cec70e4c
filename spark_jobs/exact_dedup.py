"""Documents with the same URL, the same text, or any other column equal: by 128-bit hashes, byte for byte.

Nothing is stripped or lower-cased; an absent value equals none. The least id of equal ones stays, so that the result
depends neither on order nor on batches. Memory holds 16 bytes per document, and its id.

Exact copies of paragraphs are `paragraphs.EXACT_PARAGRAPHS`, of substrings `substring_dedup`.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import WatershedError
from spark_jobs.clusters import equal_runs

SCHEMA = pa.schema([("id", pa.string()), ("kept", pa.bool_()), ("kept_id", pa.string()), ("copies", pa.int64())])
"""A row per document that has a copy: whether it stays, which one stays for it, and how many there are with it."""


def exact_duplicates(batches: Iterable[pa.RecordBatch], column: str = "text") -> pa.Table:
    """Documents that are equal to another in a column, as SCHEMA, in the order of id.

    Args:
        batches: id and the column, of strings.
        column: e.g. text or url.

    Raises:
        WatershedError: there is no such column, or an id occurs twice.
    """
    from spark_jobs.kernels.text_hash import text_hash_128

    ids, hashes = [pa.array([], pa.string())], [np.zeros((0, 2), np.uint64)]
    for batch in batches:
        if missing := {"id", column} - set(batch.schema.names):
            raise WatershedError(f"documents lack {', '.join(sorted(missing))}", "name a column that they have")
        valid = batch.filter(batch[column].is_valid())
        ids.append(valid["id"].cast(pa.string()))
        packed = text_hash_128(valid[column])
        hashes.append(np.frombuffer(packed.buffers()[1], np.uint64)[: 2 * len(packed)].reshape(-1, 2))
    documents = pa.concat_arrays(ids)
    order = pc.call_function("array_sort_indices", [documents])
    documents = documents.take(order)
    if len(documents) and (documents[1:].to_numpy(False) == documents[:-1].to_numpy(False)).any():
        raise WatershedError("an id occurs twice among the documents to compare", "give every document its own")
    both = np.concatenate(hashes)[order.to_numpy()]
    groups = equal_runs(both[:, 0], both[:, 1])
    _, first, inverse, counts = np.unique(groups, return_index=True, return_inverse=True, return_counts=True)
    stands, copies = first[inverse], counts[inverse]
    chosen = np.flatnonzero(copies > 1)
    columns = [
        documents.take(pa.array(chosen)),
        pa.array(stands[chosen] == chosen),
        documents.take(pa.array(stands[chosen])),
        pa.array(copies[chosen]),
    ]
    return pa.table(columns, schema=SCHEMA)

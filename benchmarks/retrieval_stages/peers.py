"""Other indexes on the same vectors: faiss by itself, and LanceDB."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.retrieval_stages.measures import Row, measured

TARGET = 0.97


def faiss_rows(vectors: np.ndarray, queries: np.ndarray, true: np.ndarray, lists: int) -> Iterator[Row]:
    """Yield faiss's own indexes, each searched with the fewest lists by which recall@10 reaches TARGET."""
    import faiss

    full = np.asarray(vectors, dtype=np.float32)
    for factory in (f"IVF{lists},SQ8", f"IVF{lists},RaBitQ", f"IVF{lists},PQ64x4fs,RFlat"):
        began = time.perf_counter()
        index: Any = faiss.index_factory(full.shape[1], factory, faiss.METRIC_INNER_PRODUCT)
        inner = faiss.extract_index_ivf(index)
        inner.cp.max_points_per_centroid, inner.cp.niter = 48, 10
        index.train(full[: max(lists * 48, 65_536)])
        index.add(full)
        build = time.perf_counter() - began
        if "RFlat" in factory:
            index.k_factor = 20
        stored = len(faiss.serialize_index(inner))
        probes = 4
        while True:
            inner.nprobe = probes
            found = index.search(queries, 10)[1]
            recall = float((true[:, :, None] == found[:, None, :]).any(axis=2).mean())
            if recall >= TARGET or probes >= min(lists, 256):
                break
            probes *= 2
        name = f"faiss {factory}, nprobe {probes}"

        def search(asked: np.ndarray, index: Any = index) -> np.ndarray:
            return index.search(np.ascontiguousarray(asked), 10)[1]

        yield measured(name, search, queries, true, build_seconds=build, bytes_a_vector=stored / len(full))


def lancedb_row(vectors: np.ndarray, queries: np.ndarray, true: np.ndarray, lists: int) -> Row:
    """Return LanceDB's IVF_PQ with refinement; queries are single calls, as its interface has them."""
    import lancedb
    import pyarrow as pa

    folder = Path(tempfile.mkdtemp())
    try:
        table = lancedb.connect(str(folder)).create_table("vectors", schema=_schema(vectors.shape[1]))
        for start in range(0, len(vectors), 100_000):
            part = np.asarray(vectors[start : start + 100_000], dtype=np.float32)
            values = pa.FixedSizeListArray.from_arrays(pa.array(part.ravel()), part.shape[1])
            place = pa.array(np.arange(start, start + len(part)))
            table.add(pa.table({"place": place, "vector": values}))
        before = _size(folder)
        began = time.perf_counter()
        table.create_index(metric="dot", num_partitions=lists, num_sub_vectors=64, vector_column_name="vector")
        build = time.perf_counter() - began
        few = queries[:200]
        probes = 16

        def search(asked: np.ndarray) -> np.ndarray:
            found = np.full((len(asked), 10), -1)
            for row, query in enumerate(asked):
                asking: Any = table.search(query)
                hits = asking.nprobes(probes).refine_factor(20).limit(10).select(["place"]).to_arrow()
                places = hits["place"].to_numpy()
                found[row, : len(places)] = places
            return found

        while probes < min(lists, 256):
            recall = float((true[:200, :, None] == search(few)[:, None, :]).any(axis=2).mean())
            if recall >= TARGET:
                break
            probes *= 2
        name = f"lancedb IVF_PQ64, nprobes {probes}, refine 20"
        size = (_size(folder) - before) / len(vectors)
        return measured(name, search, few, true[:200], build_seconds=build, bytes_a_vector=size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _schema(dimensions: int) -> Any:
    import pyarrow as pa

    return pa.schema([("place", pa.int64()), ("vector", pa.list_(pa.float32(), dimensions))])


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

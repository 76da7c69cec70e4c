"""Compact codes of vectors, in three kinds, which name candidates that are re-ranked from the vectors themselves.

- `exact`: no codes; every vector is a candidate. For some thousand vectors.
- `usearch`: an HNSW graph over vectors of 8 bits. Fast for one query, but its file has more bytes than the vectors.
- `ivf-rabitq` and `ivf-pq`: faiss's inverted lists with codes of one bit a dimension (RaBitQ, arXiv 2405.12497), or of
  product quantisation. Tens of bytes a vector, memory-mapped.

Positions are places of vectors in their table, from 0. All kinds rank by inner product.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from catalog.errors import WatershedError

KINDS = ("exact", "usearch", "ivf-rabitq", "ivf-pq")
FEWEST_CODED = 1000
EXACT_VECTORS = 20_000
USEARCH_VECTORS = 100_000
BLOCK = 65_536
"""Vectors that are in memory as 32-bit floats at a time."""
TRAINED_EACH, TRAINED_LEAST = 48, 39
"""Vectors that a centroid is trained on, and how many faiss asks for at least."""
PQ_TRAINED = 65_536


@dataclass(frozen=True, kw_only=True)
class CodeChoices:
    """How codes are made."""

    kind: str = "auto"
    """One of KINDS, or auto: by the number of vectors."""
    lists: int = 0
    """Inverted lists; 0 for the power of two nearest to four times the root of the number of vectors, or for fewer if
    there are too few vectors to train so many centroids."""
    pq_bytes: int = 64
    """Bytes of a code of product quantisation, a divisor of the dimensions."""
    seed: int = 0

    def kind_for(self, vectors: int) -> str:
        """Return the kind for so many vectors.

        Raises:
            WatershedError: the kind is none of KINDS.
        """
        if self.kind == "auto":
            small = "exact" if vectors <= EXACT_VECTORS else "usearch"
            return small if vectors <= USEARCH_VECTORS else "ivf-rabitq"
        if self.kind not in KINDS:
            raise WatershedError(f"{self.kind!r} is not a kind of index", f"choose auto, {', '.join(KINDS)}")
        # Lists cannot be trained on a handful of vectors, and nothing is won by a graph of them.
        return self.kind if vectors >= FEWEST_CODED else "exact"

    def lists_for(self, vectors: int) -> int:
        """Return the number of inverted lists for so many vectors."""
        if self.lists:
            return self.lists
        fitting = math.log2(max(vectors / TRAINED_LEAST, 1))
        return 2 ** max(min(round(math.log2(4 * math.sqrt(vectors))), int(fitting)), 2)


class Codes(Protocol):
    """Codes that are open for searches."""

    lists: int
    """Inverted lists; 0 for a kind without lists."""

    def candidates(self, queries: np.ndarray, count: int, alive: np.ndarray | None, probes: int) -> np.ndarray:
        """Return positions (queries, count) of likely neighbours, best first, -1 where there are fewer.

        Args:
            queries: vectors (queries, dimensions) in float32.
            count: candidates of each query.
            alive: the positions that may be returned, as packed bits in little order; None for all.
            probes: inverted lists that are searched, or the width of the search in a graph.
        """
        ...


def living_of(alive: np.ndarray | None, count: int) -> np.ndarray:
    """Return for each of `count` positions whether it may be returned, from packed bits in little order; None: all."""
    if alive is None:
        return np.ones(count, dtype=bool)
    return np.unpackbits(alive, bitorder="little", count=count).astype(bool)


def blocks(vectors: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (first position, vectors in float32) of a table in half precision, block by block."""
    for start in range(0, len(vectors), BLOCK):
        yield start, np.asarray(vectors[start : start + BLOCK], dtype=np.float32)


def write_codes(kind: str, vectors: np.ndarray, path: Path, choices: CodeChoices, *, normalised: bool) -> None:
    """Write the codes of vectors (n, dimensions) in half precision to a file. `exact` has no file."""
    if kind == "usearch":
        _write_usearch(vectors, path, normalised=normalised)
    elif kind.startswith("ivf"):
        _write_ivf(kind, vectors, path, choices, normalised=normalised)


def open_codes(kind: str, path: Path, vectors: np.ndarray) -> Codes:
    """Open the codes that `write_codes` wrote, memory-mapped."""
    if kind == "exact":
        return ExactCodes(vectors)
    if kind == "usearch":
        return UsearchCodes(path, len(vectors))
    return IvfCodes(kind, path)


class ExactCodes:
    """No codes: candidates are the true neighbours."""

    lists = 0
    KEPT = 64_000_000
    """Bytes of 32-bit vectors that are kept in memory between searches."""

    def __init__(self, vectors: np.ndarray) -> None:
        self._vectors = vectors
        self._kept: np.ndarray | None = None

    def candidates(self, queries: np.ndarray, count: int, alive: np.ndarray | None, probes: int) -> np.ndarray:
        """See `Codes`."""
        del probes
        if self._kept is None and self._vectors.size * 4 <= self.KEPT:
            self._kept = np.asarray(self._vectors, dtype=np.float32)
        return exact_neighbours(self._vectors if self._kept is None else self._kept, queries, count, alive)[0]


def exact_neighbours(
    vectors: np.ndarray, queries: np.ndarray, count: int, alive: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions (queries, count) of the nearest vectors by inner product, and the scores; -1 for none.

    Vectors are read block by block. Equal scores are ordered by position.
    """
    found = np.full((len(queries), count), -1, dtype=np.int64)
    best = np.full((len(queries), count), -np.inf, dtype=np.float32)
    living = None if alive is None else living_of(alive, len(vectors))
    for start, block in blocks(vectors):
        scores = queries @ block.T
        if living is not None:
            scores[:, ~living[start : start + len(block)]] = -np.inf
        kept = min(count, len(block))
        near = np.argpartition(-scores, kept - 1, axis=1)[:, :kept]
        merged = np.hstack([best, np.take_along_axis(scores, near, axis=1)])
        places = np.hstack([found, near + start])
        places[np.isneginf(merged)] = -1
        order = np.lexsort((places, -merged))[:, :count]
        best, found = np.take_along_axis(merged, order, axis=1), np.take_along_axis(places, order, axis=1)
    return found, best


def _write_usearch(vectors: np.ndarray, path: Path, *, normalised: bool) -> None:
    from usearch.index import Index

    # Codes of 8 bits hold values from -1 to 1.
    graph = Index(ndim=vectors.shape[1], metric="ip", dtype="i8" if normalised else "f16")
    for start, block in blocks(vectors):
        graph.add(np.arange(start, start + len(block), dtype=np.uint64), block)
    graph.save(str(path))


class UsearchCodes:
    """A graph of usearch, memory-mapped. Deleted vectors stay in the graph, so that more neighbours are asked for."""

    lists = 0
    MOST = 10_000

    def __init__(self, path: Path, vectors: int) -> None:
        from usearch.index import Index

        self._graph: Any = Index.restore(str(path), view=True)
        self._vectors = vectors

    def candidates(self, queries: np.ndarray, count: int, alive: np.ndarray | None, probes: int) -> np.ndarray:
        """See `Codes`."""
        living = None
        wanted = count
        if alive is not None:
            living = living_of(alive, self._vectors)
            # As many more as are deleted, within bounds: then `count` of them are alive whatever was deleted.
            wanted = count + min(int(self._vectors - living.sum()), self.MOST)
        wanted = min(wanted, self._vectors)
        self._graph.expansion_search = max(probes, wanted)
        matches = self._graph.search(queries, wanted)
        found = np.asarray(matches.keys).astype(np.int64).reshape(len(queries), -1)
        counts = np.atleast_1d(getattr(matches, "counts", np.full(len(queries), found.shape[1])))
        found[np.arange(found.shape[1])[None, :] >= counts[:, None]] = -1
        if living is not None:
            found[(found >= 0) & ~living[np.maximum(found, 0)]] = -1
            found = np.take_along_axis(found, np.argsort(found < 0, axis=1, kind="stable"), axis=1)
        kept = np.full((len(queries), count), -1, dtype=np.int64)
        kept[:, : min(count, found.shape[1])] = found[:, :count]
        return kept


def _write_ivf(kind: str, vectors: np.ndarray, path: Path, choices: CodeChoices, *, normalised: bool) -> None:
    faiss = _faiss()
    dimensions, lists = vectors.shape[1], choices.lists_for(len(vectors))
    if kind == "ivf-pq" and dimensions % choices.pq_bytes:
        raise WatershedError(
            f"{choices.pq_bytes} bytes do not divide {dimensions} dimensions", "choose a divisor of the dimensions"
        )
    # For vectors of length 1 both give one order, and codes of distances are more exact than those of products.
    metric = faiss.METRIC_L2 if normalised else faiss.METRIC_INNER_PRODUCT
    coarse = faiss.IndexFlat(dimensions, metric)
    if kind == "ivf-pq":
        index: Any = faiss.IndexIVFPQ(coarse, dimensions, lists, choices.pq_bytes, 8, metric)
        index.pq.cp.niter = 10
    else:
        index = faiss.IndexIVFRaBitQ(coarse, dimensions, lists, metric)
    index.cp.seed, index.cp.niter = choices.seed + 1234, 10
    index.cp.max_points_per_centroid = TRAINED_EACH
    index.train(_sample(vectors, max(lists * TRAINED_EACH, PQ_TRAINED if kind == "ivf-pq" else 0), choices.seed))
    for _, block in blocks(vectors):
        index.add(block)
    faiss.write_index(index, str(path))


def _sample(vectors: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Return `count` vectors drawn at random, or all if there are fewer, in float32."""
    if count >= len(vectors):
        return np.asarray(vectors, dtype=np.float32)
    chosen = np.sort(np.random.default_rng(seed).choice(len(vectors), count, replace=False))
    return np.asarray(vectors[chosen], dtype=np.float32)


def _faiss() -> Any:
    """Return faiss, most of whose names are made when it is imported, so that type checkers do not know them."""
    try:
        import faiss
    except ImportError as error:
        raise WatershedError("faiss is not installed", "run `uv sync --extra retrieval`") from error
    return faiss


class IvfCodes:
    """Inverted lists of faiss, memory-mapped."""

    def __init__(self, kind: str, path: Path) -> None:
        faiss = _faiss()
        self._index: Any = faiss.read_index(str(path), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        self._kind = kind
        self.lists = int(self._index.nlist)

    def candidates(self, queries: np.ndarray, count: int, alive: np.ndarray | None, probes: int) -> np.ndarray:
        """See `Codes`."""
        faiss = _faiss()
        selector = None if alive is None else faiss.IDSelectorBitmap(alive)
        probes = min(probes, self.lists)
        if self._kind == "ivf-pq":
            how: Any = faiss.IVFPQSearchParameters(nprobe=probes, sel=selector)
        else:
            how = faiss.IVFRaBitQSearchParameters(nprobe=probes, sel=selector, qb=RABITQ_QUERY_BITS)
        return self._index.search(np.ascontiguousarray(queries, dtype=np.float32), count, params=how)[1]


RABITQ_QUERY_BITS = 4
"""Bits a dimension of a query that is compared with codes of one bit."""

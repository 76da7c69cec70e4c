"""A segment of an index: a table of vectors in half precision, their ids, and codes; it is written once.

    NAME/vectors.npy   (n, dimensions) float16
    NAME/ids.npy       (n, 16) uint8
    NAME/codes         codes of faiss or usearch; none for an exact segment
    NAME/segment.json  kind, widths of the search, sizes

Deleted vectors are bits in a file of their own, so that nothing of a segment is ever rewritten.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from catalog.errors import WatershedError
from spark_jobs.retrieval.calibration import NEIGHBOURS, Width, calibrated
from spark_jobs.retrieval.codes import CodeChoices, living_of, open_codes, write_codes

VECTORS, IDS, CODES, FACTS = "vectors.npy", "ids.npy", "codes", "segment.json"
ID_BYTES = 16
SAMPLED = 256
"""Vectors of the segment that the width of its search is measured with, where no queries are given."""
RERANK_BLOCK = 32
"""Queries whose candidates are read at a time."""


@dataclass(frozen=True, kw_only=True)
class SegmentFacts:
    """What a segment is."""

    kind: str
    vectors: int
    code_bytes: int
    """Bytes of codes and ids, all that is there beside the vectors."""
    build_seconds: float
    probes: int
    candidates: int
    recall: float
    """Recall@10 against exact search, measured at the build."""


def raw_ids(ids: Sequence[str]) -> np.ndarray:
    """Return ids of 32 hex digits as (n, 16) bytes.

    Raises:
        WatershedError: an id is not 32 hex digits.
    """
    try:
        joined = b"".join(map(bytes.fromhex, ids))
    except ValueError:
        joined = b"?"
    if len(joined) != ID_BYTES * len(ids):
        raise WatershedError("an id of a vector is not 32 hex digits", "use `passages.passage_id`")
    return np.frombuffer(joined, dtype=np.uint8).reshape(len(ids), ID_BYTES)


class TableWriter:
    """Writes vectors and ids to a folder, block by block; the number of them is not known before."""

    def __init__(self, folder: Path, dimensions: int) -> None:
        self.folder, self.dimensions, self.count = folder, dimensions, 0
        folder.mkdir(parents=True, exist_ok=True)
        self._vectors = (folder / f"{VECTORS}.raw").open("wb")
        self._ids = (folder / f"{IDS}.raw").open("wb")

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """Add vectors (n, dimensions) of any precision, and their ids (n, 16)."""
        if vectors.shape != (len(ids), self.dimensions):
            raise WatershedError(
                f"vectors of shape {vectors.shape} do not fit {len(ids)} ids and {self.dimensions} dimensions",
                "give one vector for each id",
            )
        if not np.isfinite(vectors).all():
            raise WatershedError("a vector holds a value that is not a finite number", "embed the passages again")
        with np.errstate(over="ignore"):
            half = np.ascontiguousarray(vectors, dtype=np.float16)
        if not np.isfinite(half).all():
            raise WatershedError("a vector exceeds half precision", "normalise the vectors of this encoder")
        self._vectors.write(half.tobytes())
        self._ids.write(np.ascontiguousarray(ids).tobytes())
        self.count += len(ids)

    def close(self) -> tuple[np.ndarray, np.ndarray]:
        """End the table, and return its vectors and ids, memory-mapped."""
        shapes = ((VECTORS, np.float16, self.dimensions, self._vectors), (IDS, np.uint8, ID_BYTES, self._ids))
        for name, kind, width, file in shapes:
            file.close()
            raw, path = self.folder / f"{name}.raw", self.folder / name
            with path.open("wb") as target, raw.open("rb") as source:
                header = {"descr": np.lib.format.dtype_to_descr(np.dtype(kind)), "fortran_order": False}
                np.lib.format.write_array_header_1_0(target, header | {"shape": (self.count, width)})
                while chunk := source.read(1 << 24):
                    target.write(chunk)
            raw.unlink()
        return opened_table(self.folder)


def opened_table(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the vectors and ids of a segment, memory-mapped."""
    return mapped(folder / VECTORS), mapped(folder / IDS)


def mapped(path: Path) -> np.ndarray:
    """Return the array of a .npy file, memory-mapped. A file with pickled objects is refused."""
    return np.load(path, mmap_mode="r", allow_pickle=False)


def write_segment(
    folder: Path,
    table: TableWriter,
    choices: CodeChoices,
    *,
    normalised: bool,
    target: float,
    queries: np.ndarray | None = None,
    began: float | None = None,
) -> SegmentFacts:
    """Write the codes of a table that has been filled, measure how widely it must be searched, and describe it."""
    began = time.monotonic() if began is None else began
    vectors, _ = table.close()
    kind = choices.kind_for(len(vectors))
    write_codes(kind, vectors, folder / CODES, choices, normalised=normalised)
    width = Width(candidates=NEIGHBOURS)
    if kind != "exact":
        codes, own = open_codes(kind, folder / CODES, vectors), None
        if queries is None:
            own = np.sort(np.random.default_rng(choices.seed).choice(len(vectors), SAMPLED, replace=False))
            queries = np.asarray(vectors[own], dtype=np.float32)
        width = calibrated(codes, vectors, queries, target, own=own)
    size = (folder / CODES).stat().st_size if kind != "exact" else 0
    facts = SegmentFacts(
        kind=kind,
        vectors=len(vectors),
        code_bytes=size + (folder / IDS).stat().st_size,
        build_seconds=round(time.monotonic() - began, 3),
        probes=width.probes,
        candidates=width.candidates,
        recall=width.recall,
    )
    (folder / FACTS).write_text(json.dumps(asdict(facts), indent=1))
    return facts


class Segment:
    """A segment that is open for searches."""

    def __init__(self, folder: Path, dead: Path | None) -> None:
        self.folder, self.dead = folder, dead
        self.facts = SegmentFacts(**json.loads((folder / FACTS).read_text()))
        self.vectors, self.ids = opened_table(folder)
        self.codes = open_codes(self.facts.kind, folder / CODES, self.vectors)
        self.alive: np.ndarray | None = None
        """The vectors that are not deleted, as packed bits in little order; None for all."""
        if dead is not None:
            self.alive = np.invert(np.load(dead, allow_pickle=False))

    @property
    def kept(self) -> np.ndarray:
        """Whether each vector is not deleted."""
        return living_of(self.alive, self.facts.vectors)

    @property
    def deleted(self) -> int:
        """How many vectors are deleted."""
        if self.alive is None:
            return 0
        return self.facts.vectors - int(self.kept.sum())

    def search(
        self, queries: np.ndarray, count: int, *, probes: int = 0, candidates: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores (queries, count) and positions of the nearest vectors, -inf and -1 where there are fewer.

        Args:
            queries: (queries, dimensions) in float32.
            count: neighbours of each.
            probes: lists to search; 0 for what was measured at the build.
            candidates: vectors that are read for re-ranking; 0 for what was measured at the build.
        """
        wanted = max(candidates or self.facts.candidates, count)
        # More than ten neighbours need more candidates in proportion, up to a bound.
        wanted = max(wanted, min(wanted * count // NEIGHBOURS, 2000)) if count > NEIGHBOURS else wanted
        wanted = min(wanted, max(self.facts.vectors, 1))
        found = self.codes.candidates(queries, wanted, self.alive, probes or self.facts.probes)
        scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
        places = np.full((len(queries), count), -1, dtype=np.int64)
        for start in range(0, len(queries), RERANK_BLOCK):
            part = slice(start, start + RERANK_BLOCK)
            near = found[part]
            table = self.vectors[np.maximum(near, 0)].astype(np.float32)
            exact = np.einsum("qd,qcd->qc", queries[part], table)
            exact[near < 0] = -np.inf
            order = np.lexsort((near, -exact), axis=1)[:, :count]
            kept = order.shape[1]
            scores[part, :kept] = np.take_along_axis(exact, order, axis=1)
            places[part, :kept] = np.take_along_axis(near, order, axis=1)
        places[np.isneginf(scores)] = -1
        return scores, places

    def named(self, places: np.ndarray) -> list[str]:
        """Return the ids of positions, as 32 hex digits."""
        return [row.tobytes().hex() for row in self.ids[places]]

    def positions(self, ids: np.ndarray) -> np.ndarray:
        """Return the positions of those of the ids (n, 16) that the segment holds, deleted ones left out."""
        own = np.ascontiguousarray(self.ids).view(f"S{ID_BYTES}").ravel()
        found = np.flatnonzero(np.isin(own, np.ascontiguousarray(ids).view(f"S{ID_BYTES}").ravel()))
        return found if self.alive is None else found[self.kept[found]]

    def living(self, block: int = 65_536) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the ids and vectors that are not deleted, block by block."""
        keep = self.kept
        for start in range(0, self.facts.vectors, block):
            part = slice(start, start + block)
            yield self.ids[part][keep[part]], self.vectors[part][keep[part]]

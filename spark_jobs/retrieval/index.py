"""An index of vectors on the disk: segments that are written once, and a manifest that names them.

A segment (`segments`) has the vectors in half precision, and codes that name candidates, which are re-ranked from these
vectors. Vectors are added as a new segment, and deleted by a bit; nothing is rebuilt. `optimise` merges small segments
and leaves out what is deleted. The manifest is replaced as a whole and last: a process that is killed at any moment
leaves the index that was there before, and what it left behind is removed by the next one that writes.

    FOLDER/manifest.json
    FOLDER/segments/NAME/…
    FOLDER/deleted/NAME-GENERATION.npy

One process writes at a time; any number read, also while one writes.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from catalog.errors import WatershedError
from catalog.files import write_whole
from spark_jobs.retrieval.codes import CodeChoices
from spark_jobs.retrieval.segments import Segment, SegmentFacts, TableWriter, raw_ids, write_segment
from spark_jobs.retrieval.stamps import Stamp, require_same

MANIFEST, FORMAT = "manifest.json", 1
REOPENED = 5
"""Attempts to open an index while another process replaces its segments."""
Batch = tuple[Sequence[str], np.ndarray]
"""Ids of 32 hex digits, and their vectors (n, dimensions)."""


@dataclass(frozen=True, kw_only=True)
class IndexChoices:
    """How an index is built and searched."""

    codes: CodeChoices = field(default_factory=CodeChoices)
    segment_vectors: int = 8_000_000
    """Most vectors of a segment: what one training of centroids serves, and what is rewritten at a time."""
    recall: float = 0.98
    """Recall@10 that the width of searches is chosen for, on a sample."""


@dataclass(frozen=True)
class _Named:
    name: str
    deleted: str | None = None
    """Name of the file of deleted vectors."""


@dataclass(frozen=True)
class _Manifest:
    stamp: Stamp
    generation: int
    segments: tuple[_Named, ...]


@dataclass(frozen=True)
class Neighbours:
    """The result of one query: ids of 32 hex digits and their inner products, best first."""

    ids: list[str]
    scores: list[float]


class VectorIndex:
    """An index that is open. Make one with `VectorIndex.build`, and open one with `VectorIndex(folder)`.

    Example:
        >>> index = VectorIndex.build(Path("index"), encoder.stamp, [(ids, encoder.documents(texts))])
        >>> index.search(encoder.queries(["rivers of ice"]), encoder.stamp, 10)[0].ids
        ['5f0c…', …]
        >>> index.delete(ids[:1])
        1
    """

    def __init__(self, folder: Path, choices: IndexChoices | None = None) -> None:
        """Open an index.

        Raises:
            WatershedError: there is none in the folder, or a file of it is missing.
        """
        self.folder, self.choices = folder, choices or IndexChoices()
        self.refresh()

    @classmethod
    def build(
        cls,
        folder: Path,
        stamp: Stamp,
        batches: Iterable[Batch],
        choices: IndexChoices | None = None,
        *,
        queries: np.ndarray | None = None,
    ) -> VectorIndex:
        """Build an index, in place of the one in the folder, which answers until this one is complete.

        Args:
            folder: the folder of the index.
            stamp: where the vectors come from.
            batches: ids and vectors; the last vector of an id that appears twice counts.
            choices: how it is built.
            queries: vectors of queries (n, dimensions) that the width of searches is measured with; by default a
                sample of the vectors.

        Raises:
            WatershedError: a vector is malformed, or the disk is full.
        """
        choices = choices or IndexChoices()
        with _writing(folder):
            before = _read_manifest(folder)
            writer = _Writer(folder, stamp, choices, queries)
            names = writer.write(_once(batches))
            manifest = _Manifest(stamp, before.generation + 1 if before else 1, tuple(map(_Named, names)))
            _write_manifest(folder, manifest)
        return cls(folder, choices)

    def refresh(self) -> None:
        """Read what other processes have written since."""
        for attempt in range(REOPENED):
            manifest = _read_manifest(self.folder)
            if manifest is None:
                raise WatershedError(f"{self.folder} holds no index of vectors", "build the index first")
            try:
                self.segments = [self._opened(each) for each in manifest.segments]
            except FileNotFoundError as error:
                # Another process has replaced the segments between the two reads.
                if attempt == REOPENED - 1:
                    raise WatershedError(f"{error.filename} is missing", "build the index again") from error
                continue
            self.stamp, self.generation = manifest.stamp, manifest.generation
            return

    def _opened(self, named: _Named) -> Segment:
        dead = None if named.deleted is None else self.folder / "deleted" / named.deleted
        return Segment(self.folder / "segments" / named.name, dead)

    def __len__(self) -> int:
        return sum(each.facts.vectors - each.deleted for each in self.segments)

    @property
    def facts(self) -> list[SegmentFacts]:
        """What each segment is."""
        return [each.facts for each in self.segments]

    @property
    def code_bytes(self) -> int:
        """Bytes of codes and ids: all that is on the disk beside the vectors."""
        deleted = sum(each.dead.stat().st_size for each in self.segments if each.dead)
        return sum(each.code_bytes for each in self.facts) + deleted

    def search(
        self, queries: np.ndarray, stamp: Stamp, count: int = 10, *, probes: int = 0, candidates: int = 0
    ) -> list[Neighbours]:
        """Return the nearest vectors of each query by inner product.

        Args:
            queries: (queries, dimensions) in float32.
            stamp: the encoder of the queries.
            count: neighbours of each query.
            probes: lists to search in a segment; 0 for what was measured at the build.
            candidates: vectors of a segment that are re-ranked; 0 for what was measured at the build.

        Raises:
            WatershedError: the queries are of another encoder.
        """
        require_same(self.stamp, stamp, str(self.folder))
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        if not self.segments or not len(queries):
            return [Neighbours([], []) for _ in queries]
        found = [each.search(queries, count, probes=probes, candidates=candidates) for each in self.segments]
        scores = np.hstack([scores for scores, _ in found])
        origin = np.hstack([np.full(places.shape, number) for number, (_, places) in enumerate(found)])
        places = np.hstack([places for _, places in found])
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        return [self._named(scores[row], origin[row], places[row], order[row]) for row in range(len(queries))]

    def _named(self, scores: np.ndarray, origin: np.ndarray, places: np.ndarray, order: np.ndarray) -> Neighbours:
        kept = [place for place in order if places[place] >= 0]
        ids = [self.segments[origin[place]].named(places[place : place + 1])[0] for place in kept]
        return Neighbours(ids, [float(scores[place]) for place in kept])

    def add(self, batches: Iterable[Batch], stamp: Stamp) -> int:
        """Add vectors as a new segment, and return how many. Vectors of ids that are there already are replaced.

        Raises:
            WatershedError: the vectors are of another encoder, or malformed.
        """
        require_same(self.stamp, stamp, str(self.folder))
        with self._changing():
            names = _Writer(self.folder, stamp, self.choices, None).write(_once(batches))
            added = [Segment(self.folder / "segments" / name, None) for name in names]
            gone = self._deleted([each.ids for each in added])
            segments = (*(named for named, _ in gone), *map(_Named, names))
            self._commit(segments)
        return sum(each.facts.vectors for each in added)

    def delete(self, ids: Sequence[str]) -> int:
        """Delete vectors by id, and return how many were there. From now on no search returns them."""
        with self._changing():
            gone = self._deleted([raw_ids(ids)])
            if count := sum(count for _, count in gone):
                self._commit(tuple(named for named, _ in gone))
        return count

    def optimise(self) -> bool:
        """Merge small segments, and leave out deleted vectors; return whether anything was rewritten.

        The old segments answer until the new ones are complete.
        """
        with self._changing():
            small = self.choices.segment_vectors // 2
            rewritten = [each for each in self.segments if each.deleted or each.facts.vectors < small]
            if not rewritten or (len(rewritten) == 1 and not rewritten[0].deleted):
                return False
            living = (part for each in rewritten for part in each.living())
            names = _Writer(self.folder, self.stamp, self.choices, None).write(living)
            kept = [_named_of(each) for each in self.segments if each not in rewritten]
            self._commit((*kept, *map(_Named, names)))
        return True

    def _deleted(self, ids: Sequence[np.ndarray]) -> list[tuple[_Named, int]]:
        """Write which vectors of each segment are deleted with these ids, and return the segments and the counts."""
        wanted = np.concatenate([np.ascontiguousarray(each) for each in ids]) if ids else raw_ids([])
        found = []
        for segment in self.segments:
            places = segment.positions(wanted)
            named = _named_of(segment)
            if len(places):
                living = segment.kept
                living[places] = False
                name = f"{segment.folder.name}-{self.generation + 1:08}.npy"
                _write_bits(self.folder / "deleted" / name, ~living)
                named = replace(named, deleted=name)
            found.append((named, len(places)))
        return found

    @contextmanager
    def _changing(self) -> Generator[None]:
        with _writing(self.folder):
            # What other processes wrote before this one had the lock.
            self.refresh()
            yield

    def _commit(self, segments: tuple[_Named, ...]) -> None:
        _write_manifest(self.folder, _Manifest(self.stamp, self.generation + 1, segments))
        self.refresh()


def _named_of(segment: Segment) -> _Named:
    return _Named(segment.folder.name, segment.dead.name if segment.dead else None)


def _write_bits(path: Path, bits: np.ndarray) -> None:
    import io

    buffer = io.BytesIO()
    np.save(buffer, np.packbits(bits, bitorder="little"))
    write_whole(path, buffer.getvalue())


class _Writer:
    """Writes vectors as segments of at most `segment_vectors`."""

    def __init__(self, folder: Path, stamp: Stamp, choices: IndexChoices, queries: np.ndarray | None) -> None:
        self.folder, self.stamp, self.choices, self.queries = folder, stamp, choices, queries

    def write(self, batches: Iterable[tuple[np.ndarray, np.ndarray]]) -> list[str]:
        """Write ids (n, 16) and vectors, and return the names of the segments."""
        names: list[str] = []
        table: TableWriter | None = None
        began = time.monotonic()
        for ids, vectors in batches:
            start = 0
            while start < len(ids):
                if table is None:
                    table, began = self._table(), time.monotonic()
                end = min(len(ids), start + self.choices.segment_vectors - table.count)
                table.add(ids[start:end], vectors[start:end])
                start = end
                if table.count >= self.choices.segment_vectors:
                    names.append(self._end(table, began))
                    table = None
        if table is not None:
            names.append(self._end(table, began))
        return names

    def _table(self) -> TableWriter:
        name = f"{time.time_ns():019}-{secrets.token_hex(4)}"
        return TableWriter(self.folder / "segments" / name, self.stamp.dimensions)

    def _end(self, table: TableWriter, began: float) -> str:
        write_segment(
            table.folder,
            table,
            self.choices.codes,
            normalised=self.stamp.normalised,
            target=self.choices.recall,
            queries=self.queries,
            began=began,
        )
        _flush_files(table.folder)
        return table.folder.name


def _flush_files(folder: Path) -> None:
    """Wait until the files of a segment are on the disk: the manifest must not name what a crash can lose."""
    for path in (*folder.iterdir(), folder, folder.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _once(batches: Iterable[Batch]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield batches without ids that were there before: 16 bytes an id are held."""
    seen: set[bytes] = set()
    for ids, vectors in batches:
        raw = raw_ids(ids)
        names = [row.tobytes() for row in raw]
        last = {name: place for place, name in enumerate(names)}
        kept = [place for place, name in enumerate(names) if last[name] == place and name not in seen]
        seen.update(names)
        yield (raw, np.asarray(vectors)) if len(kept) == len(names) else (raw[kept], np.asarray(vectors)[kept])


@contextmanager
def _writing(folder: Path) -> Generator[None]:
    """Hold the lock of an index, and remove what killed processes left behind.

    Raises:
        WatershedError: another process writes the index, or the disk is full.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise _unwritten(folder, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise WatershedError(
                f"another process writes the index {folder}", "run it again when that process has ended"
            ) from None
        _sweep(folder)
        try:
            yield
        except OSError as error:
            raise _unwritten(folder, error) from error
        _sweep(folder)
    finally:
        os.close(lock)


def _unwritten(folder: Path, error: OSError) -> WatershedError:
    return WatershedError(
        f"{folder} was not written: {error.strerror or error}",
        "free some space, or make its folder writable, and run it again; the index is as it was before",
    )


def _sweep(folder: Path) -> None:
    """Remove segments that the manifest does not name. Processes that read them keep their open files."""
    manifest = _read_manifest(folder)
    named = {each.name for each in manifest.segments} if manifest else set()
    deleted = {each.deleted for each in manifest.segments if each.deleted} if manifest else set()
    for inside, kept, remove in (("segments", named, _removed), ("deleted", deleted, Path.unlink)):
        if (folder / inside).is_dir():
            for path in (folder / inside).iterdir():
                if path.name not in kept:
                    remove(path)


_removed: Callable[[Path], Any] = shutil.rmtree


def _read_manifest(folder: Path) -> _Manifest | None:
    try:
        found = json.loads((folder / MANIFEST).read_text())
        if found["format"] != FORMAT:
            raise WatershedError(
                f"{folder} is an index of format {found['format']}, and this is {FORMAT}", "build the index again"
            )
        segments = tuple(_Named(**each) for each in found["segments"])
        return _Manifest(Stamp.from_json(found["stamp"]), int(found["generation"]), segments)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise WatershedError(f"{folder / MANIFEST} is malformed: {error}", "build the index again") from error


def _write_manifest(folder: Path, manifest: _Manifest) -> None:
    found = {
        "format": FORMAT,
        "generation": manifest.generation,
        "stamp": asdict(manifest.stamp),
        "segments": [asdict(each) for each in manifest.segments],
    }
    write_whole(folder / MANIFEST, json.dumps(found, indent=1).encode())

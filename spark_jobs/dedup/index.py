"""An index of deduplicated shards on disk: a new shard is compared with all earlier ones.

A folder holds for each shard its documents (id, length, hashes, signature, band keys, in the order of id) and the
pairs that it added, of documents that signatures connect: within itself, and with each earlier shard. Whether two
documents are a pair depends on these two only (`clusters`). Therefore

- adding a shard compares it with the others and does not change what is stored of them;
- removing a shard removes its documents and the pairs that name it;
- the groups that all pairs connect are those that a run over all documents finds, in whatever order shards were added
  and removed; which copies are kept depends on their texts, lengths and ids, not on the order of arrival.

An index holds no texts. To compare them (`verify: jaccard`), the texts of the documents in groups are passed by the
caller, who has them. What `duplicates` finds in a group is stored, and the group is not compared again until a document
joins or leaves it.

`index.json` names the shards and their files. It is replaced last, so a reader sees all of a change or nothing, even
after a crash.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from catalog.files import sha256_of, whole_file, write_whole
from spark_jobs.compute import pc
from spark_jobs.dedup.clusters import Signed, join_equal
from spark_jobs.dedup.compared_groups import FOUND, split, to_remember
from spark_jobs.dedup.index_shard import Shard, grouped_signatures, read_table, write_shard
from spark_jobs.dedup.kept_copies import MEMBERS, NOW, Positions, Ranked, keep_copies, text_sets
from spark_jobs.dedup.near_copies import NearCopies, Verify

if TYPE_CHECKING:
    from spark_jobs.kernels.near_copies import Runs

FORMAT = 2
_MANIFEST = "index.json"
_PAIRS = pa.schema([("other", pa.string()), ("row", pa.int32()), ("other_row", pa.int32())])

Edges = npt.NDArray[np.int32]
"""(n, 2): rows of two documents that signatures connect."""
Texts = Callable[[str, pa.Array], Iterable[pa.RecordBatch]]
"""Returns `id` and `text` of documents, in any order, for the name of their shard and their ids."""
NEW = "\x00new"
"""The name of the shard that is compared, without being added, by `DuplicateIndex.against`."""


class DuplicateIndex:
    """An index in a folder; `create` or `open` one."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self._shards: dict[str, dict[str, Any]] = manifest["shards"]
        stored = manifest["options"]
        self.options = NearCopies(**stored | {"verify": Verify(stored["verify"])})
        self.bands, self.rows = manifest["bands"]
        self._compared: str | None = manifest.get("compared")

    @classmethod
    def create(cls, folder: Path, options: NearCopies | None = None) -> DuplicateIndex:
        """An empty index.

        Raises:
            WatershedError: the folder holds an index already.
        """
        options = options or NearCopies()
        if (folder / _MANIFEST).exists():
            raise WatershedError(f"{folder} holds an index already", "open it, or choose another folder")
        index = cls(folder, {"shards": {}, "options": asdict(options), "bands": options.bands()})
        index._become(index)
        return index

    @classmethod
    def open(cls, folder: Path) -> DuplicateIndex:
        """The index in a folder.

        Raises:
            WatershedError: there is no index, or it cannot be read.
        """
        try:
            manifest = json.loads((folder / _MANIFEST).read_text())
            if manifest["format"] != FORMAT:
                raise ValueError(f"format {manifest['format']} where {FORMAT} is known")
            return cls(folder, manifest)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise WatershedError(f"{folder} cannot be read as an index of duplicates: {error}", "create one") from error

    def is_whole(self) -> bool:
        """Whether every file is there and has the digest that names it."""
        named = [("documents", entry["file"]) for entry in self._shards.values()]
        named += [("pairs", entry["pairs"]) for entry in self._shards.values()]
        paths = [self.folder / folder / name for folder, name in named]
        return all(path.is_file() and sha256_of(path).startswith(path.stem) for path in paths)

    @property
    def shards(self) -> dict[str, int]:
        """Documents of each shard, in the order of names."""
        return {name: self._shards[name]["documents"] for name in sorted(self._shards)}

    def origin(self, name: str) -> str | None:
        """The origin that was given when the shard was added; None if there is no such shard."""
        return self._shards[name]["origin"] if name in self._shards else None

    def add(self, name: str, batches: Iterable[pa.RecordBatch], *, origin: str = "") -> bool:
        """Add a shard, or replace the one of that name; returns whether its documents changed.

        Args:
            name: of the shard.
            batches: id, text_hash, text_bytes and minhash, in any order.
            origin: where it came from, such as a version; `origin` returns it later.

        Raises:
            WatershedError: an id occurs twice, here or in another shard.
        """
        left = DuplicateIndex(self.folder, self._manifest(without=name))
        file = left._store("documents", lambda path: left._write_documents(batches, path))
        shard = Shard(name, self.folder / "documents" / file)
        if self._shards.get(name, {}).get("file") == file:
            self._shards[name]["origin"] = origin
            self._become(self)
            return False
        left._refuse_known(shard)
        pairs = left._pairs_of(shard)
        if name in self._shards:
            left._forget(name)
        pairs_file = left._store("pairs", lambda path: pq.write_table(pairs, path))
        left._shards[name] = {"documents": shard.documents, "file": file, "pairs": pairs_file, "origin": origin}
        self._become(left)
        return True

    def remove(self, name: str) -> None:
        """Remove a shard.

        Raises:
            WatershedError: there is no shard of that name.
        """
        if name not in self._shards:
            raise WatershedError(f"{self.folder} holds no shard {name}", f"name one of {', '.join(self.shards)}")
        left = DuplicateIndex(self.folder, self._manifest(without=name))
        left._forget(name)
        self._become(left)

    def duplicates(self, shards: Sequence[str] | None = None, texts: Texts | None = None) -> pa.Table:
        """Clusters among all documents, in the columns of dclm.duplicates and the order of doc_id.

        Args:
            shards: report only documents of these shards; their clusters may include other shards.
            texts: needed if the index compares texts.

        Raises:
            WatershedError: texts are needed and missing.
        """
        opened = [self._open(name) for name in sorted(self._shards)]
        ranked = Ranked.of(self._groups(opened, self._stored_pairs()))
        rows = self._found(ranked, opened, texts)
        remembered = to_remember(ranked, rows)
        file = self._store("compared", lambda path: pq.write_table(remembered, path))
        if file != self._compared:
            self._compared = file
            self._become(self)
        return rows if shards is None else _rows_of(set(shards), rows, ranked)

    def against(self, batches: Iterable[pa.RecordBatch], texts: Texts | None = None) -> pa.Table:
        """The rows that `duplicates` would return for a new shard, without adding it.

        Args:
            batches: as in `add`.
            texts: as in `duplicates`; the name of the new shard is NEW.
        """
        with tempfile.TemporaryDirectory(prefix="watershed-index-") as fresh:
            path = Path(fresh, "documents.parquet")
            self._write_documents(batches, path)
            shard = Shard(NEW, path)
            self._refuse_known(shard)
            pairs = self._pairs_of(shard)
            shards = [*(self._open(other) for other in sorted(self._shards)), shard]
            ranked = Ranked.of(self._groups(shards, [*self._stored_pairs(), (NEW, pairs)]))
            return _rows_of({NEW}, self._found(ranked, shards, texts), ranked)

    def _open(self, name: str) -> Shard:
        return Shard(name, self.folder / "documents" / self._shards[name]["file"])

    def _stored_pairs(self) -> list[tuple[str, pa.Table]]:
        return [(name, self._read_pairs(name)) for name in sorted(self._shards)]

    def _read_pairs(self, name: str) -> pa.Table:
        return read_table(self.folder / "pairs" / self._shards[name]["pairs"])

    def _write_documents(self, batches: Iterable[pa.RecordBatch], path: Path) -> None:
        with Signed(self.options) as signed:
            for batch in batches:
                signed.add(batch)
            signed.finish()
            write_shard(signed, path)

    def _refuse_known(self, shard: Shard) -> None:
        for other in sorted(self._shards):
            both = shard.ids().filter(pc.is_in(shard.ids(), self._open(other).ids().combine_chunks()))
            if len(both):
                raise WatershedError(
                    f"{len(both)} documents of the new shard are in shard {other} of {self.folder} already, "
                    f"{both[0].as_py()} among them",
                    "give every document its own id, or add the shard under the name that it had",
                )

    def _pairs_of(self, shard: Shard) -> pa.Table:
        """Pairs of a shard within itself and with each of the others."""
        within = _find_pairs(shard, None, self.options, [])
        found = [_pair_rows(shard.name, within)]
        earlier = {name: self._pairs_within(name) for name in sorted(self._shards)}
        for name, edges in earlier.items():
            other = self._open(name)
            known = [within, edges + np.int32(shard.documents)]
            pairs = np.sort(_find_pairs(shard, other, self.options, known), axis=1)
            # Pairs within one of the shards are known already.
            across = pairs[(pairs[:, 0] < shard.documents) & (pairs[:, 1] >= shard.documents)]
            found.append(_pair_rows(name, across - np.array([0, shard.documents], np.int32)))
        return pa.concat_tables(found)

    def _pairs_within(self, name: str) -> Edges:
        pairs = self._read_pairs(name)
        return _edges(pairs.filter(pc.equal(pairs["other"], name)))

    def _found(self, ranked: Ranked, shards: list[Shard], texts: Texts | None) -> pa.Table:
        """Members of clusters among the documents of groups; only groups that changed are compared."""
        new, known = split(ranked, self._read_compared())
        if self.options.verify is Verify.SIGNATURE:
            marks, places = grouped_signatures(new, shards)
            rows = keep_copies(new, marks, places, self.options)
        elif texts is None and len(new):
            raise WatershedError(
                "an index holds no texts, and verify=jaccard compares them", "pass `texts`, or use verify=signature"
            )
        else:
            with text_sets(new, _texts(new, texts) if texts else ()) as sets:
                rows = keep_copies(new, sets.marks(), sets.places, self.options)
        return pa.concat_tables([known, rows.select(MEMBERS.names).cast(MEMBERS)]).sort_by("doc_id").combine_chunks()

    def _read_compared(self) -> pa.Table:
        if self._compared is None:
            return FOUND.empty_table()
        try:
            return read_table(self.folder / "compared" / self._compared)
        except WatershedError:
            # Everything is compared again.
            return FOUND.empty_table()

    def _groups(self, shards: list[Shard], pairs: list[tuple[str, pa.Table]]) -> pa.Table:
        """Members of groups: doc_id, text_hash, text_bytes, print, run, group, shard, and row in the shard."""
        from spark_jobs.kernels.union_find import UnionFind

        starts = np.concatenate([[0], np.cumsum([shard.documents for shard in shards])]).astype(np.int64)
        first = {shard.name: int(start) for shard, start in zip(shards, starts, strict=False)}
        sets = UnionFind(int(starts[-1]))
        for name, table in pairs:
            for other in table["other"].unique().to_pylist():
                edges = _edges(table.filter(pc.equal(table["other"], other)))
                sets.union(edges[:, 0] + first[name], edges[:, 1] + first[other])
        labels = sets.labels()
        sizes = np.bincount(labels, minlength=len(labels))
        chosen = []
        for shard, start in zip(shards, starts, strict=False):
            own = labels[start : start + shard.documents]
            rows = np.flatnonzero(sizes[own] > 1)
            table = shard.small(["id", "text_hash", "text_bytes", "print"]).take(pa.array(rows))
            added = {
                "run": pa.array(np.full(len(rows), NOW, np.int32)),
                "group": pa.array(own[rows]),
                "shard": pa.array([shard.name] * len(rows), pa.string()),
                "row": pa.array(rows),
            }
            for name, column in added.items():
                table = table.append_column(name, column)
            chosen.append(table)
        return pa.concat_tables(chosen).rename_columns({"id": "doc_id"}) if chosen else _NO_MEMBERS

    def _forget(self, name: str) -> None:
        """Pairs of the other shards without those that name this one."""
        for other, entry in self._shards.items():
            pairs = self._read_pairs(other)
            left = pairs.filter(pc.not_equal(pairs["other"], name))
            if len(left) < len(pairs):
                entry["pairs"] = self._store("pairs", lambda path, left=left: pq.write_table(left, path))

    def _store(self, folder: str, write: Callable[[Path], None]) -> str:
        """Write a file that is named after the digest of its contents; returns the name."""
        place = self.folder / folder
        with whole_file(place / "fresh.parquet") as fresh:
            write(fresh)
            name = f"{sha256_of(fresh)[:16]}.parquet"
        (place / "fresh.parquet").replace(place / name)
        return name

    def _manifest(self, without: str | None = None) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "options": asdict(self.options),
            "bands": [self.bands, self.rows],
            "compared": self._compared,
            "shards": {name: dict(entry) for name, entry in sorted(self._shards.items()) if name != without},
        }

    def _become(self, changed: DuplicateIndex) -> None:
        """Store the changed index in the folder, and remove files that no shard names any more."""
        self._shards = changed._shards
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / _MANIFEST, json.dumps(self._manifest(), indent=1).encode())
        named: dict[str, set[str | None]] = {
            folder: {entry[key] for entry in self._shards.values()}
            for folder, key in (("documents", "file"), ("pairs", "pairs"))
        }
        for folder, names in (named | {"compared": {self._compared}}).items():
            for path in (self.folder / folder).glob("*.parquet"):
                if path.name not in names:
                    path.unlink()


_NO_MEMBERS = pa.schema(
    [
        ("doc_id", pa.string()),
        ("text_hash", pa.int64()),
        ("text_bytes", pa.int64()),
        ("print", pa.int64()),
        ("run", pa.int32()),
        ("group", pa.int32()),
        ("shard", pa.string()),
        ("row", pa.int64()),
    ]
).empty_table()


def _find_pairs(one: Shard, other: Shard | None, options: NearCopies, known: list[Edges]) -> Edges:
    """Pairs that connect documents which `known` pairs do not connect, within a shard or across two.

    Documents are numbered by row; those of the other shard follow those of the first.
    """
    from spark_jobs.kernels.near_copies import ESTIMATE, Marks, connect
    from spark_jobs.kernels.union_find import UnionFind

    shards = [one] if other is None else [one, other]
    starts = np.cumsum([0, *(shard.documents for shard in shards)])
    sets = UnionFind(int(starts[-1]))
    for edges in known:
        sets.union(edges[:, 0], edges[:, 1])
    equal = [shard.small(["text_hash", "text_bytes", "print"]) for shard in shards]
    found = [join_equal(pa.concat_tables(equal), sets)]
    meetings: list[Runs] = list(_meetings(shards, starts))
    involved = np.zeros(starts[-1], np.bool_)
    for met in meetings:
        involved[met.members] = True
    wanted = np.split(involved, starts[1:-1])
    values = [shard.signatures(rows) for shard, rows in zip(shards, wanted, strict=True)]
    bounds = np.concatenate([[0], np.cumsum(involved * options.permutations)]).astype(np.int64)
    marks = Marks(np.concatenate(values), bounds)
    for met in meetings:
        found.append(connect(met, marks, sets, compare=ESTIMATE, threshold=options.screen))
    return np.concatenate(found)


def _meetings(shards: list[Shard], starts: npt.NDArray[np.int64]) -> Iterator[Runs]:
    """Documents that share a band, band by band; with two shards, only bands that both have documents in."""
    from spark_jobs.kernels.near_copies import runs

    keys = [shard.keys() for shard in shards]
    rows = [np.flatnonzero(shard.signed()) for shard in shards]
    for band in range(keys[0].shape[1]):
        own = [table[signed, band] for table, signed in zip(keys, rows, strict=True)]
        chosen = [np.isin(own[side], own[1 - side]) if len(own) == 2 else slice(None) for side in range(len(own))]
        numbers = [signed[kept] + start for signed, kept, start in zip(rows, chosen, starts, strict=False)]
        met = [table[kept] for table, kept in zip(own, chosen, strict=True)]
        yield runs(np.concatenate(met), np.concatenate(numbers).astype(np.int32))


def _rows_of(shards: set[str], rows: pa.Table, ranked: Ranked) -> pa.Table:
    """The rows of documents of these shards."""
    asked = ranked.table.filter(pc.is_in(ranked.table["shard"], pa.array(sorted(shards))))
    return rows.filter(pc.is_in(rows["doc_id"], asked["doc_id"].combine_chunks()))


def _texts(ranked: Ranked, texts: Texts) -> Iterator[tuple[Positions, pa.Array]]:
    """The texts of the distinct documents of groups, shard by shard."""
    distinct = ranked.table.append_column("position", pa.array(np.arange(len(ranked)))).filter(
        pa.array(ranked.distinct)
    )
    for shard in pc.unique(distinct["shard"]).to_pylist():
        wanted = distinct.filter(pc.equal(distinct["shard"], shard)).combine_chunks()
        ids, positions = wanted["doc_id"].combine_chunks(), wanted["position"].to_numpy()
        for batch in texts(shard, ids):
            rows = pc.index_in(batch["id"], ids)
            known = rows.is_valid()
            yield positions[rows.drop_null().to_numpy()], batch["text"].filter(known)


def _pair_rows(other: str, edges: Edges) -> pa.Table:
    rows = [pa.array(np.ascontiguousarray(edges[:, side], np.int32)) for side in (0, 1)]
    return pa.table([pa.array([other] * len(edges), pa.string()), *rows], schema=_PAIRS)


def _edges(pairs: pa.Table) -> Edges:
    return np.stack([pairs["row"].to_numpy(), pairs["other_row"].to_numpy()], axis=1)

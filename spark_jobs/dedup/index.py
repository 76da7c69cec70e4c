"""An index of deduplicated shards on disk: a new shard is compared with all earlier ones without their texts.

A folder holds for each shard its documents (id, length, hashes, signature, band keys, in the order of id) and the
pairs of copies that it added: within itself, and with each earlier shard. Whether two documents are a pair depends on
these two only (`clusters`). Therefore

- adding a shard compares it with the others and does not change what is stored of them;
- removing a shard removes its documents and the pairs that name it;
- the clusters that all pairs connect are those that a run over all documents finds, in whatever order shards were added
  and removed; which copy is kept depends on length and id, not on the order of arrival.

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
import pyarrow.compute as pc
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from catalog.files import sha256_of, whole_file, write_whole
from spark_jobs.dedup.clusters import NearCopies, Signed, Verify, comparison, describe, join_equal

if TYPE_CHECKING:
    from spark_jobs.kernels.near_copies import Runs

ROW_GROUP = 1 << 15
"""Documents whose signatures are read at once: 16 MiB of 128 values each."""
FORMAT = 1
_MANIFEST = "index.json"
_PAIRS = pa.schema([("other", pa.string()), ("row", pa.int32()), ("other_row", pa.int32())])

Edges = npt.NDArray[np.int32]
"""(n, 2): rows of two documents that are copies."""


class DuplicateIndex:
    """An index in a folder; `create` or `open` one."""

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self._shards: dict[str, dict[str, Any]] = manifest["shards"]
        stored = manifest["options"]
        self.options = NearCopies(**stored | {"verify": Verify(stored["verify"])})
        self.bands, self.rows = manifest["bands"]

    @classmethod
    def create(cls, folder: Path, options: NearCopies | None = None) -> DuplicateIndex:
        """An empty index.

        Raises:
            WatershedError: the folder holds an index already, or the options compare texts.
        """
        options = options or NearCopies()
        if (folder / _MANIFEST).exists():
            raise WatershedError(f"{folder} holds an index already", "open it, or choose another folder")
        if options.verify is not Verify.SIGNATURE:
            raise WatershedError(
                f"an index keeps no texts, and verify={options.verify} compares them", "use verify=signature"
            )
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
        shard = _Shard(name, self.folder / "documents" / file)
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

    def duplicates(self, shards: Sequence[str] | None = None) -> pa.Table:
        """Clusters among all documents, in the columns of dclm.duplicates and the order of doc_id.

        Args:
            shards: report only documents of these shards; their clusters may include other shards.
        """
        members = self._clusters([self._open(name) for name in sorted(self._shards)], self._stored_pairs())
        return _report(members, None if shards is None else set(shards))

    def against(self, batches: Iterable[pa.RecordBatch]) -> pa.Table:
        """The rows that `duplicates` would return for a new shard, without adding it.

        Args:
            batches: as in `add`.
        """
        name = "\x00new"
        with tempfile.TemporaryDirectory(prefix="watershed-index-") as fresh:
            path = Path(fresh, "documents.parquet")
            self._write_documents(batches, path)
            shard = _Shard(name, path)
            self._refuse_known(shard)
            pairs = self._pairs_of(shard)
            shards = [*(self._open(other) for other in sorted(self._shards)), shard]
            return _report(self._clusters(shards, [*self._stored_pairs(), (name, pairs)]), {name})

    def _open(self, name: str) -> _Shard:
        return _Shard(name, self.folder / "documents" / self._shards[name]["file"])

    def _stored_pairs(self) -> list[tuple[str, pa.Table]]:
        return [(name, self._read_pairs(name)) for name in sorted(self._shards)]

    def _read_pairs(self, name: str) -> pa.Table:
        return _read(self.folder / "pairs" / self._shards[name]["pairs"])

    def _write_documents(self, batches: Iterable[pa.RecordBatch], path: Path) -> None:
        with Signed(self.options) as signed:
            for batch in batches:
                signed.add(batch)
            signed.finish()
            _write_signed(signed, path)

    def _refuse_known(self, shard: _Shard) -> None:
        for other in sorted(self._shards):
            both = shard.ids().filter(pc.call_function("is_in", [shard.ids()], _among(self._open(other).ids())))
            if len(both):
                raise WatershedError(
                    f"{len(both)} documents of the new shard are in shard {other} of {self.folder} already, "
                    f"{both[0].as_py()} among them",
                    "give every document its own id, or add the shard under the name that it had",
                )

    def _pairs_of(self, shard: _Shard) -> pa.Table:
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
        return _edges(pairs.filter(pc.call_function("equal", [pairs["other"], name])))

    def _clusters(self, shards: list[_Shard], pairs: list[tuple[str, pa.Table]]) -> pa.Table:
        """Members of clusters: doc_id, text_hash, text_bytes, cluster and shard."""
        from spark_jobs.kernels.union_find import UnionFind

        starts = np.concatenate([[0], np.cumsum([shard.documents for shard in shards])])
        first = {shard.name: int(start) for shard, start in zip(shards, starts, strict=False)}
        sets = UnionFind(int(starts[-1]))
        for name, table in pairs:
            for other in table["other"].unique().to_pylist():
                edges = _edges(table.filter(pc.call_function("equal", [table["other"], other])))
                sets.union(edges[:, 0] + first[name], edges[:, 1] + first[other])
        labels = sets.labels()
        sizes = np.bincount(labels, minlength=len(labels))
        chosen = []
        for shard, start in zip(shards, starts, strict=False):
            own = labels[start : start + shard.documents]
            rows = np.flatnonzero(sizes[own] > 1)
            table = shard.small(["id", "text_hash", "text_bytes"]).take(pa.array(rows))
            table = table.append_column("cluster", pa.array(own[rows]))
            chosen.append(table.append_column("shard", pa.array([shard.name] * len(rows), pa.string())))
        return pa.concat_tables(chosen).rename_columns({"id": "doc_id"}) if chosen else _NO_MEMBERS

    def _forget(self, name: str) -> None:
        """Pairs of the other shards without those that name this one."""
        for other, entry in self._shards.items():
            pairs = self._read_pairs(other)
            left = pairs.filter(pc.call_function("not_equal", [pairs["other"], name]))
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
            "shards": {name: dict(entry) for name, entry in sorted(self._shards.items()) if name != without},
        }

    def _become(self, changed: DuplicateIndex) -> None:
        """Store the changed index in the folder, and remove files that no shard names any more."""
        self._shards = changed._shards
        self.folder.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / _MANIFEST, json.dumps(self._manifest(), indent=1).encode())
        for folder, key in (("documents", "file"), ("pairs", "pairs")):
            named = {entry[key] for entry in self._shards.values()}
            for path in (self.folder / folder).glob("*.parquet"):
                if path.name not in named:
                    path.unlink()


_NO_MEMBERS = pa.schema(
    [
        ("doc_id", pa.string()),
        ("text_hash", pa.int64()),
        ("text_bytes", pa.int64()),
        ("cluster", pa.int32()),
        ("shard", pa.string()),
    ]
).empty_table()


class _Shard:
    """The documents of a shard, in the order of id; columns are read when needed."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self.documents = _metadata(path).num_rows

    def small(self, columns: list[str]) -> pa.Table:
        return _read(self._path, columns)

    def ids(self) -> pa.ChunkedArray:
        return self.small(["id"])["id"]

    def keys(self) -> npt.NDArray[np.int64]:
        """(documents, bands)."""
        column = self.small(["keys"])["keys"].combine_chunks()
        return column.flatten().to_numpy().reshape(self.documents, column.type.list_size)

    def signed(self) -> npt.NDArray[np.bool_]:
        """Whether each document has a signature; without one it has no bands."""
        return self.small(["print"])["print"].to_numpy() != 0

    def signatures(self, wanted: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint32]:
        """Signatures of the wanted documents, (wanted, values), read one row group at a time."""
        file = pq.ParquetFile(self._path)
        found, start = [], 0
        for group in range(file.metadata.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            rows = np.flatnonzero(wanted[start : start + size])
            if len(rows):
                column = file.read_row_group(group, ["minhash"])["minhash"].combine_chunks()
                found.append(np.frombuffer(b"".join(column.take(pa.array(rows)).to_pylist()), np.uint32))
            start += size
        return np.concatenate(found) if found else np.zeros(0, np.uint32)


def _find_pairs(one: _Shard, other: _Shard | None, options: NearCopies, known: list[Edges]) -> Edges:
    """Pairs that connect copies which `known` pairs do not connect, within a shard or across two.

    Documents are numbered by row; those of the other shard follow those of the first.
    """
    from spark_jobs.kernels.near_copies import Marks, connect
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
        found.append(connect(met, marks, sets, compare=comparison(options), threshold=options.threshold))
    return np.concatenate(found)


def _meetings(shards: list[_Shard], starts: npt.NDArray[np.int64]) -> Iterator[Runs]:
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


def _report(members: pa.Table, shards: set[str] | None) -> pa.Table:
    rows = describe(members)
    if shards is None:
        return rows
    asked = members.filter(pc.call_function("is_in", [members["shard"]], _among(pa.array(sorted(shards)))))
    return rows.filter(pc.call_function("is_in", [rows["doc_id"]], _among(asked["doc_id"])))


def _among(values: pa.Array | pa.ChunkedArray) -> pc.SetLookupOptions:
    return pc.SetLookupOptions(values)


def _pair_rows(other: str, edges: Edges) -> pa.Table:
    rows = [pa.array(np.ascontiguousarray(edges[:, side], np.int32)) for side in (0, 1)]
    return pa.table([pa.array([other] * len(edges), pa.string()), *rows], schema=_PAIRS)


def _edges(pairs: pa.Table) -> Edges:
    return np.stack([pairs["row"].to_numpy(), pairs["other_row"].to_numpy()], axis=1)


def _write_signed(signed: Signed, path: Path) -> None:
    """Write the documents in the order of id, one row group at a time."""
    table = signed.table()
    order = pc.call_function("array_sort_indices", [table["doc_id"].combine_chunks()]).to_numpy()
    schema = pa.schema(
        [
            ("id", pa.string()),
            ("text_hash", pa.int64()),
            ("text_bytes", pa.int64()),
            ("print", pa.int64()),
            ("keys", pa.list_(pa.int64(), signed.bands)),
            ("minhash", pa.binary(4 * signed.options.permutations)),
        ]
    )
    # Signatures and keys are random bits, which do not compress.
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for start in range(0, len(order), ROW_GROUP):
            rows = order[start : start + ROW_GROUP]
            some = table.take(pa.array(rows))
            keys = pa.FixedSizeListArray.from_arrays(pa.array(signed.keys()[rows].ravel()), signed.bands)
            values = signed.signatures(rows)
            minhash = pa.Array.from_buffers(schema.field("minhash").type, len(rows), [None, pa.py_buffer(values)])
            writer.write_table(pa.table([*some.columns, keys, minhash], schema=schema))


def _metadata(path: Path) -> pq.FileMetaData:
    try:
        return pq.read_metadata(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise WatershedError(f"{path} cannot be read: {error}", "add its shard again") from error


def _read(path: Path, columns: list[str] | None = None) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise WatershedError(f"{path} cannot be read: {error}", "add its shard again") from error

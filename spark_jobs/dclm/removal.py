"""The removal of documents from training shards, and from the index of near copies.

The tokens of a removed document are overwritten by the token that ends a document, so that every other document stays
where `dclm.spans` and `models.batches` say. This is done in every data set on the disk, not only in the latest.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from catalog.files import write_whole
from catalog.lake import WHOLE, Lake
from catalog.lineage.removal.orders import Removals
from catalog.reads import not_recorded
from catalog.storage.records import measured_files
from catalog.tables.dclm import DOCUMENTS, DUPLICATES, SHARDS_TABLE, SPANS
from spark_jobs.dclm.incremental_duplicates import update_duplicates
from spark_jobs.dclm.shards import shard_row
from spark_jobs.dedup.index import DuplicateIndex
from spark_jobs.dedup.near_copies import NearCopies
from spark_jobs.shards.format import (
    MANIFEST,
    TOKENIZER,
    parse_line,
    read_manifest,
    read_shard,
    write_manifest,
    write_shard,
)
from spark_jobs.shards.tokenizer import EOT, bytes_of_tokens, load_tokenizer
from spark_jobs.shards.writer import MADE, ShardRecipe, ShardWriter


class Shards:
    """The data sets under the files of dclm.shards."""

    @not_recorded()
    def held(self, lake: Lake, removals: Removals) -> list[str]:
        """Return the shards that hold tokens of documents to forget."""
        return [
            f"{lake.relative(_tar(path))}: tokens of {sum(named):,} {'span' if sum(named) == 1 else 'spans'}"
            for path, _, named in _holding(lake, removals)
        ]

    @not_recorded()
    def remove(self, lake: Lake, removals: Removals) -> None:
        """Overwrite the tokens, and bring notes, manifests and dclm.shards up to date."""
        for path, spans, named in list(_holding(lake, removals)):
            _overwrite(lake, path, spans, named)
        _update_table(lake)

    def remove_after_tables(self, lake: Lake, removals: Removals) -> None:
        """Nothing is left to do."""

    def advice(self, lake: Lake, connection: Any, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return the copies of the documents, and files that were made from tables that held them."""
        ids = list(keys.get(f"{DOCUMENTS.name}.doc_id", ()))
        found = []
        if ids and lake.exists(DUPLICATES.name):
            named = "(SELECT unnest($ids::VARCHAR[]))"
            clusters = f"(SELECT cluster_id FROM {DUPLICATES.name} WHERE doc_id IN {named})"
            sql = (
                f"SELECT DISTINCT doc_id FROM {DUPLICATES.name} WHERE cluster_id IN {clusters} "
                f"AND doc_id NOT IN {named} ORDER BY doc_id"
            )
            copies = [row[0] for row in connection.execute(sql, {"ids": ids}).fetchall()]
            if copies:
                count = f"{len(copies):,} nearly equal {'copy stays' if len(copies) == 1 else 'copies stay'}"
                found.append(f"{count}; to forget them too, add {' '.join(copies[:5])}")
        if ids and any(lake.exists(name) for name in ("dclm.tokenizer", "dclm.quality_model")):
            found.append("dclm.tokenizer and dclm.quality_model were learnt from samples that may hold them; they stay")
        return found


class CopiesIndex:
    """The index of near copies, which holds signatures and ids: it is made again from the documents that are left."""

    def __init__(self) -> None:
        self._options: dict[str, NearCopies] = {}
        self._rebuilt: set[str] = set()

    def held(self, lake: Lake, removals: Removals) -> list[str]:
        """Return the index: what a removal leaves of it was made before, and may hold them."""
        index = lake.folder(DUPLICATES.name, "index")
        rebuilt = self._rebuilt and {order.id for order in removals.orders} <= self._rebuilt
        if rebuilt or not removals.concern(DUPLICATES) or not index.exists():
            return []
        return [f"{lake.relative(index)}: it is made again from the documents that are left"]

    def remove(self, lake: Lake, removals: Removals) -> None:
        """Delete the index, and remember the choices that it was made with."""
        index = lake.folder(DUPLICATES.name, "index")
        if not removals.concern(DUPLICATES) or not index.exists():
            return
        for folder in sorted(path for path in index.iterdir() if path.is_dir()):
            # One that cannot be read holds nothing that cannot be computed again.
            with suppress(WatershedError):
                self._options[folder.name] = DuplicateIndex.open(folder).options
        shutil.rmtree(index)

    def remove_after_tables(self, lake: Lake, removals: Removals) -> None:
        """Compare the documents again, of whose copies another one may be kept now, and write the index.

        If it is not known how the table was made, it stays due because of its missing files, and `watershed make` makes
        it.
        """
        written = lake.written(DUPLICATES.name).get(WHOLE)
        if len(self._options) != 1 or written is None:
            return
        ((recipe, options),) = self._options.items()
        self._options.clear()
        update_duplicates(lake, recipe, written.fingerprint, options)
        index = lake.folder(DUPLICATES.name, "index")
        lake.record_files(DUPLICATES.name, WHOLE, measured_files(lake.files, [index]))
        self._rebuilt.update(order.id for order in removals.orders)

    def advice(self, lake: Lake, connection: Any, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return nothing."""
        return []


def _holding(lake: Lake, removals: Removals) -> Iterator[tuple[Path, pa.Table, list[bool]]]:
    """The files of spans, in every data set, that name a document to forget; and for each span whether it is one."""
    if not removals.concern(SPANS):
        return
    for path in sorted(lake.folder(SHARDS_TABLE.name).glob(f"*/{MADE}/*/shard_*.parquet")):
        spans = pq.read_table(path)
        named = removals.named(SPANS, spans)
        if any(named):
            yield path, spans, named


def _tar(spans: Path) -> Path:
    return spans.parent.parent.parent / spans.parent.name / f"{spans.stem}.tar"


def _overwrite(lake: Lake, path: Path, spans: pa.Table, named: list[bool]) -> None:
    """Write the shard without the documents: its tar first and its spans, which say where they were, last."""
    folder, split, number = path.parent.parent.parent, path.parent.name, int(path.stem[-8:])
    kept = spans.filter(pa.array([not one for one in named]))
    buffer = io.BytesIO()
    pq.write_table(kept, buffer, compression="zstd")
    note_path = path.with_suffix(".json")
    if _tar(path).exists() and note_path.exists():
        note = json.loads(note_path.read_text("utf-8"))
        sequences = read_shard(_tar(path))
        tokens = sequences.reshape(-1)
        gone = spans.filter(pa.array(named)).to_pylist()
        for span in gone:
            tokens[span["start"] : span["stop"]] = EOT
        sources = _less(note["line"]["sources"], _hosts(lake, {span["doc_id"] for span in gone}), gone)
        size = bytes_of_tokens(load_tokenizer(folder / TOKENIZER))
        line = write_shard(
            folder / split, split, number, sequences, text_bytes=int(size[sequences].sum()), sources=sources
        )
        if (folder / split / MANIFEST).exists():
            others = [each for each in read_manifest(folder / split) if each.shard != line.shard]
            write_manifest(folder / split, [*others, line])
        note |= {
            "line": asdict(line),
            "documents": kept.num_rows,
            "spans_sha256": hashlib.sha256(buffer.getvalue()).hexdigest(),
        }
        write_whole(note_path, json.dumps(note).encode())
    write_whole(path, buffer.getvalue())


def _hosts(lake: Lake, ids: set[str]) -> dict[str, str]:
    """The sources of documents under which shards count their tokens."""
    if not lake.exists(DOCUMENTS.name):
        return {}
    from spark_jobs.compute import pc

    chosen = pc.field("doc_id").isin(pa.array(sorted(ids), pa.string()))
    rows = lake.table(DOCUMENTS.name).to_pyarrow_dataset().to_table(columns=["doc_id", "host"], filter=chosen)
    return {row["doc_id"]: row["host"] or "unknown" for row in rows.to_pylist()}


def _less(sources: Mapping[str, int], hosts: Mapping[str, str], gone: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Tokens by source without those of removed documents, which are counted as `removed`."""
    left = dict(sources)
    for span in gone:
        host, count = hosts.get(span["doc_id"]), span["stop"] - span["start"]
        if host in left and left[host] >= count:
            left[host] -= count
            left["removed"] = left.get("removed", 0) + count
    return {source: tokens for source, tokens in left.items() if tokens}


def _update_table(lake: Lake) -> None:
    """Bring the rows of dclm.shards into agreement with the notes of their shards, and record the new digests."""
    written = lake.written(SHARDS_TABLE.name).get(WHOLE)
    if written is None:
        return
    rows = lake.read(SHARDS_TABLE.name).to_pylist()
    fresh = []
    for row in rows:
        folder = (lake.files / row["path"]).parent.parent
        note_path = folder / MADE / row["split"] / f"{row['shard']}.json"
        if not note_path.exists():
            fresh.append(row)
            continue
        note = json.loads(note_path.read_text("utf-8"))
        recipe = ShardRecipe(
            sequence_length=row["sequence_length"], shard_tokens=max(2**18, row["sequence_length"] + 1)
        )
        writer = ShardWriter(folder, folder / TOKENIZER, recipe)
        fresh.append(shard_row(note, parse_line(note["line"]), writer, lake, row["dataset"]))
    if fresh == rows:
        return
    table = pa.Table.from_pylist(fresh, schema=SHARDS_TABLE.schema)
    lake.replace(SHARDS_TABLE, table, written.fingerprint)
    folders = {(lake.files / row["path"]).parent.parent for row in fresh}
    lake.record_files(SHARDS_TABLE.name, WHOLE, measured_files(lake.files, sorted(folders)))

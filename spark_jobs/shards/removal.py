"""The removal of documents from training shards of any data set.

The tokens of a removed document are overwritten by the token that ends a document, so that every other document stays
where the spans and the batches of training steps say. This is done in every data set on the disk, not only the latest.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.contract import Contract
from catalog.files import write_whole
from catalog.lake import WHOLE, Lake
from catalog.lineage.removal.orders import Removals
from catalog.reads import not_recorded
from catalog.storage.records import measured_files
from spark_jobs.shards.format import (
    DATASET,
    MANIFEST,
    TOKENIZER,
    read_manifest,
    read_shard,
    write_manifest,
    write_shard,
)
from spark_jobs.shards.publish import shard_row
from spark_jobs.shards.tokenizer import EOT
from spark_jobs.shards.vocabulary import read_vocabulary
from spark_jobs.shards.writer import MADE


@dataclass(frozen=True, kw_only=True)
class ShardTables:
    """The tables of one kind of data sets."""

    shards: Contract
    spans: Contract
    sources: Callable[[Lake, set[str]], Mapping[str, str]]
    """The sources of documents, by doc_id, under which shards count their tokens; a document may be missing."""


class ShardFiles:
    """The data sets under the files of a table of shards."""

    def __init__(self, tables: ShardTables) -> None:
        self.tables = tables

    @not_recorded()
    def held(self, lake: Lake, removals: Removals) -> list[str]:
        """Return the shards that hold tokens of documents to forget."""
        return [
            f"{lake.relative(_tar(path))}: tokens of {sum(named):,} {'span' if sum(named) == 1 else 'spans'}"
            for path, _, named in self._holding(lake, removals)
        ]

    @not_recorded()
    def remove(self, lake: Lake, removals: Removals) -> None:
        """Overwrite the tokens, and bring notes, manifests and the table of shards up to date."""
        for path, spans, named in list(self._holding(lake, removals)):
            _overwrite(lake, self.tables, path, spans, named)
        _update_table(lake, self.tables)

    def remove_after_tables(self, lake: Lake, removals: Removals) -> None:
        """Nothing is left to do."""

    def advice(self, lake: Lake, connection: Any, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return nothing."""
        return []

    def _holding(self, lake: Lake, removals: Removals) -> Iterator[tuple[Path, pa.Table, list[bool]]]:
        """Files of spans, in every data set, that name a document to forget, and for each span whether it is one."""
        if not removals.concern(self.tables.spans):
            return
        for path in sorted(lake.folder(self.tables.shards.name).glob(f"*/{MADE}/*/shard_*.parquet")):
            spans = pq.read_table(path)
            named = removals.named(self.tables.spans, spans)
            if any(named):
                yield path, spans, named


def _tar(spans: Path) -> Path:
    return spans.parent.parent.parent / spans.parent.name / f"{spans.stem}.tar"


def _overwrite(lake: Lake, tables: ShardTables, path: Path, spans: pa.Table, named: list[bool]) -> None:
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
            tokens[span["start"] : span["stop"]] = _end_of_document(folder)
        sources = _less(note["line"]["sources"], tables.sources(lake, {span["doc_id"] for span in gone}), gone)
        size = read_vocabulary(folder / TOKENIZER).bytes_of_ids
        removed = sum(span["stop"] - span["start"] for span in gone)
        # Where bytes of tokens are not known, those of the removed tokens are taken to be as many as those of others.
        left = note["line"]["text_bytes"] * (tokens.size - removed) // max(tokens.size, 1)
        text_bytes = int(size[sequences].sum()) if size is not None else left
        line = write_shard(folder / split, split, number, sequences, text_bytes=text_bytes, sources=sources)
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


def _end_of_document(folder: Path) -> int:
    """The token that ends a document in a data set; a writer that was killed may not have stated it yet."""
    dataset = folder / DATASET
    return int(json.loads(dataset.read_text("utf-8"))["eot"]) if dataset.exists() else EOT


def _less(sources: Mapping[str, int], hosts: Mapping[str, str], gone: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """Tokens by source without those of removed documents, which are counted as `removed`."""
    left = dict(sources)
    for span in gone:
        host, count = hosts.get(span["doc_id"]), span["stop"] - span["start"]
        if host in left and left[host] >= count:
            left[host] -= count
            left["removed"] = left.get("removed", 0) + count
    return {source: tokens for source, tokens in left.items() if tokens}


def _update_table(lake: Lake, tables: ShardTables) -> None:
    """Bring the rows of the table of shards into agreement with the notes of the shards, and record the new digests."""
    written = lake.written(tables.shards.name).get(WHOLE) if lake.exists(tables.shards.name) else None
    if written is None:
        return
    rows = lake.read(tables.shards.name).to_pylist()
    fresh = []
    for row in rows:
        folder = (lake.files / row["path"]).parent.parent
        note_path = folder / MADE / row["split"] / f"{row['shard']}.json"
        if not note_path.exists():
            fresh.append(row)
            continue
        note = json.loads(note_path.read_text("utf-8"))
        fresh.append(shard_row(note, folder, lake, row["dataset"]))
    if fresh == rows:
        return
    table = pa.Table.from_pylist(fresh, schema=tables.shards.schema)
    lake.replace(tables.shards, table, written.fingerprint)
    folders = {(lake.files / row["path"]).parent.parent for row in fresh}
    lake.record_files(tables.shards.name, WHOLE, measured_files(lake.files, sorted(folders)))

"""Finds copies among the documents that a recipe's steps keep, by the recipe's methods, one after the other.

- `exact`: equal texts
- `url`: equal URLs
- `minhash`: equal and nearly equal texts
- `paragraphs`: paragraphs and documents that repeat earlier text (bff), in the order of the inputs
- `substrings`: substrings that occur earlier too, byte for byte
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from spark_jobs.compute import pc
from spark_jobs.curate.parts import KEPT
from spark_jobs.recipes import deduplications
from spark_jobs.recipes.recipe import Deduplication, Recipe

DUPLICATES = pa.schema(
    [
        ("id", pa.string()),
        ("method", pa.string()),
        ("kept", pa.bool_()),
        ("kept_id", pa.string()),
        ("cluster_id", pa.string()),
        ("cluster_size", pa.int64()),
        ("removed_bytes", pa.int64()),
        ("reason", pa.string()),
    ]
)
"""A row for each member of a cluster of copies, and for each document that lost paragraphs, by each method.

With an index, clusters without a document of this run are left out. The other clusters are complete: they include
documents of earlier runs, because a new copy may be the one to keep."""
INDEX_COLUMNS = ("id", "url", "text_hash", "text_bytes", "minhash")


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Documents between two methods: files of KEPT rows, and the ids that are dropped from them."""

    files: tuple[Path, ...]
    dropped: pa.Array = field(default_factory=lambda: pa.array([], pa.string()))
    """Ids."""

    def batches(self, columns: Sequence[str] = KEPT.names) -> Iterator[pa.RecordBatch]:
        """The remaining documents, in the order of the inputs."""
        wanted = list(dict.fromkeys(["id", *columns]))
        for path in self.files:
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(8_192, columns=wanted):
                    left = pc.invert(pc.is_in(batch.column("id"), value_set=self.dropped))
                    rows = batch.filter(left).select(list(columns))
                    if rows.num_rows:
                        yield rows

    def less(self, ids: pa.ChunkedArray) -> Stage:
        """The stage without some documents."""
        return dataclasses.replace(self, dropped=pa.concat_arrays([self.dropped, *ids.chunks]))

    def without(self, rows: pa.Table) -> Stage:
        """The stage without the documents that these rows of DUPLICATES drop."""
        return self.less(rows.filter(pc.invert(rows["kept"]))["id"])


@dataclass(frozen=True, kw_only=True)
class Copies:
    """The documents that each method drops, and the documents that remain."""

    dropped: dict[str, int]
    """Number of dropped documents by method."""
    left: Stage


def find_copies(
    parts: Sequence[Path],
    recipe: Recipe,
    work: Path,
    against: Sequence[Path] = (),
    reached: Callable[[int], None] = lambda documents: None,
) -> Copies:
    """Apply the recipe's methods; writes duplicates.parquet and index.parquet into `work`.

    Args:
        parts: files of KEPT rows, in the order of the inputs.
        against: folders or index files of earlier runs, whose documents count as seen.
        reached: called with the number of documents that methods have dropped so far.

    Raises:
        WatershedError: an option is unknown, or a file is not an index.
    """
    stage = Stage(files=tuple(parts))
    _write(work / "index.parquet", _index_schema(), stage.batches(INDEX_COLUMNS))
    seen = earlier(against)
    dropped: dict[str, int] = {}
    tables: list[pa.Table] = []
    for number, step in enumerate(recipe.deduplicate):
        if seen is not None and step.method in ("paragraphs", "substrings"):
            raise WatershedError(
                f"recipe {recipe.name}: {step.method} cannot be compared with an index, which holds no text",
                "leave out --against, or use a recipe that finds copies by exact or minhash",
            )
        rows, stage = FINDERS[step.method](stage, step, work / f"stage-{number}.parquet", seen)
        stage = stage.without(rows)
        gone = rows.filter(pc.invert(rows["kept"]))["id"]
        if seen is not None:
            gone = gone.filter(pc.invert(pc.is_in(gone, value_set=seen["id"].combine_chunks())))
        dropped[step.method] = len(gone)
        tables.append(rows)
        reached(sum(dropped.values()))
    found = pa.concat_tables([DUPLICATES.empty_table(), *tables]).combine_chunks()
    _write(work / "duplicates.parquet", DUPLICATES, found.to_batches())
    return Copies(dropped=dropped, left=stage)


def earlier(against: Sequence[Path]) -> pa.Table | None:
    """The documents that earlier runs kept, as rows of an index; None without earlier runs."""
    if not against:
        return None
    tables = []
    for place in against:
        path = place / "index.parquet" if place.is_dir() else place
        try:
            tables.append(pq.read_table(path, columns=list(INDEX_COLUMNS)))
        except (OSError, pa.ArrowInvalid) as error:
            raise WatershedError(
                f"{path}: not an index ({str(error).splitlines()[0]})",
                "give the --out folder of an earlier run, or its index.parquet",
            ) from error
    return pa.concat_tables(tables).cast(_index_schema())


Found = tuple[pa.Table, Stage]


def _exact(stage: Stage, step: Deduplication, path: Path, seen: pa.Table | None) -> Found:
    deduplications.checked_options(step)
    return _by_key(stage, "exact", ("text_hash", "text_bytes"), "same text", seen), stage


def _url(stage: Stage, step: Deduplication, path: Path, seen: pa.Table | None) -> Found:
    deduplications.checked_options(step)
    return _by_key(stage, "url", ("url",), "same URL", seen), stage


def _by_key(stage: Stage, method: str, key: Sequence[str], why: str, seen: pa.Table | None) -> pa.Table:
    """Documents with equal keys. The longest text is kept, then the least id, from this run or an earlier one."""
    columns = list(dict.fromkeys(["id", "text_bytes", *key]))
    here = pa.Table.from_batches(stage.batches(columns), pa.schema([KEPT.field(name) for name in columns]))
    table = here.append_column("new", pa.array(np.ones(len(here), np.bool_)))
    if seen is not None:
        table = pa.concat_tables(
            [table, seen.select(columns).append_column("new", pa.array(np.zeros(len(seen), bool)))]
        )
    for name in key:
        table = table.filter(pc.is_valid(table[name]))
    table = table.sort_by([(name, "ascending") for name in key] + [("text_bytes", "descending"), ("id", "ascending")])
    if not len(table):
        return DUPLICATES.empty_table()
    changes = np.zeros(len(table), np.bool_)
    changes[0] = True
    for name in key:
        column = table[name].combine_chunks()
        changes[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    group = np.cumsum(changes) - 1
    firsts, sizes = np.flatnonzero(changes), np.bincount(group)
    with_new = np.bincount(group, table["new"].to_numpy()) > 0
    members = (sizes[group] > 1) & with_new[group]
    kept = changes[members]
    ids = table["id"].combine_chunks()
    stands = ids.take(pa.array(firsts[group[members]]))
    rows = {
        "id": ids.filter(pa.array(members)),
        "method": pa.array([method] * int(members.sum()), pa.string()),
        "kept": pa.array(kept),
        "kept_id": stands,
        "cluster_id": stands,
        "cluster_size": pa.array(sizes[group[members]]),
        "removed_bytes": pa.nulls(int(members.sum()), pa.int64()),
        "reason": pa.array(["longest text, then least id" if each else f"{why} as the kept copy" for each in kept]),
    }
    return pa.table({name: rows[name] for name in DUPLICATES.names}, DUPLICATES)


def _minhash(stage: Stage, step: Deduplication, path: Path, seen: pa.Table | None) -> Found:
    from spark_jobs.dedup.clusters import Verify, cluster

    near = deduplications.near_copies(step)
    columns = ["id", "text_hash", "text_bytes", "minhash"]
    if near.verify is Verify.JACCARD:
        if seen is not None:
            raise WatershedError(
                "minhash: an index holds no texts, so pairs cannot be verified exactly", "leave out `verify: jaccard`"
            )
        columns.append("text")

    def documents() -> Iterator[pa.RecordBatch]:
        if seen is not None:
            yield from seen.select(columns).to_batches()
        yield from stage.batches(columns)

    found = cluster(documents(), near)
    rows = pa.table(
        {
            "id": found["doc_id"],
            "method": found["method"],
            "kept": found["kept"],
            "kept_id": found["kept_doc_id"],
            "cluster_id": found["cluster_id"],
            "cluster_size": found["cluster_size"],
            "removed_bytes": pa.nulls(len(found), pa.int64()),
            "reason": found["reason"],
        }
    ).cast(DUPLICATES)
    if seen is not None:
        new = pc.invert(pc.is_in(rows["id"], value_set=seen["id"].combine_chunks()))
        touched = rows["cluster_id"].filter(new).combine_chunks()
        rows = rows.filter(pc.is_in(rows["cluster_id"], value_set=touched))
    return rows, stage


def _paragraphs(stage: Stage, step: Deduplication, path: Path, seen: pa.Table | None) -> Found:
    from spark_jobs.dedup.bloom_filter import BloomFilter, filter_size
    from spark_jobs.dedup.paragraphs import deduplicate_paragraphs, estimate_ngrams

    removing, rate = deduplications.paragraph_options(step)
    ngrams = estimate_ngrams(stage.batches(["text"]), removing)
    filter_ = BloomFilter(filter_size(max(ngrams, 1), rate))
    rows: list[pa.Table] = []

    def work() -> Iterator[pa.RecordBatch]:
        for batch in stage.batches():
            (found,) = pa.Table.from_batches(
                deduplicate_paragraphs([batch.select(["id", "text"])], filter_, removing)
            ).combine_chunks().to_batches() or [None]
            if found is None:
                continue
            rows.append(_paragraph_rows(found, batch, removing.threshold))
            yield _with_text(batch, found.column("text")).filter(found.column("kept"))

    _write(path, KEPT, work())
    return pa.concat_tables([DUPLICATES.empty_table(), *rows]), Stage(files=(path,))


def _paragraph_rows(found: pa.RecordBatch, before: pa.RecordBatch, threshold: float) -> pa.Table:
    removed = pc.subtract(before.column("text_bytes"), pc.cast(pc.binary_length(found.column("text")), pa.int64()))
    touched = pc.or_(pc.greater(removed, 0), pc.invert(found.column("kept")))
    contained, total = found.column("contained_ngrams"), found.column("total_ngrams")
    reasons = [
        f"{most} of {all_} n-grams were met before" + (f", more than {threshold:g}" if not kept else "")
        for most, all_, kept in zip(
            contained.to_pylist(), total.to_pylist(), found.column("kept").to_pylist(), strict=True
        )
    ]
    rows = found.num_rows
    columns = {
        "id": found.column("id"),
        "method": pa.array(["paragraphs"] * rows, pa.string()),
        "kept": found.column("kept"),
        "kept_id": pa.nulls(rows, pa.string()),
        "cluster_id": pa.nulls(rows, pa.string()),
        "cluster_size": pa.nulls(rows, pa.int64()),
        "removed_bytes": removed,
        "reason": pa.array(reasons, pa.string()),
    }
    return pa.table({name: columns[name] for name in DUPLICATES.names}, DUPLICATES).filter(touched)


def _substrings(stage: Stage, step: Deduplication, path: Path, seen: pa.Table | None) -> Found:
    from spark_jobs.dedup.substrings import remove_spans, repeated_substrings

    removing = deduplications.substring_options(step)
    rows: list[pa.Table] = []

    def work() -> Iterator[pa.RecordBatch]:
        found = repeated_substrings(lambda: stage.batches(["id", "text"]), removing)
        for batch, spans in zip(stage.batches(), found, strict=True):
            text = remove_spans(batch.column("text"), spans.column("spans"))
            kept = pc.greater(pc.binary_length(pc.utf8_trim_whitespace(text)), 0)
            rows.append(_substring_rows(batch, spans, kept))
            yield _with_text(batch, text).filter(kept)

    _write(path, KEPT, work())
    return pa.concat_tables([DUPLICATES.empty_table(), *rows]), Stage(files=(path,))


def _substring_rows(batch: pa.RecordBatch, spans: pa.RecordBatch, kept: pa.Array) -> pa.Table:
    rows = batch.num_rows
    covered = pc.cast(spans.column("covered_bytes"), pa.int64())
    columns = {
        "id": batch.column("id"),
        "method": pa.array(["substrings"] * rows, pa.string()),
        "kept": kept,
        "kept_id": pa.nulls(rows, pa.string()),
        "cluster_id": pa.nulls(rows, pa.string()),
        "cluster_size": pa.nulls(rows, pa.int64()),
        "removed_bytes": covered,
        "reason": pa.array(["stands earlier too, byte for byte"] * rows, pa.string()),
    }
    table = pa.table({name: columns[name] for name in DUPLICATES.names}, DUPLICATES)
    return table.filter(pc.greater(covered, 0))


def _with_text(batch: pa.RecordBatch, text: pa.Array) -> pa.RecordBatch:
    from spark_jobs.kernels.minhash import minhash
    from spark_jobs.kernels.text_hash import text_hash

    renewed = {
        "text": text,
        "text_hash": text_hash(text),
        "text_bytes": pc.cast(pc.binary_length(text), pa.int64()),
        "minhash": minhash(text).cast(pa.binary()),
    }
    columns = [renewed.get(name, batch.column(name)) for name in KEPT.names]
    return pa.RecordBatch.from_arrays(columns, schema=KEPT)


FINDERS: Mapping[str, Callable[[Stage, Deduplication, Path, pa.Table | None], Found]] = {
    "exact": _exact,
    "url": _url,
    "minhash": _minhash,
    "paragraphs": _paragraphs,
    "substrings": _substrings,
}


def _index_schema() -> pa.Schema:
    return pa.schema([KEPT.field(name) for name in INDEX_COLUMNS])


def _write(path: Path, schema: pa.Schema, batches: Any) -> None:
    with pq.ParquetWriter(path, schema, compression="zstd", compression_level=1) as file:
        for batch in batches:
            file.write_batch(batch)

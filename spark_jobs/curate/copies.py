"""Finds copies among the documents that a recipe's steps keep, by the recipe's methods, one after the other.

- `exact`: equal texts
- `url`: equal URLs
- `minhash`: equal and nearly equal texts
- `paragraphs`: paragraphs and documents that repeat earlier text (bff), in the order of the inputs
- `substrings`: substrings that occur earlier too, byte for byte

Documents that earlier runs kept (`against`) are always kept. A copy of one is dropped, however long it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from spark_jobs.compute import pc
from spark_jobs.curate.cluster_counts import ClusterCounts, Loss, cluster_counts, losses
from spark_jobs.curate.earlier import EarlierRun
from spark_jobs.curate.parts import KEPT
from spark_jobs.curate.repeated_text import remove_paragraphs, remove_substrings
from spark_jobs.curate.stage import DUPLICATES, Found, Stage, duplicate_rows, write_parquet
from spark_jobs.dedup.near_copies import Keep, Verify
from spark_jobs.recipes import deduplications
from spark_jobs.recipes.deduplications import Among
from spark_jobs.recipes.recipe import Deduplication, Recipe


@dataclass(frozen=True, kw_only=True)
class Copies:
    """The documents that each method drops, and the documents that remain."""

    dropped: dict[str, int]
    """Number of dropped documents by method."""
    left: Stage
    clusters: tuple[ClusterCounts, ...]
    """Of the methods that find clusters."""
    losses: tuple[Loss, ...]
    """Documents that each input lost, in the order of the inputs."""


def find_copies(
    parts: Sequence[Path],
    recipe: Recipe,
    work: Path,
    against: Sequence[EarlierRun] = (),
    reached: Callable[[int], None] = lambda documents: None,
) -> Copies:
    """Apply the recipe's methods; writes duplicates.parquet into `work`.

    Args:
        parts: files of KEPT rows, in the order of the inputs.
        against: earlier runs, whose documents are kept.
        reached: called with the number of documents that methods have dropped so far.

    Raises:
        WatershedError: an option is unknown, or an earlier run has no texts and the recipe compares them.
    """
    stage = Stage(files=tuple(parts))
    dropped: dict[str, int] = {}
    tables: list[pa.Table] = []
    for number, step in enumerate(recipe.deduplicate):
        rows, stage = FINDERS[step.method](stage, step, work / f"stage-{number}.parquet", against)
        stage = stage.without(rows)
        dropped[step.method] = dropped.get(step.method, 0) + pc.sum(pc.invert(rows["kept"]), min_count=0).as_py()
        tables.append(rows)
        reached(sum(dropped.values()))
    found = pa.concat_tables([DUPLICATES.empty_table(), *tables]).combine_chunks()
    write_parquet(work / "duplicates.parquet", DUPLICATES, found.to_batches())
    return Copies(
        dropped=dropped,
        left=stage,
        clusters=tuple(
            cluster_counts(step.method, rows)
            for step, rows in zip(recipe.deduplicate, tables, strict=True)
            if step.method not in deduplications.TEXT_METHODS
        ),
        losses=losses(parts, found),
    )


def _exact(stage: Stage, step: Deduplication, path: Path, seen: Sequence[EarlierRun]) -> Found:
    return _by_key(stage, "exact", ("text_hash", "text_bytes"), "same text", seen, deduplications.among(step)), stage


def _url(stage: Stage, step: Deduplication, path: Path, seen: Sequence[EarlierRun]) -> Found:
    return _by_key(stage, "url", ("url",), "same URL", seen, deduplications.among(step)), stage


def _by_key(  # noqa: PLR0917 - private, called twice
    stage: Stage, method: str, key: Sequence[str], why: str, seen: Sequence[EarlierRun], among: Among
) -> pa.Table:
    """Documents with equal keys. That of the first run is kept; within a run the longest text, then the least id."""
    columns = list(dict.fromkeys(["id", "text_bytes", *key]))
    schema = pa.schema([KEPT.field(name) for name in columns])
    tables = []
    for run, batches in enumerate([*(earlier.batches(columns) for earlier in seen), stage.batches(columns)]):
        table = pa.Table.from_batches(batches, schema)
        tables.append(table.append_column("run", pa.array(np.full(len(table), run, np.int32))))
    table = pa.concat_tables(tables)
    for name in key:
        table = table.filter(pc.is_valid(table[name]))
    order = [(name, "ascending") for name in (*key, "run")]
    table = table.sort_by([*order, ("text_bytes", "descending"), ("id", "ascending")])
    if not len(table):
        return DUPLICATES.empty_table()
    changes = np.zeros(len(table), np.bool_)
    changes[0] = True
    for name in key:
        column = table[name].combine_chunks()
        changes[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    group = np.cumsum(changes) - 1
    first, new = np.flatnonzero(changes)[group], table["run"].to_numpy() == len(seen)
    earlier = ~new[first]
    sizes = np.bincount(group, new).astype(np.int64)[group] + earlier
    rows = np.flatnonzero(new & (sizes > 1) & (earlier | among.within))
    first, earlier, sizes = first[rows], earlier[rows], sizes[rows]
    led = earlier | (among.keep is Keep.ONE)
    kept = led & (first == rows)
    # Ids are unique in this run, and so is that of a cluster's first document of this run.
    _, starts, cluster = np.unique(group[rows], return_index=True, return_inverse=True)
    ids, runs = table["id"].combine_chunks(), pa.array([run.name for run in seen], pa.string())
    reasons = [
        "longest text, then least id" if stays
        else f"{why} as a document of an earlier run" if from_earlier
        else f"{why} as the kept copy" if one
        else f"{why} as {size - 1} others, of which none is kept"
        for stays, from_earlier, one, size in zip(kept, earlier, led, sizes, strict=True)
    ]  # fmt: skip
    return duplicate_rows(
        len(rows),
        method,
        id=ids.take(pa.array(rows)),
        kept=pa.array(kept),
        kept_id=ids.take(pa.array(first, mask=~led)),
        kept_run=runs.take(pa.array(table["run"].to_numpy()[first], mask=~earlier)),
        cluster_id=ids.take(pa.array(rows[starts[cluster]])),
        cluster_size=pa.array(sizes),
        similarity=pa.array(np.ones(len(rows)), mask=~led | (method == "url")),
        reason=pa.array(reasons, pa.string()),
    )


def _minhash(stage: Stage, step: Deduplication, path: Path, seen: Sequence[EarlierRun]) -> Found:
    from spark_jobs.dedup.clusters import Documents, cluster_against

    near, among = deduplications.near_copies(step), deduplications.among(step)
    columns = ("id", "text_hash", "text_bytes", "minhash")
    texts = near.verify is Verify.JACCARD

    def documents(run: EarlierRun | Stage) -> Documents:
        return Documents(batches=run.batches(columns), texts=partial(run.batches, ("text",)) if texts else None)

    earlier = [documents(run) for run in seen]
    found = cluster_against(documents(stage), earlier, near, keep=among.keep, within=among.within)
    runs = pa.array([run.name for run in seen], pa.string())
    rows = duplicate_rows(
        len(found),
        "minhash",
        id=found["doc_id"],
        method=found["method"],
        kept=found["kept"],
        kept_id=found["kept_doc_id"],
        kept_run=runs.take(found["kept_run"].combine_chunks()),
        cluster_id=found["cluster_id"],
        cluster_size=found["cluster_size"],
        similarity=found["similarity"],
        reason=found["reason"],
    )
    return rows, stage


FINDERS: Mapping[str, Callable[[Stage, Deduplication, Path, Sequence[EarlierRun]], Found]] = {
    "exact": _exact,
    "url": _url,
    "minhash": _minhash,
    "paragraphs": remove_paragraphs,
    "substrings": remove_substrings,
}

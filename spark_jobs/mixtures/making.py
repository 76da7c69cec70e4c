"""A mixture from its recipe: sources are read and judged one by one, compared with each other, drawn, and sharded."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.licences.names import read_licences
from catalog.licences.rows import RowLicences
from catalog.progress import track
from catalog.projects.mixture_tables import Mixture
from spark_jobs.mixtures.amounts import asked_tokens, repeats_of
from spark_jobs.mixtures.candidates import Candidates, Fate, Judging, read_candidates
from spark_jobs.mixtures.copies import drop_copies
from spark_jobs.mixtures.examples import drop_examples
from spark_jobs.mixtures.filters import filters_of
from spark_jobs.mixtures.shards import write_shards
from spark_jobs.mixtures.sources import Rows
from spark_jobs.shards.plan import SPLITS
from spark_jobs.shards.publish import shard_row
from spark_jobs.shards.vocabulary import Vocabulary, read_vocabulary
from spark_jobs.shards.writer import MADE, ShardRecipe

Opened = Callable[[Rows], Iterator[pa.RecordBatch]]
"""Reads the rows of a source."""


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a mixture is made of, beside its recipe."""

    rows: Sequence[Rows]
    """The sources in the order of the recipe."""
    licences: Mapping[str, RowLicences]
    """The licences of the rows of each source."""
    evaluations: Sequence[Path]
    """JSONL files of the evaluations whose examples are dropped."""
    tokenizer: Path


def rows_of(mixture: Mixture, licence_columns: Mapping[str, str], files: Mapping[str, Any]) -> list[Rows]:
    """What reads the rows of each source, with the columns that its filters need.

    Args:
        mixture: the mixture.
        licence_columns: the column with the licence of a row, by source, of those that have one.
        files: the listed files, by source, of those that are files.

    Raises:
        WatershedError: a filter or an option of one is unknown.
    """
    found = []
    for source in mixture.recipe.sources:
        filters = filters_of(source.filters, f"{mixture.recipe.path}: source {source.name}")
        extras = dict.fromkeys(name for each in filters.values() for name in each.columns)
        rows = Rows(
            source=source,
            keys=mixture.keys[source.name],
            extras=tuple(extras),
            licence_column=licence_columns.get(source.name),
            files=tuple(files.get(source.name, ())),
        )
        found.append(rows)
    return found


def write_mixture(lake: Lake, mixture: Mixture, inputs: Inputs, opened: Opened, fingerprint: str) -> dict[str, Any]:
    """Replace the tables of a mixture, and write its shards.

    Raises:
        WatershedError: see `read_candidates`, `asked_tokens` and `write_shards`; the cause names the source.
    """
    recipe = mixture.recipe
    folder = lake.folder(mixture.shards.name, fingerprint)
    folder.mkdir(parents=True, exist_ok=True)
    # On the disk of the shards: the documents of a mixture may be larger than memory, and than the system's own disk.
    work = Path(tempfile.mkdtemp(prefix=".making-", dir=folder))
    try:
        removals, vocabulary = lake.removals(), read_vocabulary(inputs.tokenizer)

        def forgotten(batch: pa.RecordBatch) -> Sequence[bool]:
            return removals.named(mixture.documents, batch)

        sources = _candidates(mixture, inputs, opened, work, vocabulary, forgotten)
        drop_copies(sources, recipe.duplicates, recipe.similarity)
        evaluations, warnings = drop_examples(sources, inputs.evaluations, recipe.rule)
        available = {each.name: int(each.tokens[each.left & ~each.heldout].sum()) for each in sources}
        asked = asked_tokens(recipe, available)
        repeats = [_repeats(each, recipe.seed, asked[each.name]) for each in sources]
        if not any((each.heldout & (times > 0)).any() for each, times in zip(sources, repeats, strict=True)):
            raise WatershedError(
                f"{recipe.table}: no document is held out", "raise `heldout` of the recipe, or add documents"
            )
        shards = ShardRecipe(sequence_length=recipe.sequence_length, shard_tokens=recipe.shard_tokens, seed=recipe.seed)
        notes = write_shards(folder, sources, repeats, shards, vocabulary, fingerprint)
        proportions = _proportions(mixture, sources, repeats, asked, available)
        _write(lake, mixture.contamination, evaluations, fingerprint)
        lake.replace(mixture.dropped, _dropped(mixture, sources), fingerprint)
        _write(lake, mixture.sources, proportions, fingerprint)
        lake.replace(mixture.spans, _spans(mixture, folder), fingerprint)
        rows = [shard_row(note, folder, lake, fingerprint) for note in notes]
        _write(lake, mixture.shards, rows, fingerprint)
        lake.replace(mixture.documents, _documents(mixture, sources, repeats), fingerprint)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return {
        "documents": sum(row["documents"] for row in proportions),
        "held out": sum(row["heldout"] for row in proportions),
        "tokens": sum(row["tokens"] for row in proportions),
        "copies dropped": sum(row["duplicates"] for row in proportions),
        "contaminated": sum(row["contaminated"] for row in proportions),
        "shards": len(notes),
        **{f"share of {row['source']}": row["share"] for row in proportions[:20]},
        **({"warnings": warnings} if warnings else {}),
    }


def _candidates(  # noqa: PLR0917
    mixture: Mixture,
    inputs: Inputs,
    opened: Opened,
    work: Path,
    vocabulary: Vocabulary,
    forgotten: Callable[[pa.RecordBatch], Sequence[bool]],
) -> list[Candidates]:
    recipe, found = mixture.recipe, []
    for number, rows in enumerate(inputs.rows):
        judging = Judging(
            vocabulary=vocabulary,
            filters=filters_of(rows.source.filters, f"{recipe.path}: source {rows.source.name}"),
            licences=inputs.licences[rows.source.name],
            drop_licences=recipe.licences == "drop",
            seed=recipe.seed,
            heldout=recipe.heldout,
            minhash=recipe.duplicates == "near",
            forgotten=forgotten,
        )
        with track(f"reading {rows.source.name}", 0, "rows") as task:
            found.append(read_candidates(opened(rows), rows, judging, work / f"{number:02d}.arrow", task))
    return found


def _repeats(source: Candidates, seed: int, asked: float) -> NDArray[np.int64]:
    """(documents,): how often a pass reads each document; marks those that it does not read."""
    repeats = np.zeros(len(source.fate), np.int64)
    train = source.left & ~source.heldout
    repeats[train] = repeats_of(seed, source.doc_ids(train), source.tokens[train], asked)
    repeats[source.left & source.heldout] = 1
    source.fate[source.left & (repeats == 0)] = Fate.PROPORTION
    return repeats


def _write(lake: Lake, contract: Contract, rows: Sequence[Mapping[str, Any]], fingerprint: str) -> None:
    lake.replace(contract, pa.Table.from_pylist(list(rows), schema=contract.schema), fingerprint)


def _proportions(
    mixture: Mixture,
    sources: Sequence[Candidates],
    repeats: Sequence[NDArray[np.int64]],
    asked: Mapping[str, float],
    available: Mapping[str, int],
) -> list[dict[str, Any]]:
    """Rows of mixture.NAME_sources."""
    train = [np.where(each.heldout, 0, times) for each, times in zip(sources, repeats, strict=True)]
    tokens = [int((each.tokens * times).sum()) for each, times in zip(sources, train, strict=True)]
    rows = []
    for place, (each, times) in enumerate(zip(sources, train, strict=True)):
        source, fates = each.rows.source, np.bincount(each.fate, minlength=len(Fate))
        taken = repeats[place] > 0
        stated = {
            name
            for _, batch in each.batches(["licence"], taken)
            for name in batch.column("licence").unique().to_pylist()
        }
        rows.append(
            {
                "source": each.name,
                "place": place + 1,
                "origin": source.table or ", ".join(source.files),
                "licences": sorted({reading.shown for name in stated for reading in read_licences(name)}),
                "asked_by": source.by,
                "rows": len(each.fate),
                "empty": int(fates[Fate.EMPTY]),
                "unlicensed": int(fates[Fate.LICENCE]),
                "filtered": int(fates[Fate.FILTER]),
                "duplicates": int(fates[Fate.DUPLICATE]),
                "contaminated": int(fates[Fate.CONTAMINATED]),
                "heldout": int((taken & each.heldout).sum()),
                "available": int(fates[Fate.LEFT] + fates[Fate.PROPORTION] - (taken & each.heldout).sum()),
                "available_tokens": available[each.name],
                "documents": int((times > 0).sum()),
                "tokens": tokens[place],
                "asked_tokens": asked[each.name],
                "asked_share": asked[each.name] / sum(asked.values()),
                "share": tokens[place] / sum(tokens),
                "epochs": tokens[place] / available[each.name],
            }
        )
    return rows


def _documents(
    mixture: Mixture, sources: Sequence[Candidates], repeats: Sequence[NDArray[np.int64]]
) -> Iterator[pa.RecordBatch]:
    """Rows of mixture.NAME, source by source."""
    read = dict.fromkeys(SPLITS, 0)
    for each, times in zip(sources, repeats, strict=True):
        for split in SPLITS:
            read[split] += int((each.tokens * times)[each.heldout == (split == "heldout")].sum())
    for each, times in zip(sources, repeats, strict=True):
        names = [key.column for key in each.rows.keys]
        for places, batch in each.batches(["doc_id", *names, "licence"], times > 0):
            heldout, tokens = each.heldout[places], each.tokens[places]
            whole = np.where(heldout, read["heldout"], read["train"])
            yield _conformed(
                mixture.documents,
                batch,
                {
                    "source": pa.array([each.name] * batch.num_rows, pa.string()),
                    "split": pa.array(np.where(heldout, "heldout", "train")),
                    "repeats": pa.array(times[places].astype(np.int32)),
                    "tokens": pa.array(tokens),
                    "text_bytes": pa.array(each.text_bytes[places]),
                    "weight": pa.array(tokens * times[places] / whole),
                },
            )


def _dropped(mixture: Mixture, sources: Sequence[Candidates]) -> Iterator[pa.RecordBatch]:
    """Rows of mixture.NAME_dropped, source by source."""
    for each in sources:
        names = [key.column for key in each.rows.keys]
        for places, batch in each.batches(["doc_id", *names], ~each.left):
            kept = [each.kept.get(place, (None, None)) for place in places.tolist()]
            yield _conformed(
                mixture.dropped,
                batch,
                {
                    "source": pa.array([each.name] * batch.num_rows, pa.string()),
                    "reason": pa.array([Fate(fate).name.lower() for fate in each.fate[places].tolist()], pa.string()),
                    "detail": pa.array([each.details.get(place, "") for place in places.tolist()], pa.string()),
                    "kept_doc_id": pa.array([doc_id for doc_id, _ in kept], pa.string()),
                    "similarity": pa.array([alike for _, alike in kept], pa.float64()),
                },
            )


def _conformed(contract: Contract, batch: pa.RecordBatch, more: Mapping[str, pa.Array]) -> pa.RecordBatch:
    """A batch in the columns of a contract; those that it lacks, the keys of other sources, are null."""
    columns = []
    for column in contract.columns:
        if column.name in more:
            columns.append(more[column.name].cast(column.type))
        elif column.name in batch.schema.names:
            columns.append(batch.column(column.name))
        else:
            columns.append(pa.nulls(batch.num_rows, column.type))
    return pa.RecordBatch.from_arrays(columns, schema=pa.schema([field.remove_metadata() for field in contract.schema]))


def _spans(mixture: Mixture, folder: Path) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    for split in SPLITS:
        for path in sorted((folder / MADE / split).glob("shard_*.parquet")):
            yield from pq.read_table(path).select(mixture.spans.schema.names).to_batches()

"""Applies a recipe's steps to one input: writes a folder with its verdicts and the kept texts."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from spark_jobs.compute import pc
from spark_jobs.curate.inputs import Source, read_batches
from spark_jobs.recipes.judge import BROKEN, Verdicts, classify
from spark_jobs.recipes.recipe import Recipe
from spark_jobs.recipes.steps import Measurement, measure

SAMPLES = 4
"""Sample documents for each rule, chosen by a hash of their ids."""
SNIPPET = 400
"""Characters shown of each sample."""

KEPT = pa.schema(
    [
        ("id", pa.string()),
        ("text", pa.string()),
        ("url", pa.string()),
        ("metadata", pa.string()),
        ("text_hash", pa.int64()),
        ("text_bytes", pa.int64()),
        ("minhash", pa.binary()),
    ]
)
"""The documents that the steps keep; the last three columns are of the edited text."""


@dataclass(kw_only=True)
class Tally:
    """Counts of the outcomes of documents, of one input or of several."""

    documents: int = 0
    bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    """Of edited text."""
    first: Counter[str] = field(default_factory=Counter)
    """By rule, the number of documents that break it first."""
    broken: Counter[str] = field(default_factory=Counter)
    """By rule, the number of documents that break it."""
    changed: Counter[str] = field(default_factory=Counter)
    """By edit, the number of documents that it changes."""
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """By rule, sample documents that break it first."""

    def add(self, other: Tally) -> None:
        """Add the counts and samples of another tally."""
        for name in ("documents", "bytes", "kept", "kept_bytes"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("first", "broken", "changed"):
            getattr(self, name).update(getattr(other, name))
        for rule, samples in other.samples.items():
            both = sorted([*self.samples.get(rule, []), *samples], key=lambda sample: sample["order"])
            self.samples[rule] = both[:SAMPLES]


def verdict_schema(recipe: Recipe) -> pa.Schema:
    """Columns of an input's verdicts."""
    labels = {rule.column for rule in recipe.rules if rule.text}
    return pa.schema(
        [
            ("id", pa.string()),
            ("kept", pa.bool_()),
            ("broken", BROKEN),
            ("state", pa.string()),
            ("reason", pa.string()),
            *((column, pa.string() if column in labels else pa.float64()) for column in recipe.columns),
            ("text_bytes", pa.int64()),
            ("edited_bytes", pa.int64()),
        ]
    )


def curate_part(source: Source, recipe: Recipe, folder: Path, reached: Callable[[int], None]) -> Tally:
    """Judge one input; `folder` is written whole or not at all.

    Args:
        folder: gets verdicts.parquet, kept.parquet and tally.json; if it is complete, it is used as it is.
        reached: called with the bytes of the input that are done so far.

    Raises:
        WatershedError: the input is damaged, or lacks a column that the recipe reads.
    """
    done = folder / "tally.json"
    if done.is_file():
        reached(source.bytes)
        return _tally(orjson.loads(done.read_bytes()))
    from catalog.files import whole_path

    tally = Tally()
    with whole_path(folder) as making:
        making.mkdir()
        _write_part(source, recipe, making, tally, reached)
    reached(source.bytes)
    return tally


def _write_part(source: Source, recipe: Recipe, making: Path, tally: Tally, reached: Callable[[int], None]) -> None:
    with (
        pq.ParquetWriter(making / "verdicts.parquet", verdict_schema(recipe), compression="zstd") as verdicts_file,
        pq.ParquetWriter(making / "kept.parquet", KEPT, compression="zstd", compression_level=1) as kept_file,
    ):
        for batch in read_batches(source, reached):
            measured = measure({name: batch.column(name) for name in batch.schema.names}, recipe)
            verdicts = judge(batch, measured, recipe)
            verdicts_file.write_batch(_verdict_rows(batch, measured, verdicts, recipe))
            kept_file.write_batch(_kept_rows(batch, measured, verdicts))
            tally.add(_count(batch, measured, verdicts, recipe))
    (making / "tally.json").write_bytes(orjson.dumps(vars(tally)))


def judge(batch: pa.RecordBatch, measured: Measurement, recipe: Recipe) -> Verdicts:
    """The verdicts of the recipe on measured documents."""
    columns = {"state": batch.column("state"), **measured.values}
    return classify(pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns)), recipe)


def _verdict_rows(batch: pa.RecordBatch, measured: Measurement, verdicts: Verdicts, recipe: Recipe) -> pa.RecordBatch:
    columns = {
        "id": batch.column("id"),
        "kept": verdicts.kept,
        "broken": verdicts.broken,
        "state": batch.column("state"),
        "reason": batch.column("reason"),
        **measured.values,
        "text_bytes": _bytes(batch.column("text")),
        "edited_bytes": _bytes(measured.text),
    }
    schema = verdict_schema(recipe)
    return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in schema], schema=schema)


def _kept_rows(batch: pa.RecordBatch, measured: Measurement, verdicts: Verdicts) -> pa.RecordBatch:
    from spark_jobs.kernels.minhash import minhash
    from spark_jobs.kernels.text_hash import text_hash

    text = measured.text.filter(verdicts.kept)
    columns = {
        **{name: batch.column(name).filter(verdicts.kept) for name in ("id", "url", "metadata")},
        "text": text,
        "text_hash": text_hash(text),
        "text_bytes": _bytes(text),
        "minhash": minhash(text).cast(pa.binary()),
    }
    return pa.RecordBatch.from_arrays([columns[name] for name in KEPT.names], schema=KEPT)


def _count(batch: pa.RecordBatch, measured: Measurement, verdicts: Verdicts, recipe: Recipe) -> Tally:
    first = verdicts.first_rule()
    tally = Tally(
        documents=batch.num_rows,
        bytes=pc.sum(_bytes(batch.column("text"))).as_py() or 0,
        kept=pc.sum(verdicts.kept).as_py() or 0,
        kept_bytes=pc.sum(_bytes(measured.text.filter(verdicts.kept))).as_py() or 0,
        first=_tally_of(first),
        broken=_tally_of(verdicts.broken.flatten().field("rule")),
        samples=_samples(batch, verdicts, first),
    )
    before = _bytes(batch.column("text"))
    for step in recipe.edits:
        after = measured.values[step.column]
        # Null for a text that was empty before. An edit that keeps the length of a text it changes is not counted.
        tally.changed[step.edit] += pc.sum(pc.not_equal(before, after)).as_py() or 0
        before = after
    return tally


def _tally_of(names: pa.Array) -> Counter[str]:
    counts = names.drop_null().value_counts()
    return Counter({found["values"].as_py(): found["counts"].as_py() for found in counts})


def _samples(batch: pa.RecordBatch, verdicts: Verdicts, first: pa.Array) -> dict[str, list[dict[str, Any]]]:
    samples: dict[str, list[dict[str, Any]]] = {}
    ids = batch.column("id").to_pylist()
    places: dict[str, list[tuple[str, int]]] = {}
    for row, rule in enumerate(first.to_pylist()):
        if rule is not None:
            order = hashlib.blake2b(ids[row].encode(), digest_size=8).hexdigest()
            places.setdefault(rule, []).append((order, row))
    for rule, found in places.items():
        for order, row in sorted(found)[:SAMPLES]:
            text = batch.column("text")[row].as_py() or batch.column("reason")[row].as_py() or ""
            samples.setdefault(rule, []).append(
                {
                    "order": order,
                    "id": ids[row],
                    "url": batch.column("url")[row].as_py(),
                    "broken": verdicts.broken[row].as_py(),
                    "text": text[:SNIPPET],
                }
            )
    return samples


def _tally(stored: dict[str, Any]) -> Tally:
    counters = {name: Counter(stored.pop(name)) for name in ("first", "broken", "changed")}
    return Tally(**stored, **counters)


def _bytes(text: pa.Array) -> pa.Array:
    return pc.fill_null(pc.cast(pc.binary_length(text), pa.int64()), 0)

"""dclm.measurements: stored documents, edited and measured by each recipe; the crawl is not read again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catalog.lake import Lake, Part
from catalog.tables.dclm import MEASUREMENTS
from spark_jobs.compute import pc
from spark_jobs.recipes.recipe import Recipe
from spark_jobs.recipes.steps import measure
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHARD_COLUMNS = ("global_shard", "local_shard")
DOCUMENT_COLUMNS = ("doc_id", *SHARD_COLUMNS, "state", "text", "url", "language", "language_score")
"""Columns that are read from dclm.documents."""


def measurement_batches(documents: Iterable[pa.RecordBatch], recipes: Sequence[Recipe]) -> Iterator[pa.RecordBatch]:
    """Rows of dclm.measurements: a row per document and recipe.

    Args:
        documents: rows of dclm.documents with DOCUMENT_COLUMNS.
        recipes: each with its own name.
    """
    for batch in documents:
        columns = {name: batch.column(name) for name in DOCUMENT_COLUMNS}
        columns["text"] = columns["text"].cast(pa.string())
        for recipe in recipes:
            measured = measure(columns, recipe)
            changed = pc.fill_null(pc.not_equal(columns["text"], measured.text), False)
            rows = {
                **{name: columns[name] for name in ("doc_id", *SHARD_COLUMNS, "state")},
                "recipe": pa.array([recipe.name] * batch.num_rows, pa.string()),
                "text": pc.if_else(changed, measured.text, None),
                "text_bytes": pc.fill_null(pc.cast(pc.binary_length(measured.text), pa.int64()), 0),
                "language": measured.values.get(_label(recipe), pa.nulls(batch.num_rows, pa.string())),
                "values": numbers_map(measured.values, recipe, batch.num_rows),
            }
            arrays = [rows[field.name].cast(field.type) for field in MEASUREMENTS.schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=MEASUREMENTS.schema)


def values_of(batch: pa.RecordBatch, recipe: Recipe) -> pa.RecordBatch:
    """The columns that `classify` needs, from the rows of one recipe: `state` and each of `recipe.columns`."""
    values = batch.column("values")
    keys, numbers = values.keys.to_pylist(), values.items
    names = _numbers(recipe)
    assert keys == names * batch.num_rows, f"dclm.measurements holds other values than {recipe.name} measures"
    places = np.arange(batch.num_rows) * len(names)
    columns = {
        "state": batch.column("state"),
        **{name: numbers.take(pa.array(places + place)) for place, name in enumerate(names)},
        _label(recipe): batch.column("language"),
    }
    wanted = ["state", *recipe.columns]
    return pa.RecordBatch.from_arrays([columns[name] for name in wanted], names=wanted)


def write_measurements(
    spark: SparkSession, lake: Lake, parts: Sequence[Part], recipes: Sequence[Recipe]
) -> list[dict[str, Any]]:
    """Replace partitions of dclm.measurements, in one transaction: every document measured for every recipe.

    Returns:
        for each part, the number of measurements, and the steps of each recipe that are not applied.

    Raises:
        WatershedError: there are no documents yet, or the table could not be written.
    """
    documents = write.within(write.read(spark, lake, "dclm.documents"), parts)

    def work(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return measurement_batches(batches, recipes)

    frame = documents.select(*DOCUMENT_COLUMNS).mapInArrow(work, write.spark_schema(MEASUREMENTS.schema))
    write.replace_parts(frame, MEASUREMENTS, lake, parts)
    not_taken = {recipe.name: list(recipe.pending) for recipe in recipes if recipe.pending}
    return [{"measurements": rows, "not_taken": not_taken} for rows in write.rows_of(lake, MEASUREMENTS.name, parts)]


def _numbers(recipe: Recipe) -> list[str]:
    labels = {rule.column for rule in recipe.rules if rule.text}
    return [column for column in recipe.columns if column not in labels]


def _label(recipe: Recipe) -> str:
    """The one label that a recipe may use: the language, by any definition."""
    return next((rule.column for rule in recipe.rules if rule.text), "language")


def numbers_map(values: Mapping[str, pa.Array], recipe: Recipe, rows: int) -> pa.MapArray:
    """The column `values`: for each document, all numbers that the recipe's rules use, in the order of its rules."""
    names = _numbers(recipe)
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * len(names))
    keys = pa.array(names * rows, pa.string())
    columns = [pc.cast(values[name], pa.float64()).to_numpy(zero_copy_only=False) for name in names]
    numbers = np.stack(columns, axis=1).ravel() if columns else np.empty(0)
    return pa.MapArray.from_arrays(offsets, keys, pa.array(numbers, mask=np.isnan(numbers)))

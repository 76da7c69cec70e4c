"""dclm.verdicts: the verdict of each recipe on each document."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import duckdb
import pytest
from made_crawl import ANY_WORDS, MANY_WORDS, RECIPES

from catalog.errors import WatershedError
from catalog.lake import Lake, Part
from catalog.tables.dclm import MEASUREMENTS
from spark_jobs.dclm.verdicts import write_verdicts
from spark_jobs.recipes.recipe import Recipe

if TYPE_CHECKING:
    from conftest import Curated
    from pyspark.sql import SparkSession


def test_every_document_is_judged_once_by_every_recipe(curated: Curated) -> None:
    documents = {row["doc_id"] for row in curated.rows("dclm.documents")}
    verdicts = [(row["doc_id"], row["recipe"]) for row in curated.rows("dclm.verdicts")]
    assert len(verdicts) == len(set(verdicts))
    assert set(verdicts) == {(doc_id, recipe.name) for doc_id in documents for recipe in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.name)
def test_kept_documents_are_those_of_the_recipe_in_sql(curated: Curated, recipe: Recipe) -> None:
    measurements = curated.lake.read("dclm.measurements")
    assert measurements.num_rows
    chosen = f"recipe = '{recipe.name}' AND {recipe.to_sql()}"
    kept = duckdb.sql(f"SELECT doc_id FROM measurements WHERE {chosen}").fetchall()
    verdicts = curated.rows("dclm.verdicts")
    assert sorted(doc_id for (doc_id,) in kept) == [
        row["doc_id"] for row in verdicts if row["recipe"] == recipe.name and row["kept"]
    ]


def test_a_broken_rule_is_reported_with_value_and_threshold(curated: Curated) -> None:
    documents = {row["doc_id"]: row for row in curated.rows("dclm.documents")}
    for row in curated.rows("dclm.verdicts"):
        document = documents[row["doc_id"]]
        assert row["kept"] == (not row["broken"])
        assert row["first_rule"] == (row["broken"][0]["rule"] if row["broken"] else None)
        assert (row["global_shard"], row["local_shard"]) == (document["global_shard"], document["local_shard"])
        if document["state"] == "ok" and not row["kept"]:
            assert row["recipe"] == MANY_WORDS.name
            assert row["broken"] == [{"rule": "words_minimum", "value": document["words"], "threshold": 100.0}]
        elif document["state"] != "ok":
            assert row["first_rule"] == "state"


def test_counts_are_those_of_the_table(curated: Curated) -> None:
    rows = curated.rows("dclm.verdicts")
    assert sum(counts["verdicts"] for counts in curated.counts["verdicts"]) == len(rows)
    for recipe in RECIPES:
        reported = sum(counts["kept"][recipe.name] for counts in curated.counts["verdicts"])
        assert reported == sum(row["kept"] for row in rows if row["recipe"] == recipe.name)


def test_a_threshold_changes_without_the_documents(spark: SparkSession, curated: Curated, lake: Lake) -> None:
    lake.replace(MEASUREMENTS, curated.lake.read("dclm.measurements"), "m" * 16)
    (rule,) = MANY_WORDS.steps
    looser = dataclasses.replace(MANY_WORDS, steps=(dataclasses.replace(rule, threshold=2),))
    assert looser.measuring() == MANY_WORDS.measuring()
    shards = {(row["global_shard"], row["local_shard"]) for row in curated.rows("dclm.measurements")}
    parts = [Part(dict(zip(("global_shard", "local_shard"), shard, strict=True)), "w" * 16) for shard in shards]
    write_verdicts(spark, lake, parts, [looser])
    assert not lake.exists("dclm.documents")
    words = {row["doc_id"]: row["words"] or 0 for row in curated.rows("dclm.documents")}
    kept = {row["doc_id"] for row in lake.read("dclm.verdicts").to_pylist() if row["kept"]}
    assert kept == {doc_id for doc_id, count in words.items() if count >= 2}
    before = {r["doc_id"] for r in curated.rows("dclm.verdicts") if r["recipe"] == MANY_WORDS.name and r["kept"]}
    assert before < kept


def test_verdicts_without_measurements_are_a_user_error(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(WatershedError, match=r"dclm/measurements: no Delta table here"):
        write_verdicts(spark, lake, [Part({"global_shard": 0, "local_shard": 0}, "v")], [ANY_WORDS])

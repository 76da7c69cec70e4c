"""What is taken, what is held out, how often it is read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest
from made_documents import doc_id, prose, scored_lake

from catalog.errors import WatershedError
from catalog.lake import Lake
from spark_jobs.hash_order import hash_key, key_of_share
from spark_jobs.mixture import MixtureRecipe, write_mixture

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

COUNT = 400
TEXTS = [prose(seed, 20 if seed % 3 else 60) for seed in range(COUNT)]
BUCKETS = [seed % 10 for seed in range(COUNT)]
RECIPE = MixtureRecipe(keep_fraction=0.5, heldout_share=0.1, repeats=(1, 1, 1, 1, 1, 1, 1, 1, 2, 3))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    return scored_lake(tmp_path_factory.mktemp("mixture"), TEXTS, BUCKETS)


@pytest.fixture(scope="module")
def mixed(spark: SparkSession, lake: Lake) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    counts = write_mixture(spark, lake, RECIPE, "a" * 16)
    return lake.read("dclm.mixture").to_pylist(), counts


def test_the_best_buckets_are_taken_whole(mixed: tuple[list[dict[str, Any]], Any]) -> None:
    rows, _ = mixed
    assert {row["doc_id"] for row in rows} == {doc_id(n) for n in range(COUNT) if BUCKETS[n] >= 5}
    assert len(rows) == COUNT // 2


def test_training_documents_are_read_as_often_as_their_bucket_says_and_held_out_ones_once(
    mixed: tuple[list[dict[str, Any]], Any],
) -> None:
    rows, _ = mixed
    for row in rows:
        assert row["repeats"] == (RECIPE.repeats[row["bucket"]] if row["split"] == "train" else 1)


def test_the_split_is_a_hash_of_the_document_alone(mixed: tuple[list[dict[str, Any]], Any]) -> None:
    rows, _ = mixed
    for row in rows:
        held = hash_key(RECIPE.seed, "split", row["doc_id"]) < key_of_share(RECIPE.heldout_share)
        assert row["split"] == ("heldout" if held else "train")
    assert 0.05 < sum(row["split"] == "heldout" for row in rows) / len(rows) < 0.16


def test_the_split_can_be_made_again_in_sql(mixed: tuple[list[dict[str, Any]], Any]) -> None:
    rows, _ = mixed
    key = "substr(sha256(concat_ws(chr(31), '0', 'split', ?)), 1, 16)"
    for row in rows[:20]:
        (said,) = duckdb.execute(f"SELECT {key}", [row["doc_id"]]).fetchall()[0]
        assert said == hash_key(0, "split", row["doc_id"])


def test_the_counts_are_the_tables(mixed: tuple[list[dict[str, Any]], dict[str, Any]]) -> None:
    rows, counts = mixed
    train = [row for row in rows if row["split"] == "train"]
    assert counts["train_documents"] == len(train)
    assert counts["heldout_documents"] == len(rows) - len(train)
    assert counts["train_read_bytes"] == sum(row["text_bytes"] * row["repeats"] for row in train)


def test_no_source_gives_more_than_its_share(spark: SparkSession, lake: Lake) -> None:
    # Host 0's documents are three times as long as those of the two others: 60% of the bytes.
    counts = write_mixture(spark, lake, MixtureRecipe(keep_fraction=1.0, max_source_share=0.4), "b" * 16)
    rows = lake.read("dclm.mixture").to_pylist()
    largest = sum(row["text_bytes"] for row in rows if row["source"] == "docs.host0.example")
    assert 0.3 < largest / (counts["train_bytes"] + counts["heldout_bytes"]) < 0.5
    others = {row["doc_id"] for row in rows if row["source"] != "docs.host0.example"}
    assert len(others) == sum(number % 3 != 0 for number in range(COUNT))


def test_shares_that_no_mixture_keeps_are_refused(spark: SparkSession, lake: Lake) -> None:
    with pytest.raises(WatershedError, match=r"too few sources for none to give more than 30%.*max_source_share"):
        write_mixture(spark, lake, MixtureRecipe(max_source_share=0.3), "c" * 16)


@pytest.mark.parametrize(
    "wrong",
    [
        {"keep_fraction": 0.0},
        {"keep_fraction": 0.25},
        {"heldout_share": 0.0},
        {"repeats": (1, 1)},
        {"repeats": (0,) * 10},
        {"max_source_share": 0.0},
    ],
)
def test_a_recipe_that_means_nothing_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(WatershedError, match=next(iter(wrong))):
        MixtureRecipe(**wrong)


def test_a_split_without_documents_is_an_error(spark: SparkSession, tmp_path: Path) -> None:
    lake = scored_lake(tmp_path, TEXTS[:3], [9, 9, 9])
    with pytest.raises(WatershedError, match="no document is left for heldout"):
        write_mixture(spark, lake, MixtureRecipe(heldout_share=0.0001), "d" * 16)
    assert not lake.exists("dclm.mixture")

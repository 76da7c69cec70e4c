"""dclm.paragraphs: the text that remains after a recipe's removals, and the columns that describe them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from made_documents import RECIPE, curated_lake, doc_id, prose

from catalog.errors import WatershedError
from catalog.lake import Part
from spark_jobs.dclm.paragraphs import paragraph_options, substring_options, write_paragraphs
from spark_jobs.dedup.substrings import Keep, SubstringOptions
from spark_jobs.recipes.reader import load_recipe
from spark_jobs.recipes.recipe import Recipe

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.slow

STRETCH = prose(99, 60).replace("\n", " ")
SHARD = {"global_shard": 1, "local_shard": 1}


STEPS = """
description: Made.
source: made here
steps:
  - rule: words_minimum
    statistic: words
    keep: ">="
    threshold: 0
    source: made here
deduplicate:
"""


def recipe(folder: Path, *methods: str) -> Recipe:
    path = folder / "made.yaml"
    deduplication = "".join(f"  - {method}\n    source: made here\n" for method in methods)
    path.write_text(f"name: {RECIPE}{STEPS}{deduplication}")
    return load_recipe(path)


def test_a_stretch_that_two_documents_share_is_left_in_one_of_them(spark: SparkSession, tmp_path: Path) -> None:
    texts = [f"{prose(1, 40)} {STRETCH} {prose(2, 40)}", prose(3, 80), f"{prose(4, 40)} {STRETCH} {prose(5, 40)}"]
    lake = curated_lake(tmp_path, texts)
    both = recipe(tmp_path, "method: paragraphs", "method: substrings\n    length: 150")
    assert write_paragraphs(spark, lake, [Part(SHARD, "a" * 16)], both) == [{"documents": 3, "kept": 3}]
    rows = {row["doc_id"]: row for row in lake.read("dclm.paragraphs").to_pylist()}
    losers = [number for number in range(3) if rows[doc_id(number)]["repeated_bytes"]]
    assert losers in ([0], [2])
    for number, text in enumerate(texts):
        row = rows[doc_id(number)]
        assert row["text_bytes"] == len(text.encode()) - row["repeated_bytes"]
        assert (row["text"] is None) == (number not in losers)
    loser = rows[doc_id(losers[0])]
    assert STRETCH[10:-10] not in loser["text"]
    assert loser["repeated_bytes"] >= len(STRETCH)
    write_paragraphs(spark, lake, [Part(SHARD, "b" * 16)], recipe(tmp_path, "method: paragraphs"))
    plain = lake.read("dclm.paragraphs").to_pylist()
    assert {row["doc_id"]: (row["repeated_bytes"], row["text"]) for row in plain} == dict.fromkeys(rows, (None, None))


def test_options_are_the_recipes_and_an_order_that_the_lake_does_not_take_is_refused(tmp_path: Path) -> None:
    plain = recipe(tmp_path, "method: paragraphs\n    threshold: 0.5")
    assert paragraph_options(plain)[0].threshold == 0.5
    assert substring_options(plain) is None
    both = recipe(tmp_path, "method: paragraphs", "method: substrings\n    keep: none")
    assert substring_options(both) == SubstringOptions(keep=Keep.NONE)
    with pytest.raises(WatershedError, match="paragraphs first, then substrings"):
        substring_options(recipe(tmp_path, "method: substrings", "method: paragraphs"))
    with pytest.raises(WatershedError, match="removes no paragraphs"):
        paragraph_options(recipe(tmp_path, "method: exact"))

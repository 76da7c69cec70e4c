"""dclm.tokenizer: the vocabulary, learnt from the mixture's training text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.files import sha256_of, stored_file, write_whole
from catalog.lake import Lake
from catalog.progress import track
from catalog.tables.dclm import TOKENIZER
from spark_jobs.dclm.survivors import texts_of
from spark_jobs.hash_order import hash_key_column, key_of_share
from spark_jobs.shards.tokenizer import TokenizerRecipe, encoder, tokenizer_bytes, train_tokenizer
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def stored_tokenizer(lake: Lake) -> tuple[Path, dict[str, Any]]:
    """tokenizer.json of dclm.tokenizer, and its row.

    Raises:
        WatershedError: the table is missing, or the file is not the one that its row names.
    """
    return stored_file(lake, "dclm.tokenizer")


def write_tokenizer(spark: SparkSession, lake: Lake, recipe: TokenizerRecipe, fingerprint: str) -> dict[str, Any]:
    """Train on a limited sample of the mixture's training text and replace dclm.tokenizer, which names the file."""
    texts = _sample(spark, lake, recipe)
    size = sum(len(text.encode()) for text in texts)
    if not size:
        raise WatershedError(
            "dclm.tokenizer: the mixture has no training text",
            "keep more in its MixtureRecipe, or give it a larger crawl",
        )
    with track("learning the vocabulary", 2) as task:
        tokenizer = train_tokenizer(texts, recipe.vocab_size)
        task.advance()
        tokens = len(encoder(tokenizer).encode(pa.array(texts, pa.large_string()))[0])
        task.advance()
    path = lake.folder("dclm.tokenizer", fingerprint) / "tokenizer.json"
    write_whole(path, tokenizer_bytes(tokenizer))
    digest = sha256_of(path)
    row = {
        "tokenizer_id": digest[:16],
        "vocab_size": tokenizer.get_vocab_size(),
        "trained_on_bytes": size,
        "bytes_per_token": size / tokens,
        "path": lake.relative(path),
        "sha256": digest,
    }
    lake.replace(TOKENIZER, pa.Table.from_pylist([row], schema=TOKENIZER.schema), fingerprint)
    return {
        "documents": len(texts),
        **{what: row[what] for what in ("vocab_size", "trained_on_bytes", "bytes_per_token")},
    }


def _sample(spark: SparkSession, lake: Lake, recipe: TokenizerRecipe) -> Sequence[str]:
    """Training texts in hash order, with keys below the share that holds about `max_bytes`."""
    from pyspark.sql import functions as F

    train = write.read(spark, lake, "dclm.mixture").where(F.col("split") == "train")
    total = train.agg(F.sum("text_bytes")).collect()[0][0] or 0
    key = hash_key_column(recipe.seed, "tokenizer", "doc_id")
    chosen = train.select("doc_id", "recipe", key.alias("key")).where(
        F.col("key") < key_of_share(recipe.max_bytes / max(total, 1))
    )
    rows = texts_of(spark, lake, chosen).join(chosen, "doc_id").select("key", "text").toArrow().sort_by("key")
    return rows["text"].to_pylist()

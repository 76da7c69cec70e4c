"""dclm.shards and dclm.spans: the mixture in hash order, tokenised and cut into sequences, as one tar for each shard.

Every occurrence of a document has a 64-bit key by hash, and a shard is a range of keys. One Spark task writes a whole
shard (`spark_jobs.shards.writer`). Finished shards are not written again.
"""

from __future__ import annotations

import threading
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.files import PARTIAL
from catalog.lake import Lake
from catalog.progress import Task, track
from catalog.tables.dclm import SHARDS_TABLE, SPANS
from spark_jobs.dclm.survivors import texts_of
from spark_jobs.dclm.tokenizer import stored_tokenizer
from spark_jobs.hash_order import hash_key_column
from spark_jobs.shards.plan import BIN_DIGITS, SPLITS, plan_shards
from spark_jobs.shards.publish import shard_row, write_description, write_manifests
from spark_jobs.shards.tokenizer import EOT
from spark_jobs.shards.writer import MADE, ShardRecipe, ShardWriter
from spark_jobs.spark import tables as write
from spark_jobs.spark.failures import mendable

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def write_shards(spark: SparkSession, lake: Lake, recipe: ShardRecipe, fingerprint: str) -> dict[str, Any]:
    """Write the data set `fingerprint` of dclm.mixture: its folder, dclm.shards and dclm.spans.

    Raises:
        WatershedError: a split does not fill a sequence, or the disk is full.
    """
    tokenizer, row = stored_tokenizer(lake)
    writer = ShardWriter(lake.folder("dclm.shards", fingerprint), tokenizer, recipe)
    occurrences = _occurrences(spark, lake, recipe.seed)
    plan = plan_shards(_sizes(occurrences), recipe.shard_tokens * row["bytes_per_token"])
    shard_of_bin = list(zip(plan["split"].to_pylist(), plan["shard"].to_pylist(), strict=True))
    wanted = sorted(set(shard_of_bin))
    _clear_away(writer, wanted)
    missing = {shard for shard in wanted if not writer.is_finished(*shard)}
    with track("tokenising shards", len(wanted), "shards") as task, _watched(writer, wanted, task):
        if missing:
            planned = plan.filter(pa.array([shard in missing for shard in shard_of_bin], pa.bool_()))
            documents = texts_of(spark, lake, write.read(spark, lake, "dclm.mixture"))
            _make(documents, occurrences, spark.createDataFrame(planned), len(missing), writer)
    made = [writer.read_note(*shard) for shard in wanted]
    _refuse_empty(made, recipe)
    write_description(writer.folder, tokenizer, recipe, fingerprint, row["vocab_size"], EOT)
    write_manifests(writer.folder, made)
    _write_tables(spark, lake, writer, made, fingerprint)
    return {"shards": len(wanted), "made": len(missing), **_sums(made)}


def _occurrences(spark: SparkSession, lake: Lake, seed: int) -> DataFrame:
    """A row for every repetition of a document: `split`, `doc_id`, `source`, `text_bytes`, `key`, `bin`."""
    from pyspark.sql import functions as F

    copies = F.explode(F.sequence(F.lit(0), F.col("repeats") - 1)).alias("copy")
    rows = write.read(spark, lake, "dclm.mixture").select("split", "doc_id", "source", "text_bytes", copies)
    rows = rows.withColumn("key", hash_key_column(seed, "shards", "doc_id", "copy"))
    return rows.withColumn("bin", F.conv(F.substring("key", 1, BIN_DIGITS), 16, 10).cast("long"))


def _sizes(occurrences: DataFrame) -> pa.Table:
    from pyspark.sql import functions as F

    return occurrences.groupBy("split", "bin").agg(F.sum("text_bytes").alias("bytes")).toArrow()


def _make(documents: DataFrame, occurrences: DataFrame, planned: DataFrame, shards: int, writer: ShardWriter) -> None:
    """Write each of the `shards` that `planned` names in a task of its own."""
    from pyspark.errors import PySparkException

    def make(table: pa.Table) -> pa.Table:
        split, number = table["split"][0].as_py(), table["shard"][0].as_py()
        note = writer.make(split, number, table)
        return pa.table({"documents": [note["documents"]]})

    rows = occurrences.join(planned.hint("broadcast"), ["split", "bin"]).join(documents, "doc_id")
    rows = rows.select("split", "shard", "key", "doc_id", "source", "text").repartition(shards, "split", "shard")
    try:
        rows.groupBy("split", "shard").applyInArrow(make, "documents long").collect()
    except (PySparkException, OSError) as error:
        raise mendable(error, "dclm.shards") from error


@contextmanager
def _watched(writer: ShardWriter, wanted: list[tuple[str, int]], task: Task) -> Generator[None]:
    """Report the number of finished shards to `task` while the block runs."""
    ended = threading.Event()

    def count() -> None:
        task.reach(sum(writer.note(*shard).exists() for shard in wanted))

    def watch() -> None:
        while not ended.wait(0.5):
            count()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        count()


def _clear_away(writer: ShardWriter, wanted: list[tuple[str, int]]) -> None:
    """Remove the files that an interrupted writer of this data set left; files of other data sets stay."""
    expected = {path for shard in wanted for path in (writer.tar(*shard), writer.note(*shard), writer.spans(*shard))}
    for split in SPLITS:
        for folder in (writer.folder / split, writer.folder / MADE / split):
            for path in folder.glob("shard_*"):
                if path not in expected:
                    path.unlink()
            for path in folder.glob(f".*{PARTIAL}"):
                path.unlink()


def _refuse_empty(made: list[dict[str, Any]], recipe: ShardRecipe) -> None:
    for note in made:
        line = note["line"]
        if not line["num_sequences"]:
            raise WatershedError(
                f"dclm.shards: the {line['split']} text of {line['shard']} has {note['dropped_tokens']} tokens, "
                f"fewer than a sequence of {recipe.sequence_length} + 1",
                "let more documents through, or shorten `sequence_length` of the ShardRecipe",
            )


def _write_tables(
    spark: SparkSession, lake: Lake, writer: ShardWriter, made: list[dict[str, Any]], fingerprint: str
) -> None:
    schema = write.spark_schema(SPANS.schema)
    folders = [str(writer.folder / MADE / split) for split in SPLITS]
    spans = spark.read.schema(schema).option("pathGlobFilter", "*.parquet").parquet(*folders)
    write.replace(spans, SPANS, lake, fingerprint)
    rows = [shard_row(note, writer.folder, lake, fingerprint) for note in made]
    lake.replace(SHARDS_TABLE, pa.Table.from_pylist(rows, schema=SHARDS_TABLE.schema), fingerprint)


def _sums(made: list[dict[str, Any]]) -> dict[str, int]:
    return {
        f"{split}_{what}": sum(note["line"][what] for note in made if note["line"]["split"] == split)
        for split in SPLITS
        for what in ("num_sequences", "tokens", "text_bytes")
    }

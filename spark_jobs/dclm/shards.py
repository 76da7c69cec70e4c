"""The mixture as training data: documents in hash order, tokenised, cut into sequences, a tar a shard.

Every occurrence of a document has a 64-bit key by hash; a shard is a range of keys. One Spark task makes a whole
shard from its documents sorted by key, so its bytes depend on neither the number of workers nor their order. What
stands finished beside its note (`made/`) is not made again.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.files import PARTIAL, sha256_of, whole_file, write_whole
from catalog.lake import Lake
from catalog.progress import Task, track
from catalog.tables.dclm import SHARDS_TABLE, SPANS
from spark_jobs.dclm.survivors import texts_of
from spark_jobs.dclm.tokenizer import EOT, bytes_of_tokens, encoder, load_tokenizer, stored_tokenizer
from spark_jobs.hash_order import hash_key_column
from spark_jobs.shards.format import (
    TOKENIZER,
    ManifestLine,
    Sequences,
    parse_line,
    shard_name,
    token_dtype,
    write_dataset,
    write_manifest,
    write_shard,
)
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

SPLITS = ("train", "heldout")
BIN_DIGITS = 5
"""Hex digits of a key that tell its bin: 16^5 bins are counted, and a shard is a run of bins."""
MADE = "made"
PLAN_SCHEMA = pa.schema([("split", pa.string()), ("bin", pa.int64()), ("shard", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class ShardRecipe:
    """How the token stream is cut."""

    sequence_length: int = 128
    """L: tokens that are predicted in a sequence; L + 1 are stored. DCLM's is 2048."""
    shard_tokens: int = 2**18
    """Tokens of a shard, about; DCLM's shards hold 8192 x 2049."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sequence_length < 1 or self.shard_tokens <= self.sequence_length:
            raise WatershedError(
                f"shards: {self.shard_tokens} tokens a shard hold no sequence of {self.sequence_length} + 1",
                "set `sequence_length` and `shard_tokens` of the ShardRecipe",
            )


@dataclass(frozen=True)
class Stream:
    """A shard's documents as tokens, cut into sequences."""

    sequences: Sequences
    """(n, L + 1)."""
    spans: pa.Table
    """`start`, `stop`, `doc_id`, `source` of every document that the sequences hold a part of, in order."""
    dropped_tokens: int
    """Tokens after the last whole sequence."""


def lay_out(
    doc_ids: list[str],
    sources: list[str],
    tokens: list[NDArray[np.uint32]],
    sequence_length: int,
    dtype: np.dtype[Any],
) -> Stream:
    """Documents one after the other, each followed by EOT, in consecutive sequences of L + 1 tokens.

    Args:
        tokens: ids of each document, without EOT.
    """
    lengths = np.array([len(ids) + 1 for ids in tokens], dtype=np.int64)
    stops = np.cumsum(lengths)
    stream = np.full(int(lengths.sum()), EOT, dtype=dtype)
    for ids, stop in zip(tokens, stops, strict=True):
        stream[stop - 1 - len(ids) : stop - 1] = ids
    count = len(stream) // (sequence_length + 1)
    kept = count * (sequence_length + 1)
    starts = stops - lengths
    held = int(np.searchsorted(starts, kept))
    spans = pa.table(
        {
            "start": starts[:held],
            "stop": np.minimum(stops[:held], kept),
            "doc_id": pa.array(doc_ids[:held], pa.string()),
            "source": pa.array(sources[:held], pa.string()),
        }
    )
    return Stream(stream[:kept].reshape(count, sequence_length + 1), spans, len(stream) - kept)


@dataclass(frozen=True)
class Workshop:
    """What a task needs to make a shard; it is sent to the workers."""

    folder: Path
    """Folder of the data set, the same on every machine."""
    tokenizer: Path
    recipe: ShardRecipe

    def tar(self, split: str, number: int) -> Path:
        return self.folder / split / f"{shard_name(number)}.tar"

    def note(self, split: str, number: int) -> Path:
        """Written last: the shard's manifest line, and the digests of what was written before it."""
        return self.folder / MADE / split / f"{shard_name(number)}.json"

    def spans(self, split: str, number: int) -> Path:
        return self.note(split, number).with_suffix(".parquet")

    def make(self, split: str, number: int, documents: pa.Table) -> dict[str, Any]:
        """Write the shard of `documents` (`key`, `doc_id`, `source`, `text`), its spans, and its note."""
        documents = documents.sort_by([("key", "ascending"), ("doc_id", "ascending")])
        tokenizer = load_tokenizer(self.tokenizer)
        dtype = token_dtype(tokenizer.get_vocab_size())
        ids, ends = encoder(tokenizer).encode(documents["text"])
        tokens = np.split(ids, ends[1:-1])
        stream = lay_out(
            documents["doc_id"].to_pylist(), documents["source"].to_pylist(), tokens, self.recipe.sequence_length, dtype
        )
        text_bytes = int(bytes_of_tokens(tokenizer)[stream.sequences].sum())
        line = write_shard(
            self.folder / split,
            split,
            number,
            stream.sequences,
            text_bytes=text_bytes,
            sources=_tokens_by_source(stream.spans),
        )
        rows = stream.spans.drop_columns("source")
        for column, value in (("shard", shard_name(number)), ("split", split)):
            rows = rows.add_column(0, column, pa.array([value] * rows.num_rows, pa.string()))
        with whole_file(self.spans(split, number)) as fresh:
            pq.write_table(rows, fresh, compression="zstd")
        note = {
            "line": asdict(line),
            "documents": stream.spans.num_rows,
            "dropped_tokens": stream.dropped_tokens,
            "spans_sha256": sha256_of(self.spans(split, number)),
        }
        write_whole(self.note(split, number), json.dumps(note).encode())
        return note

    def read_note(self, split: str, number: int) -> dict[str, Any]:
        return json.loads(self.note(split, number).read_text("utf-8"))

    def is_finished(self, split: str, number: int) -> bool:
        """The shard's files are all there and are what its note says."""
        if not self.note(split, number).exists():
            return False
        note = self.read_note(split, number)
        written = {self.tar(split, number): note["line"]["sha256"], self.spans(split, number): note["spans_sha256"]}
        return all(path.exists() and sha256_of(path) == digest for path, digest in written.items())


def _tokens_by_source(spans: pa.Table) -> dict[str, int]:
    lengths = pa.table({"source": spans["source"], "tokens": spans["stop"].to_numpy() - spans["start"].to_numpy()})
    summed = lengths.group_by("source").aggregate([("tokens", "sum")])
    return dict(zip(summed["source"].to_pylist(), summed["tokens_sum"].to_pylist(), strict=True))


def plan_shards(sizes: pa.Table, shard_bytes: float) -> pa.Table:
    """Bins as shards of nearly equal size: rows of (split, bin, shard) for every bin that is not empty.

    A shard is closed by the bin that fills it; a last one that is less than half full joins the one before.

    Args:
        sizes: `split`, `bin`, `bytes` of text.
        shard_bytes: wanted size.
    """
    parts = []
    for split in SPLITS:
        bins = sizes.filter(pc.field("split") == split).sort_by("bin")
        held = bins["bytes"].to_numpy()
        fill = held.sum() / max(1, round(held.sum() / shard_bytes))
        shards, shard, filled = np.zeros(len(held), dtype=np.int64), 0, 0
        for place, size in enumerate(held.tolist()):
            if filled >= fill:
                shard, filled = shard + 1, 0
            shards[place], filled = shard, filled + size
        if shard and filled < fill / 2:
            shards[shards == shard] = shard - 1
        parts.append(pa.table([pa.array([split] * len(held), pa.string()), bins["bin"], shards], schema=PLAN_SCHEMA))
    return pa.concat_tables(parts)


def write_shards(spark: SparkSession, lake: Lake, recipe: ShardRecipe, fingerprint: str) -> dict[str, Any]:
    """Make the data set `fingerprint` of dclm.mixture: its folder, dclm.shards and dclm.spans.

    Raises:
        WatershedError: a split does not fill a sequence, or the disk is full.
    """
    tokenizer, row = stored_tokenizer(lake)
    workshop = Workshop(lake.folder("dclm.shards", fingerprint), tokenizer, recipe)
    occurrences = _occurrences(spark, lake, recipe.seed)
    plan = plan_shards(_sizes(occurrences), recipe.shard_tokens * row["bytes_per_token"])
    shard_of_bin = list(zip(plan["split"].to_pylist(), plan["shard"].to_pylist(), strict=True))
    wanted = sorted(set(shard_of_bin))
    _clear_away(workshop, wanted)
    missing = {shard for shard in wanted if not workshop.is_finished(*shard)}
    with track("tokenising shards", len(wanted), "shards") as task, _watched(workshop, wanted, task):
        if missing:
            planned = plan.filter(pa.array([shard in missing for shard in shard_of_bin], pa.bool_()))
            documents = texts_of(spark, lake, write.read(spark, lake, "dclm.mixture"))
            _make(documents, occurrences, spark.createDataFrame(planned), len(missing), workshop)
    made = [workshop.read_note(*shard) for shard in wanted]
    _refuse_empty(made, recipe)
    _publish(workshop, made, fingerprint, row["vocab_size"])
    _write_tables(spark, lake, workshop, made, fingerprint)
    return {"shards": len(wanted), "made": len(missing), **_sums(made)}


def _occurrences(spark: SparkSession, lake: Lake, seed: int) -> DataFrame:
    """A row for every time that a document is read: `split`, `doc_id`, `source`, `text_bytes`, `key`, `bin`."""
    from pyspark.sql import functions as F

    copies = F.explode(F.sequence(F.lit(0), F.col("repeats") - 1)).alias("copy")
    rows = write.read(spark, lake, "dclm.mixture").select("split", "doc_id", "source", "text_bytes", copies)
    rows = rows.withColumn("key", hash_key_column(seed, "shards", "doc_id", "copy"))
    return rows.withColumn("bin", F.conv(F.substring("key", 1, BIN_DIGITS), 16, 10).cast("long"))


def _sizes(occurrences: DataFrame) -> pa.Table:
    from pyspark.sql import functions as F

    return occurrences.groupBy("split", "bin").agg(F.sum("text_bytes").alias("bytes")).toArrow()


def _make(documents: DataFrame, occurrences: DataFrame, planned: DataFrame, shards: int, workshop: Workshop) -> None:
    """One task makes each of the `shards` that `planned` names."""
    from pyspark.errors import PySparkException

    def make(table: pa.Table) -> pa.Table:
        split, number = table["split"][0].as_py(), table["shard"][0].as_py()
        note = workshop.make(split, number, table)
        return pa.table({"documents": [note["documents"]]})

    rows = occurrences.join(planned.hint("broadcast"), ["split", "bin"]).join(documents, "doc_id")
    rows = rows.select("split", "shard", "key", "doc_id", "source", "text").repartition(shards, "split", "shard")
    try:
        rows.groupBy("split", "shard").applyInArrow(make, "documents long").collect()
    except (PySparkException, OSError) as error:
        raise write.mendable(error, "dclm.shards") from error


@contextmanager
def _watched(workshop: Workshop, wanted: list[tuple[str, int]], task: Task) -> Generator[None]:
    """Tell `task` how many notes stand there, while the block runs."""
    ended = threading.Event()

    def count() -> None:
        task.reach(sum(workshop.note(*shard).exists() for shard in wanted))

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


def _clear_away(workshop: Workshop, wanted: list[tuple[str, int]]) -> None:
    """Remove what a killed writer of this data set left, and nothing of another."""
    expected = {
        path for shard in wanted for path in (workshop.tar(*shard), workshop.note(*shard), workshop.spans(*shard))
    }
    for split in SPLITS:
        for folder in (workshop.folder / split, workshop.folder / MADE / split):
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


def _publish(workshop: Workshop, made: list[dict[str, Any]], fingerprint: str, vocab_size: int) -> None:
    """The files beside the shards, the manifests last."""
    recipe = workshop.recipe
    write_whole(workshop.folder / TOKENIZER, workshop.tokenizer.read_bytes())
    write_dataset(
        workshop.folder,
        fingerprint=fingerprint,
        vocab_size=vocab_size,
        sequence_length=recipe.sequence_length,
        eot=EOT,
        seed=recipe.seed,
    )
    lines = [parse_line(note["line"]) for note in made]
    for split in SPLITS:
        write_manifest(workshop.folder / split, [line for line in lines if line.split == split])


def _write_tables(
    spark: SparkSession, lake: Lake, workshop: Workshop, made: list[dict[str, Any]], fingerprint: str
) -> None:
    schema = write.spark_schema(SPANS.schema)
    folders = [str(workshop.folder / MADE / split) for split in SPLITS]
    spans = spark.read.schema(schema).option("pathGlobFilter", "*.parquet").parquet(*folders)
    write.replace(spans, SPANS, lake, fingerprint)
    rows = [_row(note, parse_line(note["line"]), workshop, lake, fingerprint) for note in made]
    lake.replace(SHARDS_TABLE, pa.Table.from_pylist(rows, schema=SHARDS_TABLE.schema), fingerprint)


def _row(note: dict[str, Any], line: ManifestLine, workshop: Workshop, lake: Lake, fingerprint: str) -> dict[str, Any]:
    return {
        "split": line.split,
        "shard": line.shard,
        "dataset": fingerprint,
        "path": lake.relative(workshop.folder / line.split / f"{line.shard}.tar"),
        "bytes": line.bytes,
        "sha256": line.sha256,
        "sequences": line.num_sequences,
        "sequence_length": line.sequence_length,
        "tokens": line.tokens,
        "dropped_tokens": note["dropped_tokens"],
        "documents": note["documents"],
        "text_bytes": line.text_bytes,
        "sources": [{"source": source, "tokens": tokens} for source, tokens in line.sources.items()],
    }


def _sums(made: list[dict[str, Any]]) -> dict[str, int]:
    return {
        f"{split}_{what}": sum(note["line"][what] for note in made if note["line"]["split"] == split)
        for split in SPLITS
        for what in ("num_sequences", "tokens", "text_bytes")
    }

"""Writing shards: documents become a stream of tokens, the stream becomes sequences, and these become a tar.

A shard is made from its documents alone, sorted by key, so its bytes depend on neither the number of workers nor
their order. A note is written last (under `made/`); a shard that has one and still matches it is not made again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog.errors import WatershedError
from catalog.files import sha256_of, whole_file, write_whole
from spark_jobs.shards.format import Sequences, shard_name, token_dtype, write_shard
from spark_jobs.shards.tokenizer import EOT, bytes_of_tokens, encoder, load_tokenizer

MADE = "made"


@dataclass(frozen=True, kw_only=True)
class ShardRecipe:
    """How the token stream is cut into sequences and shards."""

    sequence_length: int = 128
    """L: tokens that a model predicts in a sequence; L + 1 are stored. DCLM's is 2048."""
    shard_tokens: int = 2**18
    """Approximate tokens in a shard; DCLM's shards hold 8192 x 2049."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.sequence_length < 1 or self.shard_tokens <= self.sequence_length:
            raise WatershedError(
                f"shards: {self.shard_tokens} tokens a shard hold no sequence of {self.sequence_length} + 1",
                "set `sequence_length` and `shard_tokens` of the ShardRecipe",
            )


@dataclass(frozen=True)
class TokenStream:
    """A shard's documents as tokens, cut into sequences."""

    sequences: Sequences
    """(n, L + 1)."""
    spans: pa.Table
    """`start`, `stop`, `doc_id` and `source` of every document with a part in the sequences, in order."""
    dropped_tokens: int
    """Tokens after the last whole sequence."""


def lay_out(  # noqa: PLR0917
    doc_ids: list[str],
    sources: list[str],
    tokens: list[NDArray[np.uint32]],
    sequence_length: int,
    dtype: np.dtype[Any],
    eot: int = EOT,
) -> TokenStream:
    """Join documents, each followed by `eot`, and cut the stream into consecutive sequences of L + 1 tokens.

    Args:
        tokens: the token ids of each document, without the one that ends it.
    """
    lengths = np.array([len(ids) + 1 for ids in tokens], dtype=np.int64)
    stops = np.cumsum(lengths)
    stream = np.full(int(lengths.sum()), eot, dtype=dtype)
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
    return TokenStream(stream[:kept].reshape(count, sequence_length + 1), spans, len(stream) - kept)


@dataclass(frozen=True)
class ShardWriter:
    """Writes shards of one data set; a task receives it and calls `make` for each shard."""

    folder: Path
    """Folder of the data set, the same on every machine."""
    tokenizer: Path
    recipe: ShardRecipe

    def tar(self, split: str, number: int) -> Path:
        """The shard's archive."""
        return self.folder / split / f"{shard_name(number)}.tar"

    def note(self, split: str, number: int) -> Path:
        """The file that is written last: the shard's manifest line and the digests of its other files."""
        return self.folder / MADE / split / f"{shard_name(number)}.json"

    def spans(self, split: str, number: int) -> Path:
        """The Parquet file of the shard's documents and their places."""
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
        return self.keep(split, number, stream, int(bytes_of_tokens(tokenizer)[stream.sequences].sum()))

    def keep(self, split: str, number: int, stream: TokenStream, text_bytes: int) -> dict[str, Any]:
        """Write the shard of a token stream whose sequences stand for `text_bytes` of text, its spans, and its note."""
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
        """The contents of `note`."""
        return json.loads(self.note(split, number).read_text("utf-8"))

    def is_finished(self, split: str, number: int) -> bool:
        """Whether all files of the shard exist and match its note."""
        if not self.note(split, number).exists():
            return False
        note = self.read_note(split, number)
        written = {self.tar(split, number): note["line"]["sha256"], self.spans(split, number): note["spans_sha256"]}
        return all(path.exists() and sha256_of(path) == digest for path, digest in written.items())


def _tokens_by_source(spans: pa.Table) -> dict[str, int]:
    lengths = pa.table({"source": spans["source"], "tokens": spans["stop"].to_numpy() - spans["start"].to_numpy()})
    summed = lengths.group_by("source").aggregate([("tokens", "sum")])
    return dict(zip(summed["source"].to_pylist(), summed["tokens_sum"].to_pylist(), strict=True))

"""The columns of tables of training shards, and of tables of where documents lie in them."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import column, integer, text
from catalog.contract import Column, Expectation, between, matches, one_of, row_count

SOURCE_TOKENS = pa.struct([("source", pa.string()), ("tokens", pa.int64())])
SHARD_KEY, SPAN_KEY = ("split", "shard"), ("split", "shard", "start")
SHARD_EXPECTATIONS: tuple[Expectation, ...] = (
    row_count(2),
    one_of("split", ("train", "heldout")),
    matches("shard", r"^shard_[0-9]{8}$"),
    matches("sha256", r"^[0-9a-f]{64}$"),
    between("sequences", 1),
    between("tokens", 1),
)
SPAN_EXPECTATIONS: tuple[Expectation, ...] = (row_count(2), between("start", 0), between("stop", 1))
SPANS_DESCRIPTION = (
    "The position of each document in the token stream of a shard. Sequence i of the shard holds the "
    "tokens [i (L + 1), (i + 1) (L + 1))."
)


def shard_columns(spans: str = "") -> tuple[Column, ...]:
    """The columns of a table of shards, a row per WebDataset tar of token sequences.

    Args:
        spans: the table of spans whose split and shard it takes over; empty if it names them itself.
    """
    return (
        text("split", "train or heldout.", derived_from=f"{spans}.split" if spans else ()),
        text("shard", "Name within the split: shard_00000000.", derived_from=f"{spans}.shard" if spans else ()),
        text("dataset", "Fingerprint of the data set that the shard belongs to."),
        text("path", "The tar file, relative to the lake."),
        integer("bytes", "Size of the tar file."),
        text("sha256", "Digest of the tar file."),
        integer("sequences", "Sequences in the shard."),
        integer("sequence_length", "L: a sequence holds L + 1 tokens, the last only as a target."),
        integer("tokens", "Tokens in the shard: sequences x (L + 1)."),
        integer("dropped_tokens", "Tokens of the last, incomplete sequence, which is left out."),
        integer("documents", "Documents that the shard holds at least a part of, repeats counted."),
        integer("text_bytes", "Bytes of the text of its tokens."),
        column("sources", pa.list_(SOURCE_TOKENS), "Tokens from each source."),
    )


def span_columns(shards: str, document: Column) -> tuple[Column, ...]:
    """The columns of a table of spans.

    Args:
        shards: the table of shards.
        document: the column that names a document.
    """
    return (
        text("split", "Split of the shard."),
        text("shard", f"Shard, as in {shards}."),
        integer("start", "First token of the document in the shard's stream."),
        integer("stop", "One past its last token in the shard."),
        document,
    )

"""The contracts of tables of training shards, and of tables of where documents lie in them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from catalog.columns import column, integer, text
from catalog.contract import Column, Contract, between, matches, one_of, references, row_count

SOURCE_TOKENS = pa.struct([("source", pa.string()), ("tokens", pa.int64())])


def shards_contract(name: str, *, spans: str = "", **declared: Any) -> Contract:
    """The contract of a table of shards, a row per WebDataset tar of token sequences.

    Args:
        name: the table.
        spans: the table of spans whose split and shard it takes over; empty if it names them itself.
        declared: what else the contract declares.
    """
    return Contract(
        name=name,
        modalities=("text",),
        columns=_shard_columns(spans),
        primary_key=("split", "shard"),
        expectations=(
            row_count(2),
            one_of("split", ("train", "heldout")),
            matches("shard", r"^shard_[0-9]{8}$"),
            matches("sha256", r"^[0-9a-f]{64}$"),
            between("sequences", 1),
            between("tokens", 1),
        ),
        **declared,
    )


def _shard_columns(spans: str) -> tuple[Column, ...]:
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


def spans_contract(name: str, *, shards: str, document: Column, documents: str, **declared: Any) -> Contract:
    """The contract of a table of where documents lie in shards.

    Args:
        name: the table.
        shards: the table of shards.
        document: the column doc_id.
        documents: the table whose doc_id it refers to.
        declared: what else the contract declares.
    """
    return Contract(
        name=name,
        description=(
            "The position of each document in the token stream of a shard. Sequence i of the shard holds the "
            "tokens [i (L + 1), (i + 1) (L + 1))."
        ),
        columns=(
            text("split", "Split of the shard."),
            text("shard", f"Shard, as in {shards}."),
            integer("start", "First token of the document in the shard's stream."),
            integer("stop", "One past its last token in the shard."),
            document,
        ),
        primary_key=("split", "shard", "start"),
        expectations=(
            row_count(2),
            between("start", 0),
            between("stop", 1),
            references("doc_id", f"{documents}.doc_id"),
        ),
        **declared,
    )

"""Training data as trainers read it: the tokenizer, the shards, and where documents lie in them."""

from __future__ import annotations

from catalog.columns import integer, real, text
from catalog.contract import Contract, between, references, row_count
from catalog.shards import (
    SHARD_EXPECTATIONS,
    SHARD_KEY,
    SPAN_EXPECTATIONS,
    SPAN_KEY,
    SPANS_DESCRIPTION,
    shard_columns,
    span_columns,
)
from catalog.tables.dclm.columns import OWNER, doc_id

TOKENIZER = Contract(
    name="dclm.tokenizer",
    description="The byte-level BPE that turns the mixture into tokens: a row per trained tokenizer.",
    columns=(
        text("tokenizer_id", "First 16 hex digits of the file's SHA-256."),
        integer("vocab_size", "Entries of the vocabulary; id 0 ends a document."),
        integer("trained_on_bytes", "Bytes of text that it was trained on."),
        real("bytes_per_token", "Bytes of text per token, on the text that it was trained on."),
        text("path", "tokenizer.json, relative to the lake."),
        text("sha256", "Digest of the file."),
    ),
    primary_key=("tokenizer_id",),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture"),
    owner=OWNER,
    expectations=(row_count(1), between("vocab_size", 257), between("bytes_per_token", 1)),
)

SHARDS_TABLE = Contract(
    name="dclm.shards",
    modalities=("text",),
    description="The training data as a trainer reads it: a row per WebDataset tar of token sequences.",
    columns=shard_columns(),
    primary_key=SHARD_KEY,
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
    expectations=SHARD_EXPECTATIONS,
)

SPANS = Contract(
    name="dclm.spans",
    description=SPANS_DESCRIPTION,
    columns=span_columns("dclm.shards", doc_id()),
    primary_key=SPAN_KEY,
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
    expectations=(*SPAN_EXPECTATIONS, references("doc_id", "dclm.mixture.doc_id")),
)

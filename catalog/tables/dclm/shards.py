"""Training data as trainers read it: the tokenizer, the shards, and where documents lie in them."""

from __future__ import annotations

from catalog.columns import integer, real, text
from catalog.contract import Contract, between, row_count
from catalog.shards import shards_contract, spans_contract
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

SHARDS_TABLE = shards_contract(
    "dclm.shards",
    description="The training data as a trainer reads it: a row per WebDataset tar of token sequences.",
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
)

SPANS = spans_contract(
    "dclm.spans",
    shards="dclm.shards",
    document=doc_id(),
    documents="dclm.mixture",
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
)

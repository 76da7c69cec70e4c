"""Training data as trainers read it: the tokenizer, the shards, and where documents lie in them."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import column, integer, real, text
from catalog.contract import Contract, between, matches, one_of, references, row_count
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

SOURCE_TOKENS = pa.struct([("source", pa.string()), ("tokens", pa.int64())])

SHARDS_TABLE = Contract(
    name="dclm.shards",
    modalities=("text",),
    description="The training data as a trainer reads it: a row per WebDataset tar of token sequences.",
    columns=(
        text("split", "train or heldout."),
        text("shard", "Name within the split: shard_00000000."),
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
    ),
    primary_key=("split", "shard"),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
    expectations=(
        row_count(2),
        one_of("split", ("train", "heldout")),
        matches("shard", r"^shard_[0-9]{8}$"),
        matches("sha256", r"^[0-9a-f]{64}$"),
        between("sequences", 1),
        between("tokens", 1),
    ),
)

SPANS = Contract(
    name="dclm.spans",
    description="The position of each document in the token stream of a shard. Sequence i of the shard holds the "
    "tokens [i (L + 1), (i + 1) (L + 1)).",
    columns=(
        text("split", "Split of the shard."),
        text("shard", "Shard, as in dclm.shards."),
        integer("start", "First token of the document in the shard's stream."),
        integer("stop", "One past its last token in the shard."),
        doc_id(),
    ),
    primary_key=("split", "shard", "start"),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.tokenizer"),
    owner=OWNER,
    expectations=(
        row_count(2),
        between("start", 0),
        between("stop", 1),
        references("doc_id", "dclm.mixture.doc_id"),
    ),
)

"""Rows of data sets as they are published, and the mixtures that are drawn from them."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, texts
from catalog.contract import Contract, between, matches, one_of, references, row_count
from catalog.view import View

OWNER = "post-training"
ROW_ID = r"^[0-9a-f]{16}$"
MESSAGE = pa.struct(
    [("role", pa.string()), ("content", pa.string()), ("reasoning", pa.string()), ("tool_calls", pa.string())]
)
MESSAGES = pa.list_(MESSAGE)
KINDS = ("sft", "preference", "prompts")
LICENCE = "of each row, as its column `licence` says"

SOURCE = text("source", "Name of the source in mixtures.")
ROW = text("row_id", "16 hex digits made from the source, the content and the number of equal rows before it.")

ROWS = Contract(
    name="tulu.rows",
    modalities=("text",),
    description="Rows of instruction data sets in one shape: messages, preference pairs, and prompts with answers.",
    columns=(
        SOURCE,
        ROW,
        integer("number", "Position in the files of the source, from 0, among the rows that it selects."),
        text("original_id", "Id that the data set gives the row; null if it has none.", nullable=True),
        column("messages", MESSAGES, "Messages; of a pair or a prompt, those before the reply. Tool calls are JSON."),
        text("tools", "Tools that the assistant may call, as JSON; null for none.", nullable=True),
        text("chosen", "Better reply of a pair.", nullable=True),
        text("rejected", "Worse reply of a pair.", nullable=True),
        text("verifier", "Scorer of `watershed score` that verifies replies to a prompt.", nullable=True),
        text("answer", "What the verifier compares with: the answer, or instructions as JSON.", nullable=True),
        boolean("on_policy", "Whether one side of a pair comes from the model to be trained.", nullable=True),
        text("malformed", "Why the row cannot be read as messages; null for a sound row.", nullable=True),
        text("row_digest", "SHA-256 of all messages and replies, white space folded, 32 hex digits."),
        text("prompt_digest", "SHA-256 of the messages before the first reply, in lower case, 32 hex digits."),
        text("repository", "Data set on the Hugging Face hub, or the lake's table."),
        text("revision", "Commit of the data set."),
        text("licence", "Licence of the row."),
        text("file", "Name of the file that held the row."),
    ),
    primary_key=("row_id",),
    partition_by=("source",),
    upstream=("dialogues.preferences", "tulu.preferences"),
    source="data sets of the Hugging Face hub and local files, as the mixture of each source declares",
    licence=LICENCE,
    licences=("LicenseRef-Own-Licence",),
    licence_column="licence",
    owner=OWNER,
    expectations=(row_count(1), matches("row_id", ROW_ID), between("number", 0)),
)

TOKENS = Contract(
    name="tulu.tokens",
    description="Tokens of each row under the chat template and the tokenizer of `[tulu]`, all and trained ones.",
    columns=(
        SOURCE,
        text("row_id", "The row.", derived_from="tulu.rows.row_id"),
        integer("tokens", "Tokens of all texts that the row becomes.", derived_from="tulu.rows.messages"),
        integer(
            "trained_tokens", "Tokens that a run trains on: replies and their ends.", derived_from="tulu.rows.messages"
        ),
        integer("chosen_tokens", "Tokens of the chosen reply of a pair.", nullable=True),
        integer("rejected_tokens", "Tokens of the rejected reply of a pair.", nullable=True),
        text("failure", "Why a run would leave the row out; null if it would not.", nullable=True),
    ),
    primary_key=("row_id",),
    partition_by=("source",),
    upstream=("tulu.rows",),
    owner=OWNER,
    expectations=(between("tokens", 0), between("trained_tokens", 0), references("row_id", "tulu.rows.row_id")),
)

MIXTURE_NAME = text("mixture", "Name of the mixture.")

MIXTURE = Contract(
    name="tulu.mixture",
    modalities=("text",),
    description="Rows of each mixture in the order in which they are read: a row for each time that one is taken.",
    columns=(
        MIXTURE_NAME,
        integer("position", "Position in the mixture, from 0."),
        text("source", "Source of the row.", derived_from="tulu.rows.source"),
        text("row_id", "The row.", derived_from="tulu.rows.row_id"),
        integer("repeat", "How often the mixture has taken the row before."),
    ),
    primary_key=("mixture", "position"),
    partition_by=("mixture",),
    upstream=("tulu.rows", "tulu.contaminated_rows", "tulu.contamination"),
    owner=OWNER,
    expectations=(row_count(1), between("position", 0), between("repeat", 0)),
)

SOURCES = Contract(
    name="tulu.sources",
    description="What each mixture wanted of each source, what it found, and what it took.",
    columns=(
        MIXTURE_NAME,
        text("source", "Name of the source."),
        text("kind", "Kind of the mixture."),
        text("repository", "Data set on the Hugging Face hub, table of the lake, or empty for local files."),
        text("origin", "Data set that the rows were made from; empty if it is the same."),
        text("revision", "Commit of the data set, as declared or as its download records it."),
        text("licence", "Licence of the rows."),
        integer("available", "Rows of the whole data set, as published; null if not known.", nullable=True),
        integer("rows", "Rows that were read."),
        integer("dropped", "Rows that filters, decontamination and deduplication left out."),
        integer("wanted", "Rows that the mixture wants."),
        integer("taken", "Rows that it took, repeats included."),
        integer("distinct", "Distinct rows among them."),
        integer("missing", "Rows that it wanted and that the source does not have."),
        text("by", "Whether a count or a weight decided what is wanted."),
    ),
    primary_key=("mixture", "source"),
    partition_by=("mixture",),
    upstream=("tulu.rows", "tulu.contaminated_rows", "tulu.contamination"),
    licence_column="licence",
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("kind", KINDS),
        one_of("by", ("count", "weight")),
        between("taken", 0),
        between("missing", 0),
    ),
)

DROPS = Contract(
    name="tulu.drops",
    description="Rows that a mixture left out, with every reason.",
    columns=(
        MIXTURE_NAME,
        text("source", "Source of the row.", derived_from="tulu.rows.source"),
        text("row_id", "The row.", derived_from="tulu.rows.row_id"),
        text("reason", "The first reason."),
        texts("reasons", "All reasons, in the order in which they are decided."),
    ),
    primary_key=("mixture", "row_id"),
    partition_by=("mixture",),
    upstream=("tulu.rows", "tulu.contaminated_rows", "tulu.contamination"),
    owner=OWNER,
)

PROPORTIONS = Contract(
    name="tulu.proportions",
    description="Effective shares of each source in each mixture, in rows and in trained tokens.",
    columns=(
        MIXTURE_NAME,
        text("source", "Name of the source.", derived_from="tulu.sources.source"),
        integer("rows", "Rows taken, repeats included.", derived_from="tulu.sources.taken"),
        real("wanted_share", "Share of the rows that are wanted, 0..1."),
        real("row_share", "Share of the rows that were taken, 0..1."),
        integer("tokens", "Tokens of these rows; null without a tokenizer.", nullable=True),
        integer("trained_tokens", "Trained tokens of these rows; null without a tokenizer.", nullable=True),
        real("token_share", "Share of the tokens, 0..1.", nullable=True),
        real("trained_share", "Share of the trained tokens, 0..1.", nullable=True),
        real("trained_per_row", "Mean trained tokens of a row.", nullable=True),
    ),
    primary_key=("mixture", "source"),
    partition_by=("mixture",),
    upstream=("tulu.mixture", "tulu.sources", "tulu.tokens"),
    owner=OWNER,
    expectations=(row_count(1), between("row_share", 0, 1), between("trained_share", 0, 1)),
)

DROPPED = """
SELECT mixture, source, reason, count(*) AS rows, min(row_id) AS example
FROM tulu.drops GROUP BY ALL ORDER BY mixture, rows DESC, source, reason
"""
COMPOSITION = """
SELECT s.mixture, s.source, s.licence, s.revision, s.wanted, s.taken, s.missing, s.dropped, p.row_share,
       p.trained_tokens, p.trained_share
FROM tulu.sources s LEFT JOIN tulu.proportions p USING (mixture, source) ORDER BY s.mixture, s.taken DESC, s.source
"""
VIEWS = {
    "tulu.dropped": View("How many rows each reason left out of each source of a mixture.", ("tulu.drops",), DROPPED),
    "tulu.composition": View(
        "Each mixture's sources with licence, revision, rows wanted and taken, and effective shares.",
        ("tulu.sources", "tulu.proportions"),
        COMPOSITION,
    ),
}

"""The datastore of scientific papers: papers, their passages, the passages' vectors, and the indexes over them."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import binary, boolean, column, integer, real, text, texts, timestamp
from catalog.contract import Column, Contract, between, matches, one_of, references

OWNER = "scholar"
HEX32, HEX64 = r"^[0-9a-f]{32}$", r"^[0-9a-f]{64}$"
LICENCE = "as the licence of each paper says"
WITHDRAWN = ("retracted", "forgotten")

PAPERS = Contract(
    name="scholar.papers",
    modalities=("text",),
    description="Papers that answers may cite: a row per paper, in the version that was read.",
    columns=(
        text("paper", "Id of the paper: corpus id, DOI, or digest of its file's name."),
        text("version", "16 hex digits of the digest of title and text: another text is another version."),
        text("title", "Title; null if none is known.", nullable=True),
        text("text", "Full text, or abstract."),
        integer("year", "Year of publication.", bits=32, nullable=True),
        integer("citations", "Papers that cite it, as its source counted.", nullable=True),
        texts("authors", "Names of the authors.", personal_data="names"),
        text("doi", "DOI in lower case.", nullable=True),
        text("url", "Web address.", nullable=True),
        text("licence", "Licence, as its source states it.", nullable=True),
        text("source", "File that the text was read from, without its folders."),
        boolean("retracted", "Whether a source, or a person, says that the paper is retracted."),
    ),
    primary_key=("paper",),
    source="the files of [scholar] papers: peS2o and Semantic Scholar records, texts and PDFs",
    licence=LICENCE,
    licence_column="licence",
    owner=OWNER,
    expectations=(matches("version", r"^[0-9a-f]{16}$"), between("citations", 0), between("year", 1000, 2200)),
)

REJECTED = Contract(
    name="scholar.rejected",
    description="Files and records of the sources that are not papers, and why.",
    columns=(
        text("source", "File, without its folders."),
        integer("place", "Line of the record, from 1; 0 for the whole file."),
        text("reason", "Why it was left out."),
    ),
    primary_key=("source", "place"),
    source="the files of [scholar] papers",
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(between("place", 0),),
)

PASSAGES = Contract(
    name="scholar.passages",
    modalities=("text",),
    description="Passages of the papers: blocks of words with their offsets.",
    columns=(
        text("passage", "32 hex digits made from paper, version and offsets."),
        text("paper", "Id of the paper.", derived_from="scholar.papers.paper"),
        text("version", "Version of the paper.", derived_from="scholar.papers.version"),
        text("title", "Title of the paper.", nullable=True, derived_from="scholar.papers.title"),
        integer("number", "Number of the passage in its paper, from 0.", bits=32),
        integer("begin", "First character of the passage in the paper's text, from 0."),
        integer("end", "Character after the last one."),
        integer("words", "Number of words.", bits=32),
        text("digest", "SHA-256 of the passage, as 64 hex digits."),
        text("text", "The passage.", derived_from="scholar.papers.text"),
    ),
    primary_key=("passage",),
    upstream=("scholar.papers",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(
        matches("passage", HEX32),
        matches("digest", HEX64),
        between("begin", 0),
        references("paper", "scholar.papers.paper"),
    ),
)

EMBEDDINGS = Contract(
    name="scholar.embeddings",
    description="Vectors of the passages, with everything that decides them besides the text.",
    columns=(
        text("passage", "Passage.", derived_from="scholar.passages.passage"),
        binary("vector", "Vector as 16-bit floats, little-endian.", derived_from="scholar.passages.text"),
        text("stamp", "16 hex digits of the following columns. A table has one stamp."),
        text("model", "Encoder."),
        text("revision", "Digest of its weights."),
        text("library", "Library that ran it, with its version."),
        integer("dimensions", "Length of the vector.", bits=32),
        boolean("normalised", "Whether the vector has length 1."),
        text("query_prompt", "Text before each query."),
        text("document_prompt", "Text before each passage."),
    ),
    primary_key=("passage",),
    upstream=("scholar.passages",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("passage", "scholar.passages.passage"), between("dimensions", 1)),
)

INDEX = Contract(
    name="scholar.index",
    description="The indexes over the passages, as they were measured at their build.",
    columns=(
        text("path", "Folder of the indexes, relative to the lake's files."),
        text("stamp", "Stamp of the vectors.", derived_from="scholar.embeddings.stamp"),
        texts("kinds", "Kind of each segment: exact, usearch, ivf-rabitq or ivf-pq."),
        integer("passages", "Passages in the indexes."),
        integer("text_bytes", "Bytes of the passages' text in UTF-8."),
        integer("vector_bytes", "Bytes of the table of vectors."),
        integer("code_bytes", "Bytes of codes and ids beside it."),
        integer("word_bytes", "Bytes of the index of words, with the stored passages."),
        real("vector_seconds", "Seconds of building the index of vectors."),
        real("word_seconds", "Seconds of building the index of words."),
        real("recall", "Recall@10 against exact search on a sample; the lowest of the segments.", nullable=True),
    ),
    primary_key=("path",),
    upstream=("scholar.papers", "scholar.passages", "scholar.embeddings"),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(between("passages", 0), between("recall", 0, 1)),
)

WITHDRAWALS = Contract(
    name="scholar.withdrawals",
    description="Papers that a person marked as retracted or ordered to forget, and why.",
    command="watershed scholar withdraw",
    columns=(
        text("paper", "Id of the paper."),
        text("kind", "retracted: answers no longer use it. forgotten: its text is removed from the datastore too."),
        text("reason", "Why, in the words of that person."),
        timestamp("at", "When it was recorded."),
    ),
    primary_key=("paper", "kind"),
    source="the person who ran the command",
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(one_of("kind", WITHDRAWN),),
)

SPAN = pa.struct([("begin", pa.int64()), ("end", pa.int64())])
"""Characters of a text, from `begin` to before `end`."""


def passage_columns() -> tuple[Column, ...]:
    """Return the columns by which a row names the passage that it rests on, so that it can be checked years later."""
    return (
        text("passage", "Passage.", derived_from="scholar.passages.passage"),
        text("paper", "Paper.", derived_from="scholar.passages.paper"),
        text("version", "Version of the paper.", derived_from="scholar.passages.version"),
        column("span", SPAN, "Characters of the paper's text.", derived_from="scholar.passages.begin"),
        text("digest", "SHA-256 of these characters.", derived_from="scholar.passages.digest"),
    )

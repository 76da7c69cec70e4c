"""The archives of a crawl, and every record in them as a document."""

from __future__ import annotations

import datetime

import pyarrow as pa

from catalog.columns import binary, column, integer, real, text, timestamp
from catalog.contract import Contract, between, matches, one_of, references, row_count
from catalog.tables.dclm.columns import IN_SHARD, OWNER, PAGE_TEXT, SHARD_COLUMNS
from catalog.tables.languages import LANGUAGES

DOCUMENT_STATES = (
    "ok",
    "empty_text",
    "no_payload",
    "not_html",
    "binary",
    "too_large",
    "undecodable",
    "extraction_failed",
    "http_error",
    "record_damaged",
    "file_damaged",
)

POOL_STATES = ("ready", "empty", "not_warc", "unreadable")

CRAWL_MONTHLY = datetime.timedelta(days=40)
"""Common Crawl publishes a crawl about once a month."""

POOL = Contract(
    name="dclm.pool",
    modalities=("text",),
    description="The archives of the crawl: a row per WARC file, readable or not.",
    columns=(
        text("warc", "File name of the archive, unique in the pool."),
        text("uri", "Where the archive is read from: a path or a URL."),
        text("snapshot", "The crawl that it belongs to, e.g. CC-MAIN-2026-41."),
        *SHARD_COLUMNS,
        integer("bytes", "Size of the file in bytes."),
        text("digest", "Digest of the file: sha256:HEX if it is local, etag:VALUE if it is remote."),
        text("state", "ready, or why the file cannot be read."),
        text("reason", "What was found, if state is not ready.", nullable=True),
    ),
    primary_key=("warc",),
    partition_by=("global_shard", "local_shard"),
    source="Common Crawl, or any crawler's WARC files",
    licence="each page its own; Common Crawl's terms of use for the archives",
    licences=("LicenseRef-Web-Page", "LicenseRef-Common-Crawl"),
    owner=OWNER,
    freshness=CRAWL_MONTHLY,
    expectations=(row_count(1), one_of("state", POOL_STATES), between("bytes", 0), *IN_SHARD),
)

STATISTICS = (
    ("characters", pa.int64(), "Unicode code points"),
    ("words", pa.int64(), "fastText tokens that begin with a letter or digit"),
    ("mean_word_length", pa.float64(), "Characters per whitespace-separated word"),
    ("symbol_word_ratio", pa.float64(), "Hash signs and ellipses per word"),
    ("bullet_line_ratio", pa.float64(), "Share of lines that start with a bullet"),
    ("ellipsis_line_ratio", pa.float64(), "Share of lines that end with an ellipsis"),
    ("no_alphabetic_word_ratio", pa.float64(), "Share of words without an alphabetic character"),
    ("stop_words", pa.int64(), "Occurrences of the, be, to, of, and, that, have, with"),
    ("duplicate_line_ratio", pa.float64(), "Share of lines that occur more than once, all copies counted"),
    ("duplicate_paragraph_ratio", pa.float64(), "Share of paragraphs that occur more than once, all copies counted"),
    ("duplicate_line_character_ratio", pa.float64(), "Share of characters in lines that occur more than once"),
    ("duplicate_paragraph_character_ratio", pa.float64(), "Share of characters in repeated paragraphs"),
    *(
        (f"top_{n}gram_character_ratio", pa.float64(), f"Share of characters in the most frequent {n}-gram of words")
        for n in (2, 3, 4)
    ),
    *(
        (f"duplicate_{n}gram_character_ratio", pa.float64(), f"Share of characters in repeated {n}-grams of words")
        for n in range(5, 11)
    ),
)

DOCUMENTS = Contract(
    name="dclm.documents",
    modalities=("text",),
    description="Every record of the crawl's archives exactly once: text, origin, statistics and signature. Documents "
    "are immutable; the decisions of recipes about them are in dclm.verdicts.",
    columns=(
        text("doc_id", "32 hex digits of BLAKE2b over archive name, record offset and payload digest."),
        text("warc", "Archive that holds the record.", derived_from="dclm.pool.warc"),
        *SHARD_COLUMNS,
        integer(
            "record_offset",
            "Byte offset of the record, or of its gzip member, in the archive; the n-th record (from 0) of a member "
            "that holds several adds n x 2**40.",
        ),
        text("payload_digest", "SHA-1 of the HTTP payload, as crawlers write it: sha1:BASE32.", nullable=True),
        text("url", "WARC-Target-URI of the record.", nullable=True, personal_data="may name a person"),
        text("host", "Host of the URL in lower case; the source of the document.", nullable=True),
        timestamp("crawled_at", "WARC-Date of the record.", nullable=True),
        text("content_type", "Media type that the server declared.", nullable=True),
        text("state", "ok, or why the record has no text."),
        text(
            "reason",
            "What was found, if state is not ok; what was repaired to read the page, if it is.",
            nullable=True,
        ),
        integer("payload_bytes", "Bytes of the HTTP payload as stored."),
        text(
            "text",
            "Main content as plain text, as resiliparse extracts it.",
            nullable=True,
            personal_data=PAGE_TEXT,
        ),
        integer("text_bytes", "Bytes of the text in UTF-8; 0 without text."),
        integer("text_hash", "64-bit hash of the text, for exact duplicates.", nullable=True),
        text("language", "ISO 639 code of the most probable language, by fastText lid.176.", nullable=True),
        real("language_score", "Probability of that language, 0..1.", nullable=True),
        *(column(name, type_, f"{meaning}.", nullable=True) for name, type_, meaning in STATISTICS),
        binary("minhash", "128 little-endian 32-bit MinHash values over word 5-shingles.", nullable=True),
    ),
    primary_key=("doc_id",),
    partition_by=("global_shard", "local_shard"),
    upstream=("dclm.pool",),
    licence="each page its own",
    owner=OWNER,
    expectations=(
        row_count(1),
        matches("doc_id", r"^[0-9a-f]{32}$"),
        one_of("state", DOCUMENT_STATES),
        one_of("language", LANGUAGES, why="lid.176 predicts these languages"),
        between("language_score", 0, 1.001, why="fastText rounds a probability of one upwards"),
        between("record_offset", 0),
        between("payload_bytes", 0),
        between("text_bytes", 0),
        *(between(name, 0) for name, _, _ in STATISTICS),
        references("warc", "dclm.pool.warc"),
        *IN_SHARD,
    ),
)

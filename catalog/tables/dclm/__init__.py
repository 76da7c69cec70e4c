"""The crawl and what becomes of it, as DCLM names it (arXiv 2406.11794)."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract, between, matches, one_of, references, row_count
from catalog.tables.languages import LANGUAGES

OWNER = "curation@watershed.example"
SHARDS = 10
"""Global shards, and local shards in each: the released DCLM pool is 10 x 10."""

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

SHARD_COLUMNS = (
    Column(name="global_shard", type=pa.int32(), description="Global shard of the pool, 0..9."),
    Column(name="local_shard", type=pa.int32(), description="Local shard within the global one, 0..9."),
)
IN_SHARD = (between("global_shard", 0, SHARDS - 1), between("local_shard", 0, SHARDS - 1))


def _doc_id(description: str = "The document, as in dclm.documents.") -> Column:
    return Column(name="doc_id", type=pa.string(), description=description, derived_from=("dclm.documents.doc_id",))


POOL = Contract(
    name="dclm.pool",
    description="The crawl's archives: a row per WARC file, read or not.",
    columns=(
        Column(name="warc", type=pa.string(), description="File name of the archive, unique in the pool."),
        Column(name="uri", type=pa.string(), description="Where the archive is read from: a path or a URL."),
        Column(
            name="snapshot",
            type=pa.string(),
            description="The crawl that it belongs to, e.g. CC-MAIN-2026-41.",
        ),
        *SHARD_COLUMNS,
        Column(name="bytes", type=pa.int64(), description="Size of the file in bytes."),
        Column(
            name="digest",
            type=pa.string(),
            description="Identity of the file's bytes: sha256:HEX of a local file, etag:VALUE of a remote one.",
        ),
        Column(name="state", type=pa.string(), description="ready, or why nothing can be read from the file."),
        Column(
            name="reason",
            type=pa.string(),
            nullable=True,
            description="What was found, where state is not ready.",
        ),
    ),
    primary_key=("warc",),
    partition_by=("global_shard", "local_shard"),
    source="Common Crawl, or any crawler's WARC files",
    licence="each page its own; Common Crawl's terms of use for the archives",
    owner=OWNER,
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
    (
        "duplicate_paragraph_ratio",
        pa.float64(),
        "Share of paragraphs that occur more than once, all copies counted",
    ),
    (
        "duplicate_line_character_ratio",
        pa.float64(),
        "Share of characters in lines that occur more than once",
    ),
    ("duplicate_paragraph_character_ratio", pa.float64(), "Share of characters in repeated paragraphs"),
    *(
        (
            f"top_{n}gram_character_ratio",
            pa.float64(),
            f"Share of characters in the most frequent {n}-gram of words",
        )
        for n in (2, 3, 4)
    ),
    *(
        (
            f"duplicate_{n}gram_character_ratio",
            pa.float64(),
            f"Share of characters in repeated {n}-grams of words",
        )
        for n in range(5, 11)
    ),
)

DOCUMENTS = Contract(
    name="dclm.documents",
    description="Every record of the crawl's archives exactly once: its text, origin, statistics and signature. "
    "Immutable; what recipes think of a document stands in dclm.verdicts.",
    columns=(
        Column(
            name="doc_id",
            type=pa.string(),
            description="32 hex digits of BLAKE2b over archive name, record offset and payload digest.",
        ),
        Column(
            name="warc",
            type=pa.string(),
            description="Archive that holds it.",
            derived_from=("dclm.pool.warc",),
        ),
        *SHARD_COLUMNS,
        Column(
            name="record_offset",
            type=pa.int64(),
            description="Byte offset of its record in the archive, or of its gzip member; the n-th record (from 0) of "
            "a member that holds several adds n x 2**40.",
        ),
        Column(
            name="payload_digest",
            type=pa.string(),
            nullable=True,
            description="sha1:BASE32 of the HTTP payload, computed here, as crawlers write it.",
        ),
        Column(
            name="url",
            type=pa.string(),
            nullable=True,
            description="WARC-Target-URI of the record.",
            personal_data="may name a person",
        ),
        Column(
            name="host",
            type=pa.string(),
            nullable=True,
            description="Host of the URL, lower case; its source.",
        ),
        Column(
            name="crawled_at",
            type=pa.timestamp("us", tz="UTC"),
            nullable=True,
            description="WARC-Date of the record.",
        ),
        Column(
            name="content_type",
            type=pa.string(),
            nullable=True,
            description="Media type that the server declared.",
        ),
        Column(name="state", type=pa.string(), description="ok, or why the record has no text."),
        Column(
            name="reason",
            type=pa.string(),
            nullable=True,
            description="What was found, where state is not ok; of an ok page, what had to be mended to read it.",
        ),
        Column(name="payload_bytes", type=pa.int64(), description="Bytes of the HTTP payload as stored."),
        Column(
            name="text",
            type=pa.string(),
            nullable=True,
            description="Main content as plain text, by resiliparse.",
            personal_data="as the page: names, addresses",
        ),
        Column(name="text_bytes", type=pa.int64(), description="Bytes of the text in UTF-8; 0 without text."),
        Column(
            name="text_hash",
            type=pa.int64(),
            nullable=True,
            description="64-bit hash of the text, for exact duplicates.",
        ),
        Column(
            name="language",
            type=pa.string(),
            nullable=True,
            description="ISO 639 code of the most probable language, by fastText lid.176.",
        ),
        Column(name="language_score", type=pa.float64(), nullable=True, description="Its probability, 0..1."),
        *(Column(name=name, type=type_, nullable=True, description=f"{text}.") for name, type_, text in STATISTICS),
        Column(
            name="minhash",
            type=pa.binary(),
            nullable=True,
            description="128 little-endian 32-bit MinHash values over word 5-shingles.",
        ),
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
        one_of("language", LANGUAGES, why="lid.176 knows these languages"),
        between("language_score", 0, 1.001, why="fastText rounds a probability of one upwards"),
        between("record_offset", 0),
        between("payload_bytes", 0),
        between("text_bytes", 0),
        *(between(name, 0) for name, _, _ in STATISTICS),
        references("warc", "dclm.pool.warc"),
        *IN_SHARD,
    ),
)

BROKEN_RULE = pa.struct([("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())])

MEASUREMENTS = Contract(
    name="dclm.measurements",
    description="What a recipe's edits and measures made of a document: the numbers that its rules judge. A threshold "
    "changes dclm.verdicts and nothing here.",
    columns=(
        _doc_id(),
        *SHARD_COLUMNS,
        Column(name="recipe", type=pa.string(), description="The recipe, e.g. dclm-baseline."),
        Column(
            name="state",
            type=pa.string(),
            description="ok, or why the document has no text.",
            derived_from=("dclm.documents.state",),
        ),
        Column(
            name="text",
            type=pa.string(),
            nullable=True,
            description="The text as the recipe's edits left it, where they changed it; else that of dclm.documents.",
            personal_data="as the page: names, addresses",
            derived_from=("dclm.documents.text",),
        ),
        Column(name="text_bytes", type=pa.int64(), description="Bytes of the text that the edits left, in UTF-8."),
        Column(
            name="language",
            type=pa.string(),
            nullable=True,
            description="ISO 639 code of its most probable language, where the recipe asks.",
        ),
        Column(
            name="values",
            type=pa.map_(pa.string(), pa.float64()),
            description="Each number that a rule of the recipe looks at, by name: values['words'].",
        ),
    ),
    primary_key=("doc_id", "recipe"),
    partition_by=("global_shard", "local_shard"),
    upstream=("dclm.documents",),
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("state", DOCUMENT_STATES),
        one_of("language", LANGUAGES),
        between("text_bytes", 0),
        references("doc_id", "dclm.documents.doc_id"),
        *IN_SHARD,
    ),
)

VERDICTS = Contract(
    name="dclm.verdicts",
    description="What each recipe thinks of each document: kept or not, with every rule that it broke.",
    columns=(
        _doc_id(),
        *SHARD_COLUMNS,
        Column(name="recipe", type=pa.string(), description="Name of the recipe, as in spark_jobs/recipes."),
        Column(name="kept", type=pa.bool_(), description="No rule is broken."),
        Column(
            name="first_rule",
            type=pa.string(),
            nullable=True,
            description="First broken rule, in recipe order.",
        ),
        Column(
            name="broken",
            type=pa.list_(BROKEN_RULE),
            description="Every rule broken: its name, the document's value and the threshold.",
        ),
    ),
    primary_key=("doc_id", "recipe"),
    partition_by=("global_shard", "local_shard"),
    upstream=("dclm.measurements",),
    owner=OWNER,
    expectations=(row_count(1), references("doc_id", "dclm.documents.doc_id"), *IN_SHARD),
)

DUPLICATES = Contract(
    name="dclm.duplicates",
    description="Clusters of equal and nearly equal documents among those that the recipe kept: "
    "a row per member of a cluster of two or more.",
    columns=(
        _doc_id(),
        Column(name="cluster_id", type=pa.string(), description="Smallest doc_id of the cluster."),
        Column(name="cluster_size", type=pa.int64(), description="Documents in the cluster."),
        Column(
            name="method",
            type=pa.string(),
            description="exact: another member has the same text; minhash: only nearly equal ones.",
        ),
        Column(name="kept", type=pa.bool_(), description="This copy stands for the cluster."),
        Column(name="kept_doc_id", type=pa.string(), description="The copy that stands for the cluster."),
        Column(name="reason", type=pa.string(), description="Why this copy is kept or dropped."),
    ),
    primary_key=("doc_id",),
    upstream=("dclm.documents", "dclm.verdicts"),
    owner=OWNER,
    expectations=(
        one_of("method", ("exact", "minhash")),
        between("cluster_size", 2),
        references("doc_id", "dclm.documents.doc_id"),
        references("kept_doc_id", "dclm.documents.doc_id"),
    ),
)

PARAGRAPHS = Contract(
    name="dclm.paragraphs",
    description="What is left of each document after paragraphs that came before in its shard are removed (bff), and "
    "repeated stretches where the recipe says so: a row per document that stands for its cluster.",
    columns=(
        _doc_id(),
        *SHARD_COLUMNS,
        Column(name="kept", type=pa.bool_(), description="Text is left, and most of it was new."),
        Column(
            name="text",
            type=pa.string(),
            nullable=True,
            description="What is left, where paragraphs were removed; else the text of dclm.measurements.",
            personal_data="as the page: names, addresses",
            derived_from=("dclm.measurements.text",),
        ),
        Column(name="text_bytes", type=pa.int64(), description="Bytes of text that are left, in UTF-8."),
        Column(name="contained_ngrams", type=pa.int64(), description="n-grams that were met before in the shard."),
        Column(name="total_ngrams", type=pa.int64(), description="All n-grams of its paragraphs."),
        Column(
            name="repeated_bytes",
            type=pa.int64(),
            nullable=True,
            description="Bytes removed that stand elsewhere in the shard too; null where the recipe looks for none.",
        ),
    ),
    primary_key=("doc_id",),
    partition_by=("global_shard", "local_shard"),
    upstream=("dclm.documents", "dclm.measurements", "dclm.verdicts", "dclm.duplicates"),
    source="bff of mlfoundations/dclm, --remove-type old-both",
    owner=OWNER,
    expectations=(
        between("text_bytes", 0),
        between("contained_ngrams", 0),
        between("total_ngrams", 0),
        references("doc_id", "dclm.verdicts.doc_id"),
        *IN_SHARD,
    ),
)

QUALITY_MODEL = Contract(
    name="dclm.quality_model",
    description="The fastText classifier that tells good text from the rest: a row per trained model.",
    columns=(
        Column(name="model_id", type=pa.string(), description="First 16 hex digits of the file's SHA-256."),
        Column(
            name="positives",
            type=pa.string(),
            description="SQL predicate over dclm.documents: the good examples.",
        ),
        Column(name="negatives", type=pa.string(), description="SQL predicate over dclm.documents: the others."),
        Column(name="positive_documents", type=pa.int64(), description="Good documents trained on."),
        Column(name="negative_documents", type=pa.int64(), description="Other documents trained on."),
        Column(name="heldout_documents", type=pa.int64(), description="Documents held out to measure accuracy."),
        Column(
            name="heldout_accuracy",
            type=pa.float64(),
            description="Share of held-out documents told right, 0..1.",
        ),
        Column(name="seed", type=pa.int64(), description="Seed of sampling and training."),
        Column(name="path", type=pa.string(), description="The model file, relative to the lake."),
        Column(name="bytes", type=pa.int64(), description="Size of the model file."),
        Column(name="sha256", type=pa.string(), description="Digest of the model file."),
    ),
    primary_key=("model_id",),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs"),
    owner=OWNER,
    expectations=(
        row_count(1),
        between("heldout_accuracy", 0.5, 1, why="a classifier no better than a coin selects nothing"),
        between("positive_documents", 10),
        between("negative_documents", 10),
    ),
)

SCORES = Contract(
    name="dclm.scores",
    description="What classifiers say of every document that is kept and not a dropped duplicate: quality, topic.",
    columns=(
        _doc_id(),
        Column(
            name="model_id",
            type=pa.string(),
            description="Model that scored it.",
            derived_from=("dclm.quality_model.model_id",),
        ),
        Column(name="score", type=pa.float64(), description="Probability of being good text, 0..1."),
        Column(name="bucket", type=pa.int32(), description="Tenth of the pool by score: 9 the best, 0 the worst."),
        Column(
            name="topic",
            type=pa.string(),
            nullable=True,
            description="What it is about, by the declared labelling; null where none is declared.",
        ),
    ),
    primary_key=("doc_id",),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.quality_model"),
    owner=OWNER,
    expectations=(
        row_count(1),
        between("score", 0, 1),
        between("bucket", 0, 9),
        references("doc_id", "dclm.documents.doc_id"),
        references("model_id", "dclm.quality_model.model_id"),
    ),
)

CONTAMINATION = Contract(
    name="dclm.contamination",
    description="Evaluation examples that documents overlap with: a row for each document and example that share an "
    "n-gram of words.",
    columns=(
        _doc_id(),
        Column(name="evaluation", type=pa.string(), description="Name of the evaluation: its file's."),
        Column(name="example_id", type=pa.string(), description="The example: its place among them, from 0."),
        Column(name="n", type=pa.int32(), description="Words of an n-gram."),
        Column(name="matched", type=pa.int64(), description="Different n-grams of it that the document holds."),
        Column(name="ngrams", type=pa.int64(), description="Different n-grams that the example has."),
        Column(name="share", type=pa.float64(), description="The one over the other, 0..1."),
        Column(
            name="ngram",
            type=pa.string(),
            description="The first of them, as the document has it.",
            personal_data="as the page: names, addresses",
            derived_from=("dclm.documents.text",),
        ),
    ),
    primary_key=("doc_id", "evaluation", "example_id"),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs"),
    source="documents, and the JSONL files in the folder that WATERSHED_EVALUATIONS names",
    owner=OWNER,
    expectations=(
        between("matched", 1),
        between("share", 0, 1),
        references("doc_id", "dclm.documents.doc_id"),
    ),
)

CONTAMINATION_REPORT = Contract(
    name="dclm.contamination_report",
    description="How much of each declared evaluation stands in documents: a row per evaluation, found or not.",
    columns=(
        Column(name="evaluation", type=pa.string(), description="Name of the evaluation: its file's."),
        Column(name="n", type=pa.int32(), description="Words of an n-gram."),
        Column(name="examples", type=pa.int64(), description="Its examples."),
        Column(
            name="examples_without_ngrams",
            type=pa.int64(),
            description="Those of fewer than n words, which nothing is ever found of.",
        ),
        Column(
            name="examples_overlapping",
            type=pa.int64(),
            description="Examples that any document overlaps with.",
            derived_from=("dclm.contamination.example_id",),
        ),
        Column(
            name="documents_overlapping",
            type=pa.int64(),
            description="Documents that overlap with any example.",
            derived_from=("dclm.contamination.doc_id",),
        ),
        Column(name="largest_share", type=pa.float64(), description="Most of an example that a document holds, 0..1."),
        Column(name="example_id", type=pa.string(), nullable=True, description="That example."),
        Column(name="doc_id", type=pa.string(), nullable=True, description="That document."),
        Column(
            name="ngram",
            type=pa.string(),
            nullable=True,
            description="The first n-gram that they share, as the document has it.",
            personal_data="as the page: names, addresses",
        ),
    ),
    primary_key=("evaluation",),
    upstream=CONTAMINATION.upstream,
    source=CONTAMINATION.source,
    owner=OWNER,
    expectations=(between("examples", 1), between("largest_share", 0, 1)),
)

MIXTURE = Contract(
    name="dclm.mixture",
    description="What is taken for training and held out, from which source and bucket, and how often.",
    columns=(
        _doc_id(),
        Column(
            name="recipe",
            type=pa.string(),
            description="Recipe whose edits its text carries, as in dclm.measurements.",
            derived_from=("dclm.measurements.recipe",),
        ),
        Column(
            name="source",
            type=pa.string(),
            description="Host of the document.",
            derived_from=("dclm.documents.host",),
        ),
        Column(
            name="bucket",
            type=pa.int32(),
            description="Tenth of the pool by score.",
            derived_from=("dclm.scores.bucket",),
        ),
        Column(
            name="topic",
            type=pa.string(),
            nullable=True,
            description="What it is about; null where no topics are declared.",
            derived_from=("dclm.scores.topic",),
        ),
        Column(name="split", type=pa.string(), description="train or heldout, by a hash of the document."),
        Column(name="repeats", type=pa.int32(), description="How often the document is read in one pass."),
        Column(
            name="text_bytes",
            type=pa.int64(),
            description="Bytes of its text.",
            derived_from=("dclm.paragraphs.text_bytes",),
        ),
    ),
    primary_key=("doc_id",),
    upstream=(
        "dclm.documents",
        "dclm.measurements",
        "dclm.paragraphs",
        "dclm.scores",
        "dclm.contamination",
        "dclm.contamination_report",
    ),
    owner=OWNER,
    expectations=(
        row_count(2),
        one_of("split", ("train", "heldout")),
        between("repeats", 1, 100),
        references("doc_id", "dclm.scores.doc_id"),
    ),
)

MIXTURE_BUCKETS = Contract(
    name="dclm.mixture_buckets",
    description="What came of the mixture, by topic and quality: how often each bucket was to be read, and is.",
    columns=(
        Column(
            name="topic",
            type=pa.string(),
            description="Topic of the bucket's documents; all where none is told.",
            derived_from=("dclm.scores.topic",),
        ),
        Column(
            name="from_quantile",
            type=pa.float64(),
            description="Share of the pool, or of the topic, that scores below the bucket.",
        ),
        Column(name="to_quantile", type=pa.float64(), description="Where the next bucket begins; 1 for the best."),
        Column(name="documents", type=pa.int64(), description="Scored documents in the bucket, taken or not."),
        Column(name="bytes", type=pa.int64(), description="Bytes of their text."),
        Column(
            name="good_documents",
            type=pa.int64(),
            description="Those that reach the recipe's threshold, where it has one, and hold no evaluation example.",
        ),
        Column(name="trained_documents", type=pa.int64(), description="Documents in the training split."),
        Column(name="read_bytes", type=pa.int64(), description="Bytes that a pass over the training split reads."),
        Column(
            name="requested_repeats",
            type=pa.float64(),
            description="How often a pass is to read a good document of the bucket: the curve's times, weighted.",
        ),
        Column(
            name="effective_repeats",
            type=pa.float64(),
            description="How often it reads one: read_bytes over the bytes of good documents that are not held out.",
        ),
        Column(
            name="requested_share",
            type=pa.float64(),
            description="Share of the pass that the bucket would have at requested_repeats.",
        ),
        Column(name="effective_share", type=pa.float64(), description="Share of the pass that it has."),
    ),
    primary_key=("topic", "from_quantile"),
    upstream=MIXTURE.upstream,
    owner=OWNER,
    expectations=(
        row_count(1),
        between("from_quantile", 0, 1),
        between("to_quantile", 0, 1),
        between("requested_repeats", 0, 100),
        between("effective_repeats", 0, 100),
        between("requested_share", 0, 1),
        between("effective_share", 0, 1),
    ),
)

TOKENIZER = Contract(
    name="dclm.tokenizer",
    description="The byte-level BPE that turns the mixture into tokens: a row per trained tokenizer.",
    columns=(
        Column(name="tokenizer_id", type=pa.string(), description="First 16 hex digits of the file's SHA-256."),
        Column(name="vocab_size", type=pa.int64(), description="Entries of the vocabulary; id 0 ends a document."),
        Column(name="trained_on_bytes", type=pa.int64(), description="Bytes of text that it was trained on."),
        Column(
            name="bytes_per_token",
            type=pa.float64(),
            description="Bytes of text a token stands for, on that text.",
        ),
        Column(name="path", type=pa.string(), description="tokenizer.json, relative to the lake."),
        Column(name="sha256", type=pa.string(), description="Digest of the file."),
    ),
    primary_key=("tokenizer_id",),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture"),
    owner=OWNER,
    expectations=(row_count(1), between("vocab_size", 257), between("bytes_per_token", 1)),
)

SOURCE_TOKENS = pa.struct([("source", pa.string()), ("tokens", pa.int64())])

SHARDS_TABLE = Contract(
    name="dclm.shards",
    description="The training data as a trainer reads it: a row per WebDataset tar of token sequences.",
    columns=(
        Column(name="split", type=pa.string(), description="train or heldout."),
        Column(name="shard", type=pa.string(), description="Name within the split: shard_00000000."),
        Column(
            name="dataset",
            type=pa.string(),
            description="Fingerprint of the data set that the shard belongs to.",
        ),
        Column(name="path", type=pa.string(), description="The tar file, relative to the lake."),
        Column(name="bytes", type=pa.int64(), description="Size of the tar file."),
        Column(name="sha256", type=pa.string(), description="Digest of the tar file."),
        Column(name="sequences", type=pa.int64(), description="Sequences in it."),
        Column(
            name="sequence_length",
            type=pa.int64(),
            description="L: a sequence holds L + 1 tokens, the last only as a target.",
        ),
        Column(name="tokens", type=pa.int64(), description="Tokens in it: sequences x (L + 1)."),
        Column(
            name="dropped_tokens",
            type=pa.int64(),
            description="Tokens of the last, incomplete sequence, left out.",
        ),
        Column(
            name="documents",
            type=pa.int64(),
            description="Documents that it holds a part of, repeats counted.",
        ),
        Column(name="text_bytes", type=pa.int64(), description="Bytes of text that its tokens stand for."),
        Column(name="sources", type=pa.list_(SOURCE_TOKENS), description="Tokens from each source."),
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
    description="Which document lies where in a shard's token stream: sequence i of a shard holds the tokens "
    "[i (L + 1), (i + 1) (L + 1)).",
    columns=(
        Column(name="split", type=pa.string(), description="Split of the shard."),
        Column(name="shard", type=pa.string(), description="Shard, as in dclm.shards."),
        Column(name="start", type=pa.int64(), description="First token of the document in the shard's stream."),
        Column(name="stop", type=pa.int64(), description="One past its last token that is in the shard."),
        _doc_id(),
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

CONTRACTS = (
    POOL,
    DOCUMENTS,
    MEASUREMENTS,
    VERDICTS,
    DUPLICATES,
    PARAGRAPHS,
    QUALITY_MODEL,
    SCORES,
    CONTAMINATION,
    CONTAMINATION_REPORT,
    MIXTURE,
    MIXTURE_BUCKETS,
    TOKENIZER,
    SHARDS_TABLE,
    SPANS,
)

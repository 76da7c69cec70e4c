"""What recipes measure and decide about documents: statistics, rules, duplicates, paragraphs, contamination."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text
from catalog.contract import Contract, between, one_of, references, row_count
from catalog.tables.dclm.columns import IN_SHARD, OWNER, SHARD_COLUMNS, doc_id
from catalog.tables.dclm.crawl import DOCUMENT_STATES
from catalog.tables.languages import LANGUAGES

BROKEN_RULE = pa.struct([("rule", pa.string()), ("value", pa.float64()), ("threshold", pa.float64())])

MEASUREMENTS = Contract(
    name="dclm.measurements",
    description="What a recipe's edits and measures made of a document: the numbers that its rules judge. A threshold "
    "changes dclm.verdicts and nothing here.",
    columns=(
        doc_id(),
        *SHARD_COLUMNS,
        text("recipe", "The recipe, e.g. dclm-baseline."),
        text("state", "ok, or why the document has no text.", derived_from="dclm.documents.state"),
        text(
            "text",
            "The text as the recipe's edits left it, where they changed it; else that of dclm.documents.",
            nullable=True,
            personal_data="as the page: names, addresses",
            derived_from="dclm.documents.text",
        ),
        integer("text_bytes", "Bytes of the text that the edits left, in UTF-8."),
        text("language", "ISO 639 code of its most probable language, where the recipe asks.", nullable=True),
        column(
            "values",
            pa.map_(pa.string(), pa.float64()),
            "Each number that a rule of the recipe looks at, by name: values['words'].",
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
        doc_id(),
        *SHARD_COLUMNS,
        text("recipe", "Name of the recipe, as in spark_jobs/recipes."),
        boolean("kept", "No rule is broken."),
        text("first_rule", "First broken rule, in recipe order.", nullable=True),
        column("broken", pa.list_(BROKEN_RULE), "Every rule broken: its name, the document's value and the threshold."),
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
        doc_id(),
        text("cluster_id", "Smallest doc_id of the cluster."),
        integer("cluster_size", "Documents in the cluster."),
        text("method", "exact: another member has the same text; minhash: only nearly equal ones."),
        boolean("kept", "This copy stands for the cluster."),
        text("kept_doc_id", "The copy that stands for the cluster."),
        text("reason", "Why this copy is kept or dropped."),
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
        doc_id(),
        *SHARD_COLUMNS,
        boolean("kept", "Text is left, and most of it was new."),
        text(
            "text",
            "What is left, where paragraphs were removed; else the text of dclm.measurements.",
            nullable=True,
            personal_data="as the page: names, addresses",
            derived_from="dclm.measurements.text",
        ),
        integer("text_bytes", "Bytes of text that are left, in UTF-8."),
        integer("contained_ngrams", "n-grams that were met before in the shard."),
        integer("total_ngrams", "All n-grams of its paragraphs."),
        integer(
            "repeated_bytes",
            "Bytes removed that stand elsewhere in the shard too; null where the recipe looks for none.",
            nullable=True,
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

CONTAMINATION = Contract(
    name="dclm.contamination",
    description="Evaluation examples that documents overlap with: a row for each document and example that share an "
    "n-gram of words.",
    columns=(
        doc_id(),
        text("evaluation", "Name of the evaluation: its file's."),
        text("example_id", "The example: its place among them, from 0."),
        integer("n", "Words of an n-gram.", bits=32),
        integer("matched", "Different n-grams of it that the document holds."),
        integer("ngrams", "Different n-grams that the example has."),
        real("share", "The one over the other, 0..1."),
        text(
            "ngram",
            "The first of them, as the document has it.",
            personal_data="as the page: names, addresses",
            derived_from="dclm.documents.text",
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
        text("evaluation", "Name of the evaluation: its file's."),
        integer("n", "Words of an n-gram.", bits=32),
        integer("examples", "Its examples."),
        integer("examples_without_ngrams", "Those of fewer than n words, which nothing is ever found of."),
        integer(
            "examples_overlapping",
            "Examples that any document overlaps with.",
            derived_from="dclm.contamination.example_id",
        ),
        integer(
            "documents_overlapping",
            "Documents that overlap with any example.",
            derived_from="dclm.contamination.doc_id",
        ),
        real("largest_share", "Most of an example that a document holds, 0..1."),
        text("example_id", "That example.", nullable=True),
        text("doc_id", "That document.", nullable=True),
        text(
            "ngram",
            "The first n-gram that they share, as the document has it.",
            nullable=True,
            personal_data="as the page: names, addresses",
        ),
    ),
    primary_key=("evaluation",),
    upstream=CONTAMINATION.upstream,
    source=CONTAMINATION.source,
    owner=OWNER,
    expectations=(between("examples", 1), between("largest_share", 0, 1)),
)

"""What recipes measure and decide about documents: statistics, rules, duplicates, paragraphs, contamination."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import BROKEN_RULE, boolean, column, integer, real, text
from catalog.contract import Contract, between, one_of, references, row_count
from catalog.tables.dclm.columns import IN_SHARD, OWNER, PAGE_TEXT, SHARD_COLUMNS, doc_id
from catalog.tables.dclm.crawl import DOCUMENT_STATES
from catalog.tables.languages import LANGUAGES

MEASUREMENTS = Contract(
    name="dclm.measurements",
    description="The statistics of each document after a recipe's edits, which the rules of the recipe judge: a row "
    "per document and recipe. A changed threshold changes dclm.verdicts, but not this table.",
    columns=(
        doc_id(),
        *SHARD_COLUMNS,
        text("recipe", "The recipe, e.g. dclm-baseline."),
        text("state", "ok, or why the document has no text.", derived_from="dclm.documents.state"),
        text(
            "text",
            "Text after the recipe's edits; null if they left the text of dclm.documents unchanged.",
            nullable=True,
            personal_data=PAGE_TEXT,
            derived_from="dclm.documents.text",
        ),
        integer("text_bytes", "Bytes of the text after the edits, in UTF-8."),
        text(
            "language", "ISO 639 code of the most probable language; null if the recipe does not use it.", nullable=True
        ),
        column(
            "values",
            pa.map_(pa.string(), pa.float64()),
            "Each statistic that a rule of the recipe uses, by name: values['words'].",
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
    description="Decision of each recipe about each document: kept or not, with every rule that it breaks.",
    columns=(
        doc_id(),
        *SHARD_COLUMNS,
        text("recipe", "Name of the recipe, as in spark_jobs/recipes."),
        boolean("kept", "Whether the document breaks no rule."),
        text("first_rule", "First rule that it breaks, in the order of the recipe.", nullable=True),
        column("broken", pa.list_(BROKEN_RULE), "Every rule that it breaks: name, value and threshold."),
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
        text("method", "exact if another member has the same text, minhash if others are only nearly equal."),
        boolean("kept", "Whether this copy is the one that is kept."),
        text("kept_doc_id", "The copy that is kept."),
        text("reason", "Why this copy is kept or dropped."),
        real(
            "similarity",
            "Jaccard similarity of the word 5-shingles of this text and the kept one; its estimate if the recipe "
            "compares signatures.",
            nullable=True,
        ),
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
    description="The text of each document without the paragraphs that occur earlier in its shard (bff) and, if the "
    "recipe asks for it, without repeated substrings: a row per kept document that is not a dropped duplicate.",
    columns=(
        doc_id(),
        *SHARD_COLUMNS,
        boolean("kept", "Whether text is left and most of it was new."),
        text(
            "text",
            "Text that is left; null if the text of dclm.measurements is unchanged.",
            nullable=True,
            personal_data=PAGE_TEXT,
            derived_from="dclm.measurements.text",
        ),
        integer("text_bytes", "Bytes of the text that is left, in UTF-8."),
        integer("contained_ngrams", "n-grams that occur earlier in the shard."),
        integer("total_ngrams", "All n-grams of its paragraphs."),
        integer(
            "repeated_bytes",
            "Bytes of removed substrings; null if the recipe does not remove substrings.",
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
    description="Evaluation examples that occur in documents: a row per document and example of which it holds a part.",
    columns=(
        doc_id(),
        text("evaluation", "Name of the evaluation, which is the name of its file."),
        text("example_id", "Position of the example in the evaluation, from 0."),
        integer("n", "Words in an n-gram.", bits=32),
        integer("matched", "Distinct n-grams of the part that count and that the document holds."),
        integer("ngrams", "Distinct n-grams of the part that count."),
        real("share", "Share of the part in the document, 0..1, as the rule of decontamination measures it."),
        text(
            "ngram",
            "Longest run of n-grams that they share, with the text around it, as the document spells it; shortened.",
            personal_data=PAGE_TEXT,
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
    description="How much of each declared evaluation occurs in documents: a row per evaluation, matched or not.",
    columns=(
        text("evaluation", "Name of the evaluation, which is the name of its file."),
        integer("n", "Words in an n-gram.", bits=32),
        integer("examples", "Examples of the evaluation."),
        integer("examples_without_ngrams", "Examples that cannot be found, such as those with too few words."),
        integer(
            "examples_overlapping",
            "Examples of which a document holds a part.",
            derived_from="dclm.contamination.example_id",
        ),
        integer(
            "documents_overlapping",
            "Documents that hold a part of an example.",
            derived_from="dclm.contamination.doc_id",
        ),
        real("largest_share", "Largest share of an example in one document, 0..1."),
        text("example_id", "The example with the largest share.", nullable=True),
        text("doc_id", "The document with the largest share.", nullable=True),
        text(
            "ngram",
            "Longest run of n-grams that they share, with the text around it, as the document spells it; shortened.",
            nullable=True,
            personal_data=PAGE_TEXT,
        ),
    ),
    primary_key=("evaluation",),
    upstream=CONTAMINATION.upstream,
    source=CONTAMINATION.source,
    owner=OWNER,
    expectations=(between("examples", 1), between("largest_share", 0, 1)),
)

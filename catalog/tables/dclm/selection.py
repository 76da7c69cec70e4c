"""Which documents are trained on: the quality classifier, its scores, and the mixture."""

from __future__ import annotations

from catalog.columns import integer, real, text
from catalog.contract import Contract, between, one_of, references, row_count
from catalog.tables.dclm.columns import OWNER, doc_id

QUALITY_MODEL = Contract(
    name="dclm.quality_model",
    description="The fastText classifier that separates good text from other text: a row per trained model.",
    columns=(
        text("model_id", "First 16 hex digits of the file's SHA-256."),
        text("positives", "SQL predicate over dclm.documents that selects the good examples."),
        text("negatives", "SQL predicate over dclm.documents that selects the other examples."),
        integer("positive_documents", "Good documents in the training set."),
        integer("negative_documents", "Other documents in the training set."),
        integer("heldout_documents", "Documents held out to measure accuracy."),
        real("heldout_accuracy", "Share of held-out documents that are classified correctly, 0..1."),
        integer("seed", "Seed of sampling and training."),
        text("path", "The model file, relative to the lake."),
        integer("bytes", "Size of the model file."),
        text("sha256", "Digest of the model file."),
    ),
    primary_key=("model_id",),
    upstream=("dclm.documents", "dclm.measurements", "dclm.paragraphs"),
    owner=OWNER,
    expectations=(
        row_count(1),
        between("heldout_accuracy", 0.5, 1, why="a classifier no better than chance selects nothing"),
        between("positive_documents", 10),
        between("negative_documents", 10),
    ),
)

SCORES = Contract(
    name="dclm.scores",
    description="Quality score and topic of every document that is kept and not a dropped duplicate.",
    columns=(
        doc_id(),
        text("model_id", "Model that scored it.", derived_from="dclm.quality_model.model_id"),
        real("score", "Probability of being good text, 0..1."),
        integer("bucket", "Tenth of the pool by score: 9 is the best, 0 the worst.", bits=32),
        text("topic", "Topic by the declared labelling; null if none is declared.", nullable=True),
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

MIXTURE = Contract(
    name="dclm.mixture",
    description="The documents for training and evaluation, with their source and bucket and how often they are read.",
    columns=(
        doc_id(),
        text(
            "recipe",
            "Recipe whose edits its text has, as in dclm.measurements.",
            derived_from="dclm.measurements.recipe",
        ),
        text("source", "Host of the document.", derived_from="dclm.documents.host"),
        integer("bucket", "Tenth of the pool by score.", bits=32, derived_from="dclm.scores.bucket"),
        text(
            "topic",
            "Topic; null if no labelling is declared.",
            nullable=True,
            derived_from="dclm.scores.topic",
        ),
        text("split", "train or heldout, by a hash of the document."),
        integer("repeats", "How often one pass reads the document.", bits=32),
        integer("text_bytes", "Bytes of its text.", derived_from="dclm.paragraphs.text_bytes"),
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
    description="The mixture by topic and quality: how often each bucket should be read, and how often it is.",
    columns=(
        text(
            "topic",
            "Topic of the bucket's documents; all if no labelling is declared.",
            derived_from="dclm.scores.topic",
        ),
        real("from_quantile", "Share of the pool, or of the topic, that scores below the bucket."),
        real("to_quantile", "from_quantile of the next bucket; 1 for the best."),
        integer("documents", "Scored documents in the bucket, taken or not."),
        integer("bytes", "Bytes of their text."),
        integer(
            "good_documents",
            "Documents that reach the recipe's threshold, if it has one, and hold no evaluation example.",
        ),
        integer("trained_documents", "Documents in the training split."),
        integer("read_bytes", "Bytes that a pass over the training split reads."),
        real(
            "requested_repeats",
            "How often a pass should read a good document of the bucket: the curve's value, weighted.",
        ),
        real(
            "effective_repeats",
            "How often a pass reads one: read_bytes over the bytes of good documents in training.",
        ),
        real("requested_share", "Share of the pass at requested_repeats."),
        real("effective_share", "Share of the pass."),
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

"""Answers with citations: every stage of an answer is rows, from the passages found to the citations checked."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, texts, timestamp
from catalog.contract import Contract, between, one_of, references
from catalog.tables.scholar.datastore import LICENCE, OWNER, SPAN, passage_columns

COMMAND = "watershed ask"
STATUSES = ("answered", "passages_only", "no_passages", "model_failed")
STEPS = ("draft", "feedback", "edit", "attribution")
DROPPED = ("duplicate", "retracted", "paper_cap", "rank")
SUPPORT = ("supported", "not_supported", "not_cited", "not_checked")
KINDS = ("answer", "feedback", "revision")
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))

ANSWER = text("answer", "16 hex digits of the answer.", derived_from="scholar.answers.answer")

ANSWERS = Contract(
    name="scholar.answers",
    description="Questions and their answers: a row for each time that a question was asked.",
    command=COMMAND,
    columns=(
        text("answer", "16 hex digits, made from question, model and time."),
        text("question", "Question."),
        timestamp("asked_at", "When it was asked."),
        text("model", "Entry of [models] that answered; null if none was asked.", nullable=True),
        text("status", "answered, passages_only (no model was asked), no_passages, or model_failed."),
        text("failure", "Why there is no answer; null if there is one.", nullable=True),
        text("text", "The answer as it is printed, with numbered citations.", nullable=True),
        text("stamp", "Stamp of the vectors that were searched."),
        text("settings", "Choices of the pipeline, as JSON."),
        integer("supported", "Sentences whose citations support them.", bits=32),
        integer("not_supported", "Sentences whose citations do not support them, or that cite nothing.", bits=32),
        integer("not_checked", "Sentences that no model judged.", bits=32),
        integer("quotations_removed", "Quotations that no passage has, which are not printed.", bits=32),
    ),
    primary_key=("answer",),
    upstream=("scholar.index",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(one_of("status", STATUSES),),
)

CANDIDATES = Contract(
    name="scholar.candidates",
    description="Passages that a search for an answer found, with their ranks and scores, and what became of them.",
    command=COMMAND,
    columns=(
        ANSWER,
        integer("round", "0 for the question, then the number of the feedback that searched again.", bits=32),
        *passage_columns(),
        integer("dense_rank", "Rank by vectors, from 1.", bits=32, nullable=True),
        integer("word_rank", "Rank by BM25, from 1.", bits=32, nullable=True),
        real("fused", "Reciprocal ranks, summed."),
        real("reranked", "Score of the cross-encoder; null without one.", nullable=True),
        real("boost", "Added for citations of the paper, 0..1."),
        integer("shown", "Number under which the model saw it, from 0; null if it did not.", bits=32, nullable=True),
        text("dropped", "Why the model did not see it: duplicate, retracted, paper_cap or rank.", nullable=True),
    ),
    primary_key=("answer", "round", "passage"),
    upstream=("scholar.index",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("answer", "scholar.answers.answer"), one_of("dropped", DROPPED), between("round", 0)),
)

DRAFTS = Contract(
    name="scholar.drafts",
    description="Steps of an answer: the draft, feedback on it, edits, and citations that were added afterwards.",
    command=COMMAND,
    columns=(
        ANSWER,
        integer("step", "Number of the step, from 0.", bits=32),
        text("kind", "draft, feedback, edit or attribution."),
        text("text", "The answer after the step, or the feedback."),
        text("question", "What the feedback wants to be searched for; null if nothing.", nullable=True),
        boolean("accepted", "Whether the step counts."),
        text("reason", "Why it does not count; null if it does.", nullable=True),
        text("request", "Request that made it.", nullable=True, derived_from="models.requests.request"),
    ),
    primary_key=("answer", "step"),
    upstream=("scholar.index",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("answer", "scholar.answers.answer"), one_of("kind", STEPS)),
)

REFERENCES = Contract(
    name="scholar.references",
    description="Numbered references of an answer, each to characters of a version of a paper.",
    command=COMMAND,
    columns=(
        ANSWER,
        integer("number", "Number of the reference in the answer, from 1.", bits=32),
        *passage_columns(),
        text("title", "Title of the paper.", nullable=True, derived_from="scholar.passages.title"),
        column("quotation", SPAN, "Characters of the paper's text that are printed below the answer."),
        text("quoted", "These characters."),
    ),
    primary_key=("answer", "number"),
    upstream=("scholar.index",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("answer", "scholar.answers.answer"), between("number", 1)),
)

CITATIONS = Contract(
    name="scholar.citations",
    description="Sentences of an answer with the references that they cite, and whether these support them.",
    command=COMMAND,
    columns=(
        ANSWER,
        integer("sentence", "Number of the sentence, from 0.", bits=32),
        text("text", "The sentence without its citations."),
        column("numbers", pa.list_(pa.int32()), "References that it cites."),
        column("missing", pa.list_(pa.int32()), "Numbers that it cited although no passage had them."),
        text("support", "supported, not_supported, not_cited, or not_checked."),
        text("judge", "Entry of [models] that judged it; null if none did.", nullable=True),
        text("request", "Request of the judgement.", nullable=True, derived_from="models.requests.request"),
    ),
    primary_key=("answer", "sentence"),
    upstream=("scholar.index",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("answer", "scholar.answers.answer"), one_of("support", SUPPORT)),
)

QUOTATIONS = Contract(
    name="scholar.quotations",
    description="Quotations of an answer, and where they stand; those that stand nowhere are not printed.",
    command=COMMAND,
    columns=(
        ANSWER,
        integer("place", "Number of the quotation in the answer, from 0.", bits=32),
        text("text", "The words that the model put into quotation marks."),
        boolean("found", "Whether a passage has them; if not, they were removed from the answer."),
        text("passage", "Passage that has them.", nullable=True, derived_from="scholar.passages.passage"),
        text("paper", "Paper.", nullable=True, derived_from="scholar.passages.paper"),
        text("version", "Version of the paper.", nullable=True, derived_from="scholar.passages.version"),
        column("span", SPAN, "Characters of the paper's text.", nullable=True),
        text("digest", "SHA-256 of these characters.", nullable=True),
    ),
    primary_key=("answer", "place"),
    upstream=("scholar.index",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("answer", "scholar.answers.answer"),),
)

TRAINING = Contract(
    name="scholar.training",
    description="Training rows made from answers: the answer, feedback on drafts, and revisions by feedback.",
    command="watershed scholar training",
    columns=(
        text("id", "Answer and step, as in ANSWER-STEP."),
        ANSWER,
        text("kind", "answer, feedback or revision."),
        column("messages", MESSAGES, "The conversation to learn, the assistant's turn last."),
        texts("papers", "Papers that the row rests on.", derived_from="scholar.references.paper"),
        boolean("preferred", "Whether a judge prefers the final answer to the first draft.", nullable=True),
        real("organization", "Judge's score, 1..5.", nullable=True),
        real("factuality", "Judge's score of factual precision and citations, 1..5.", nullable=True),
        boolean("kept", "Whether the row passes the filters and is to be trained on."),
        text("dropped", "Why it is not.", nullable=True),
    ),
    primary_key=("id",),
    upstream=("scholar.index",),
    source="OpenScholar (arXiv 2411.14199), section 2.3",
    licence=LICENCE,
    owner=OWNER,
    expectations=(one_of("kind", KINDS), between("organization", 1, 5), between("factuality", 1, 5)),
)

VARIANTS = ("bare", "retrieval", "full", "no_reranking", "no_feedback", "no_attribution")

ABLATIONS = Contract(
    name="scholar.ablations",
    description="Answers of models without stages of the pipeline: a row per model, variant and question.",
    command="watershed scholar ablate",
    columns=(
        text("model", "Entry of [models] that answered."),
        text(
            "variant",
            "bare (the model alone, from memory), retrieval (a draft from the passages found), full, or full without "
            "a stage: no_reranking, no_feedback, no_attribution.",
        ),
        text("question", "Question."),
        text("status", "answered, no_passages, or model_failed."),
        text("failure", "Why there is no answer; null if there is one.", nullable=True),
        text("judge", "Entry of [models] that checked the citations; null for bare.", nullable=True),
        text("text", "The answer, with citations as the model wrote them; null if there is none.", nullable=True),
        integer("sentences", "Sentences that make a claim; null for bare.", bits=32, nullable=True),
        integer("supported", "Sentences that their citations support; null for bare.", bits=32, nullable=True),
        integer("not_cited", "Sentences that cite nothing; null for bare.", bits=32, nullable=True),
        integer("not_checked", "Sentences that no model judged; null for bare.", bits=32, nullable=True),
        integer("cited_papers", "Papers that the answer cites, existing or not.", bits=32),
        integer("missing_papers", "Cited papers that no passage and no paper of scholar.papers has.", bits=32),
        integer("quotations_removed", "Quotations that no passage has; null for bare.", bits=32, nullable=True),
        real("rouge", "ROUGE-L against the known answer, 0..1; null without one.", nullable=True),
    ),
    primary_key=("model", "variant", "question"),
    upstream=("scholar.index", "scholar.papers"),
    source="OpenScholar (arXiv 2411.14199), section 5",
    licence=LICENCE,
    owner=OWNER,
    expectations=(
        one_of("variant", VARIANTS),
        one_of("status", STATUSES),
        between("cited_papers", 0),
        between("missing_papers", 0),
        between("rouge", 0, 1),
    ),
)

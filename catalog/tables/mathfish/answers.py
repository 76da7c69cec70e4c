"""What language models are asked about problems and standards, what they answer, and how well."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, texts
from catalog.contract import Contract, between, one_of, references, row_count
from catalog.tables.mathfish.curriculum import OWNER

LICENCE = "as the terms of the model say"
STRATEGIES = (
    *("positive", "same-domain-same-grade", "same-domain-different-grade"),
    *("different-domain-same-grade", "different-domain-different-grade", "neighbors"),
)
"""What the standard of a verification is to the problem: its own, or drawn by one of the five negative strategies."""
TAGGING_LEVELS = ("domain", "cluster", "standard")
KINDS = ("verification", "tagging", "solving")
WORDED = ("verification", "tagging")
"""The kinds of prompts that have several wordings."""
SHOTS = (0, 1, 3)
OPTIONS = pa.list_(pa.struct([("text", pa.string()), ("ids", pa.list_(pa.string()))]))
STEPS = pa.list_(
    pa.struct(
        [
            *(("level", pa.string()), ("branch", pa.string()), ("options", pa.int32())),
            *(("correct", pa.list_(pa.string())), ("chosen", pa.list_(pa.string()))),
            *(("malformed", pa.string()), ("request", pa.string())),
        ]
    )
)

MODEL = text("model", "Entry of [models] in watershed.toml.")
REQUEST = text(
    "request", "Request that was asked; null if none was.", nullable=True, derived_from="models.requests.request"
)

TASKS = Contract(
    name="mathfish.tasks",
    description="Prompts of verification, tagging and solving whose branch does not depend on a reply: a row each.",
    columns=(
        text("task", "Identifier, in the form of allenai/mathfish-tasks."),
        text("kind", "verification, tagging or solving."),
        text("problem", "The problem.", derived_from="mathfish.problems.problem"),
        text("grade", "Lowest grade of the standards that the problem teaches; null if it has none.", nullable=True),
        text("level", "Of tagging: domain, cluster or standard; empty otherwise."),
        text("branch", "Of tagging: the domain group or cluster whose options are shown; empty otherwise."),
        text("strategy", "Of verification: positive, or how the standard was drawn; empty otherwise."),
        text("standard", "Of verification: the standard that is asked about.", nullable=True),
        column(
            "options",
            OPTIONS,
            "Of tagging: the options in the order in which they are shown, with what they stand for.",
        ),
        column("correct", pa.list_(pa.int32()), "Of tagging: places of the right options, from 0."),
        text("answer", "Of verification: yes or no. Of solving: the answer. Empty otherwise."),
        column(
            "messages",
            pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])),
            "The prompt, in the first wording.",
        ),
        integer("shots", "Number of worked examples in the prompt."),
    ),
    primary_key=("task",),
    upstream=("mathfish.standards", "mathfish.connections", "mathfish.problems", "mathfish.labels"),
    licence="as its upstream tables",
    owner=OWNER,
    expectations=(
        one_of("kind", KINDS),
        one_of("level", ("", *TAGGING_LEVELS)),
        one_of("strategy", ("", *STRATEGIES)),
        one_of("shots", SHOTS),
        references("problem", "mathfish.problems.problem"),
        references("standard", "mathfish.standards.standard"),
    ),
)

WORDINGS = Contract(
    name="mathfish.wordings",
    description="How well a model answers each wording of the prompts on the development split, and which is chosen.",
    columns=(
        MODEL,
        text("kind", "verification or tagging."),
        text("wording", "Name of the wording, such as plain."),
        integer("rank", "Place of the wording among those of the model and kind, from 1."),
        boolean("chosen", "Whether the model is asked in this wording."),
        integer("problems", "Problems of the development split that were asked about; 0 if nothing was compared."),
        integer("prompts", "Prompts that were asked; 0 if nothing was compared."),
        text("measure", "The measure that decides: balanced_acc of verification, acc of tagging."),
        real("score", "Its value; null if nothing was compared.", nullable=True),
        real("chance", "Its expected value for a random answer; null if nothing was compared.", nullable=True),
        real("acc", "Share of answers that are exactly right.", nullable=True),
        real("weak_acc", "Of tagging: share with at least one right option.", nullable=True),
        real("ok_format", "Share of well-formed replies.", nullable=True),
        integer("malformed", "Number of replies that state no answer."),
    ),
    primary_key=("model", "kind", "wording"),
    partition_by=("model",),
    upstream=("mathfish.standards", "mathfish.connections", "mathfish.problems"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("kind", WORDED),
        between("rank", 1),
        between("score", 0, 1),
        between("acc", 0, 1),
        between("ok_format", 0, 1),
        between("malformed", 0),
    ),
)

ANSWERS = Contract(
    name="mathfish.answers",
    description="Replies of models to the prompts of mathfish.tasks, read and scored. Malformed ones are marked.",
    columns=(
        MODEL,
        text("task", "The prompt.", derived_from="mathfish.tasks.task"),
        text(
            "wording",
            "Wording of the prompt; null for solving, and in rows that are older than this column.",
            nullable=True,
            derived_from="mathfish.wordings.wording",
        ),
        text("reply", "Reply; empty if there was none."),
        text("malformed", "Why the reply states no answer; empty if it states one."),
        texts(
            "predicted", "What it states: yes or no, letters of options, or a number; empty for none and if malformed."
        ),
        real("score", "1 for a right answer and 0 for others."),
        real("weak", "Of tagging: 1 if one of the right options was chosen.", nullable=True),
        real("option_accuracy", "Of tagging: share of options rightly taken or left.", nullable=True),
        real(
            "chance",
            "Expected score of a random answer: yes or no, or one option; null if there is none.",
            nullable=True,
        ),
        real("chance_weak", "Expected `weak` of one random option.", nullable=True),
        real("chance_option_accuracy", "Expected `option_accuracy` of one random option.", nullable=True),
        REQUEST,
    ),
    primary_key=("model", "task"),
    partition_by=("model",),
    upstream=(
        *("mathfish.standards", "mathfish.connections", "mathfish.problems"),
        *("mathfish.tasks", "mathfish.wordings"),
    ),
    licence=LICENCE,
    owner=OWNER,
    expectations=(
        between("score", 0, 1),
        between("chance", 0, 1),
        between("option_accuracy", 0, 1),
        references("task", "mathfish.tasks.task"),
    ),
)

TRAVERSALS = Contract(
    name="mathfish.traversals",
    description="Self-guided tagging: a model follows its own choices from domain group to cluster to standard.",
    columns=(
        MODEL,
        text("problem", "The problem.", derived_from="mathfish.problems.problem"),
        text("grade", "Lowest grade of the standards that the problem teaches; null if it has none.", nullable=True),
        text(
            "wording",
            "Wording of the prompts; null in rows that are older than this column.",
            nullable=True,
            derived_from="mathfish.wordings.wording",
        ),
        texts("labels", "Standards that the problem teaches, sorted; empty for a problem without labels."),
        texts("predicted", "Standards that the model ended at, sorted."),
        boolean("complete", "Whether all replies were well formed."),
        integer("in_group", "Predicted standards in a domain group of a label.", bits=32),
        integer("in_grade", "Predicted standards in a grade of a label.", bits=32),
        column(
            "distances",
            pa.list_(pa.int32()),
            "For each predicted standard, edges of the map to the nearest label, undirected; null without a path.",
        ),
        column(
            "steps",
            STEPS,
            "Prompts on the way: level, branch, number of options, right and chosen ids, and the request.",
        ),
    ),
    primary_key=("model", "problem"),
    partition_by=("model",),
    upstream=(
        *("mathfish.standards", "mathfish.connections", "mathfish.problems", "mathfish.labels"),
        "mathfish.wordings",
    ),
    licence=LICENCE,
    owner=OWNER,
    expectations=(between("in_group", 0), between("in_grade", 0), references("problem", "mathfish.problems.problem")),
)

JUDGEMENTS = Contract(
    name="mathfish.judgements",
    description="A model's verdicts of alignment beside the teachers': a row per problem that a teacher judged.",
    columns=(
        MODEL,
        text("problem", "The problem.", derived_from="mathfish.alignment.problem"),
        text("standard", "The standard that it was to teach.", derived_from="mathfish.alignment.standard"),
        text("teacher", "The teacher's verdict.", derived_from="mathfish.alignment.verdict"),
        text(
            "verdict",
            "The model's verdict: full, partial, none or not_math; null if the reply is malformed.",
            nullable=True,
        ),
        text("malformed", "Why the reply states no verdict; empty if it states one."),
        REQUEST,
    ),
    primary_key=("model", "problem", "standard"),
    partition_by=("model",),
    upstream=("mathfish.alignment", "mathfish.problems", "mathfish.standards"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(one_of("verdict", ("full", "partial", "none", "not_math")),),
)

RESULTS = Contract(
    name="mathfish.results",
    description="How well each model answers, in the metrics of the paper: a row per measure and group.",
    columns=(
        MODEL,
        text("task", "verification, tagging (the right branch is given), traversal (self-guided), judging or solving."),
        text("by", "What the group is: all, grade, strategy, level or standard."),
        text("group", "The group; empty for all."),
        text("measure", "Name of the measure, such as acc or weak_acc."),
        real("value", "The value; null if nothing was counted.", nullable=True),
        real("chance", "Expected value of a random answer; null if none is defined.", nullable=True),
        integer("rows", "Replies or problems that were counted."),
    ),
    primary_key=("model", "task", "by", "group", "measure"),
    partition_by=("model",),
    upstream=("mathfish.tasks", "mathfish.answers", "mathfish.traversals", "mathfish.judgements"),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(row_count(1), between("rows", 0)),
)

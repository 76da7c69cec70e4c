"""Self-directed dialogues: a model plans dialogues, plays both sides, and revises what violates a principle.

The stages are those of "Self-Directed Synthetic Dialogues and Revisions" (arXiv 2407.18421). Every stage is a table,
partitioned by model, that names the requests of `models.requests` that its rows were made by.
"""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, texts
from catalog.contract import Contract, between, matches, one_of, references, row_count
from catalog.family import Family

OWNER = "dialogues"
LICENCE = "as the terms of the model say"
MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
ENDINGS = ("done", "turn_limit", "failed")
ID = r"^[0-9a-f]{16}$"

MODEL = text("model", "Entry of [models] in watershed.toml that makes the dialogues.")
DIALOGUE = text("dialogue", "16 hex digits made from the model and the number of the dialogue.")
REQUEST = text(
    "request",
    "Request that made the row; null if none was sent.",
    nullable=True,
    derived_from="models.requests.request",
)
FAILURE = text("failure", "Why the stage has no result: a kind of failure; null if it has one.", nullable=True)

TOPICS = Contract(
    name="dialogues.topics",
    description="Subtopics of the domains that dialogues are about: a row per subtopic.",
    columns=(
        MODEL,
        text("domain", "Domain, from the file of domains."),
        integer("place", "Number of the subtopic within its domain, from 0.", bits=32),
        text("subtopic", "Subtopic, as the model wrote it; the domain itself if the model named none."),
        boolean("named", "Whether the model named the subtopic."),
        REQUEST,
    ),
    primary_key=("model", "domain", "place"),
    partition_by=("model",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(row_count(1), between("place", 0)),
)

GOALS = Contract(
    name="dialogues.goals",
    description="What each dialogue is about: topic, principles, and the goal of the user.",
    columns=(
        MODEL,
        DIALOGUE,
        integer("number", "Number of the dialogue, from 0."),
        text("domain", "Domain.", derived_from="dialogues.topics.domain"),
        text("subtopic", "Subtopic.", derived_from="dialogues.topics.subtopic"),
        texts("principles", "Principles that the dialogue is to put to the test, by id."),
        text("goal", "Goal of the user; empty if the stage failed."),
        REQUEST,
        FAILURE,
    ),
    primary_key=("dialogue",),
    partition_by=("model",),
    upstream=("dialogues.topics",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(row_count(1), matches("dialogue", ID), between("number", 0)),
)

PLANS = Contract(
    name="dialogues.plans",
    description="Plans of dialogues: what both sides are to say, turn by turn.",
    columns=(MODEL, DIALOGUE, text("plan", "Plan; empty if the stage failed."), REQUEST, FAILURE),
    primary_key=("dialogue",),
    partition_by=("model",),
    upstream=("dialogues.goals",),
    licence=LICENCE,
    owner=OWNER,
    expectations=(row_count(1), references("dialogue", "dialogues.goals.dialogue")),
)

CONVERSATIONS = Contract(
    name="dialogues.conversations",
    modalities=("text",),
    description="Dialogues of two instances of a model that follow a plan, as they were spoken.",
    columns=(
        MODEL,
        DIALOGUE,
        column("messages", MESSAGES, "Messages in order, the user first; the plan is not among them."),
        integer("turns", "Number of messages.", bits=32),
        text("ended", "How the dialogue ended: done, turn_limit or failed."),
        column("cut", pa.list_(pa.int32()), "Numbers of the messages that the limit of tokens cut off, from 0."),
        texts("requests", "The requests of the messages, in order.", derived_from="models.requests.request"),
        integer("prompt_tokens", "Tokens of all prompts, as the server counted; null if it did not.", nullable=True),
        integer("reply_tokens", "Tokens of all messages, as the server counted; null if it did not.", nullable=True),
        FAILURE,
    ),
    primary_key=("dialogue",),
    partition_by=("model",),
    upstream=("dialogues.goals", "dialogues.plans"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(
        row_count(1),
        one_of("ended", ENDINGS),
        between("turns", 0),
        references("dialogue", "dialogues.goals.dialogue"),
    ),
)

FLAGS = Contract(
    name="dialogues.flags",
    description="What is wrong with each dialogue: violation, truncation, ill-formed messages; and its adherence.",
    columns=(
        MODEL,
        DIALOGUE,
        boolean("violation", "Whether the agent's last turn violates a principle; null if undecided.", nullable=True),
        boolean("truncated", "Whether a message was cut off, or the dialogue reached the limit of turns."),
        texts("ill_formed", "Faults of form, sorted; empty for a well-formed dialogue."),
        real("adherence", "Share of the plan's steps that a message covers, 0..1; null without a plan.", nullable=True),
        REQUEST,
    ),
    primary_key=("dialogue",),
    partition_by=("model",),
    upstream=("dialogues.goals", "dialogues.plans", "dialogues.conversations"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(
        row_count(1),
        between("adherence", 0, 1),
        references("dialogue", "dialogues.conversations.dialogue"),
    ),
)

CRITIQUES = Contract(
    name="dialogues.critiques",
    description="Critiques of the last turn of the agent, with the principles violated: a row per flagged dialogue.",
    columns=(
        MODEL,
        DIALOGUE,
        text("critique", "Critique; empty if the stage failed."),
        texts("violations", "Principles that the critique names, by id."),
        REQUEST,
        FAILURE,
    ),
    primary_key=("dialogue",),
    partition_by=("model",),
    upstream=("dialogues.goals", "dialogues.conversations", "dialogues.flags"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("dialogue", "dialogues.conversations.dialogue"),),
)

REVISIONS = Contract(
    name="dialogues.revisions",
    description="Revisions of the last turn of the agent, and of nothing else: a row per critique.",
    columns=(
        MODEL,
        DIALOGUE,
        text("original", "The agent's last turn, as it was spoken.", derived_from="dialogues.conversations.messages"),
        text("revision", "The turn that takes its place; empty if the stage failed."),
        REQUEST,
        FAILURE,
    ),
    primary_key=("dialogue",),
    partition_by=("model",),
    upstream=("dialogues.goals", "dialogues.conversations", "dialogues.critiques"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("dialogue", "dialogues.conversations.dialogue"),),
)

PREFERENCES = Contract(
    name="dialogues.preferences",
    modalities=("text",),
    description="Preference pairs: the revised turn over the original one, after the same messages.",
    columns=(
        MODEL,
        text("id", "Id of the pair: that of the dialogue.", derived_from="dialogues.conversations.dialogue"),
        text("source", "Name of the data set in a mixture."),
        column("prompt", MESSAGES, "Messages before the turn, the user's last."),
        text("chosen", "The revision.", derived_from="dialogues.revisions.revision"),
        text("rejected", "The original turn.", derived_from="dialogues.revisions.original"),
        texts("violations", "Principles that the original violates.", derived_from="dialogues.critiques.violations"),
    ),
    primary_key=("id",),
    partition_by=("model",),
    upstream=("dialogues.conversations", "dialogues.flags", "dialogues.critiques", "dialogues.revisions"),
    licence=LICENCE,
    owner=OWNER,
    expectations=(references("id", "dialogues.conversations.dialogue"),),
)

STATISTICS = Contract(
    name="dialogues.statistics",
    description="Statistics of each model's dialogues, and those of the paper: a row per measure.",
    columns=(
        MODEL,
        text("measure", "Name of the measure."),
        text("meaning", "What is measured, with its unit."),
        real("value", "The value; null if nothing was counted.", nullable=True),
        real("dbrx", "The paper's value for DBRX-Instruct; null if it is not known.", nullable=True),
        real("llama", "The paper's value for Nous-Hermes-2-Llama-2-70B; null if it is not known.", nullable=True),
        real("mistral", "The paper's value for Mistral Large; null if it is not known.", nullable=True),
    ),
    primary_key=("model", "measure"),
    partition_by=("model",),
    upstream=(
        *("dialogues.goals", "dialogues.plans", "dialogues.conversations", "dialogues.flags"),
        *("dialogues.critiques", "dialogues.revisions", "dialogues.preferences"),
    ),
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(row_count(1),),
)

PUBLISHED = Contract(
    name="dialogues.published",
    modalities=("text",),
    description="Dialogues that others published, as rows of the same shape, the ill-formed ones marked.",
    command="watershed dialogues import",
    columns=(
        text("collection", "Name that the import was given."),
        integer("row", "Number of the row in its files, from 0."),
        text("domain", "Domain, as written; null if missing.", nullable=True),
        text("subtopic", "Subtopic, as written; null if missing.", nullable=True),
        texts("principles", "Principles, as written."),
        text("goal", "Goal, as written; null if missing.", nullable=True),
        text("plan", "Plan, as written, or the system prompt of the messages.", nullable=True),
        column("messages", MESSAGES, "Messages without the system prompt; empty if the row has none that can be read."),
        boolean("violation", "Whether the last turn is marked as a violation.", nullable=True),
        boolean("truncated", "Whether the dialogue is marked as truncated.", nullable=True),
        text("critique", "Critique, if the collection has critiques.", nullable=True),
        texts("violations", "Principles that the critique names."),
        text("revision", "Revision, if the collection has revisions.", nullable=True),
        texts("ill_formed", "Faults of form, sorted; empty for a well-formed row."),
        real("adherence", "Share of the plan's steps that a message covers, 0..1; null without a plan.", nullable=True),
    ),
    primary_key=("collection", "row"),
    partition_by=("collection",),
    source="Self-Directed Synthetic Dialogues and Revisions (arXiv 2407.18421): allenai/sdsd-dialogues, -revisions",
    licence="ODC-BY and the terms of each model, as the cards of the collections say",
    licences=("ODC-By-1.0", "LicenseRef-Model-Terms"),
    owner=OWNER,
    expectations=(row_count(1), between("row", 0), between("adherence", 0, 1)),
)

CONTRACTS = (
    *(TOPICS, GOALS, PLANS, CONVERSATIONS, FLAGS, CRITIQUES, REVISIONS, PREFERENCES, STATISTICS),
    PUBLISHED,
)
FAMILY = Family(name="dialogues", contracts=CONTRACTS)

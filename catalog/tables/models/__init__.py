"""Models trained here, models that DCLM registered, requests to language models, and people's choices of answers."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, timestamp
from catalog.contract import Column, Contract, between, matches, one_of, references, row_count, warned
from catalog.family import Family, Lineage, Link, Searchable
from catalog.trained import (
    BATCH_EXPECTATIONS,
    CHECKPOINT_EXPECTATIONS,
    METRIC_EXPECTATIONS,
    SIZES,
    batch_columns,
    checkpoint_columns,
    metric_columns,
    model_pages,
    searchable_models,
)

OWNER = "training"

SHARDS = "dclm.shards"
"""The shards that these models read."""
CHECKPOINT_COLUMNS = checkpoint_columns(SHARDS)

CHECKPOINTS = Contract(
    name="models.checkpoints",
    description="The ladder's models, trained on the shards: a row per run.",
    columns=CHECKPOINT_COLUMNS,
    primary_key=("run",),
    partition_by=("run",),
    upstream=("dclm.shards",),
    owner=OWNER,
    expectations=CHECKPOINT_EXPECTATIONS,
)

TARGETS = Contract(
    name="models.targets",
    description="Models larger than the ladder's, trained only after their forecast is stored: a row per run.",
    columns=CHECKPOINT_COLUMNS,
    primary_key=("run",),
    upstream=("dclm.shards", "ladder.predictions"),
    owner=OWNER,
    expectations=CHECKPOINT_EXPECTATIONS,
)

METRICS = Contract(
    name="models.metrics",
    description="Metrics of training: a row per logged step of a ladder run.",
    columns=metric_columns("models.checkpoints"),
    primary_key=("run", "step"),
    partition_by=("run",),
    upstream=("dclm.shards",),
    owner=OWNER,
    expectations=(*METRIC_EXPECTATIONS, references("run", "models.checkpoints.run")),
)

BATCHES = Contract(
    name="models.batches",
    description="The sequences that each step of the ladder's runs and of the target read: a row per step and shard.",
    columns=batch_columns(SHARDS),
    primary_key=("run", "step", "shard"),
    upstream=("dclm.shards", "models.checkpoints", "models.targets"),
    owner=OWNER,
    expectations=BATCH_EXPECTATIONS,
)

REGISTRY_SOURCE = "the experiment registry of DCLM (mlfoundations/dclm, exp_data)"
REGISTRY_LICENCE = "MIT"
PATHS = "names of researchers in paths"
UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
REGISTRY_COLUMNS = (
    text("file", "The JSON file, relative to the registry's folder."),
    text("record", "The whole file as JSON, for what has no column.", personal_data=PATHS),
)

REGISTRY_DATASETS = Contract(
    name="models.registry_datasets",
    description="Data sets that DCLM registered, raw and tokenized: a row per data set.",
    command="watershed registry import",
    columns=(
        text("uuid", "UUID of the data set."),
        text("name", "Name; not unique among raw data sets."),
        boolean("tokenized", "Whether it holds tokens rather than text."),
        timestamp("created_at", "Time of creation as written in the file, taken as UTC."),
        integer("tokens", "Number of tokens, if it was counted.", nullable=True),
        integer("bytes", "Size, if it is given as a number.", nullable=True),
        text("tokenizer", "Name of the tokenizer.", nullable=True),
        column(
            "sources",
            pa.list_(pa.struct([("uuid", pa.string()), ("name", pa.string())])),
            "Data sets that it was made from, if they are listed.",
        ),
        text("origin", "Origin of the data in words, if it is described.", nullable=True),
        text("url", "Former location of its files, without host names.", nullable=True, personal_data=PATHS),
        text("manifest_url", "Former location of its list of shards.", nullable=True, personal_data=PATHS),
        text("commit", "Commit of the code that made it.", nullable=True),
        *REGISTRY_COLUMNS,
    ),
    primary_key=("uuid",),
    named_by=("name",),
    source=REGISTRY_SOURCE,
    licence=REGISTRY_LICENCE,
    owner=OWNER,
    expectations=(row_count(1), matches("uuid", UUID), between("tokens", 1), between("bytes", 1)),
)

REGISTRY = Contract(
    name="models.registry",
    description="Models that DCLM trained and registered: a row per model.",
    command="watershed registry import",
    columns=(
        text("uuid", "UUID of the model."),
        text("name", "Name: data set and hyper-parameters."),
        timestamp("created_at", "Time of creation as written in the file, taken as UTC."),
        text("dataset_name", "Name of the data set that it was trained on."),
        text(
            "dataset_uuid",
            "UUID of that data set; empty if it is empty in the file.",
            derived_from="models.registry_datasets.uuid",
        ),
        text("architecture", "Architecture in open_lm: a name or a configuration file."),
        integer("parameters", "Parameters with the embedding, as DCLM counts them."),
        integer("tokens", "Tokens trained on."),
        real("chinchilla_multiple", "Tokens over 20 per parameter, as written."),
        real("learning_rate", "Peak learning rate."),
        real("final_learning_rate", "Learning rate at the end of the cooldown."),
        real("weight_decay", "Weight decay."),
        integer("warmup_steps", "Steps of warm-up."),
        integer("batch", "Sequences per step."),
        real("z_loss", "Weight of the z-loss."),
        integer("seed", "Seed of training, if it is given.", nullable=True),
        boolean("failed", "Whether training ended in an error, if it is given.", nullable=True),
        text("checkpoint_url", "Former location of its checkpoint, without host names.", personal_data=PATHS),
        *REGISTRY_COLUMNS,
    ),
    primary_key=("uuid",),
    named_by=("name",),
    source=REGISTRY_SOURCE,
    licence=REGISTRY_LICENCE,
    owner=OWNER,
    expectations=(
        row_count(1),
        matches("uuid", UUID),
        between("parameters", 1),
        between("tokens", 1),
        warned(
            references(
                "dataset_uuid",
                "models.registry_datasets.uuid",
                why="the registry's own links, some of which are broken",
            )
        ),
    ),
)

OUTCOMES = ("answered", "refused", "rejected", "lost")
REQUEST = r"^[0-9a-f]{32}$"

REQUESTS = Contract(
    name="models.requests",
    description="Requests to language models: a row per attempt, with prompt, settings, reply, tokens and cost.",
    command="watershed ask",
    columns=(
        text("request", "32 hex digits made from model, revision, prompt, settings and sample."),
        integer("attempt", "Number of the attempt, from 1. At most one attempt of a request is answered.", bits=32),
        text("model", "Name of the model, as the endpoint knows it."),
        text("revision", "Revision of the model, as configured; empty if none is."),
        text("endpoint", "The entry of [models] in watershed.toml that was asked."),
        text("purpose", "What the reply is for, such as the table that is made of it."),
        text("prompt", "Messages, or text or token ids to continue, as JSON.", personal_data="what prompts hold"),
        text("prompt_digest", "SHA-256 of `prompt`."),
        text("settings", "Settings of sampling and the schema of the reply, as JSON."),
        integer("sample", "Number of the sample, from 0: one prompt may be asked several times."),
        text(
            "outcome",
            "answered; refused: not charged, and worth another attempt; rejected: another attempt would fail as well; "
            "lost: sent, but no whole reply arrived, so that it may have been charged.",
        ),
        text("error", "Kind of failure; null if answered.", nullable=True),
        text("message", "The message of the failure, without secrets, cut at 500 characters.", nullable=True),
        integer("status", "HTTP status, if there was one.", bits=32, nullable=True),
        text("reply", "Text of the reply; null if not answered.", nullable=True, personal_data="what replies hold"),
        text("finish_reason", "Why the model stopped, as the server states it: stop, length and so on.", nullable=True),
        text("details", "Log-probabilities and token ids of the reply, if it has them, as JSON.", nullable=True),
        text("parsed", "The reply as JSON of the schema that was asked for; null without one.", nullable=True),
        text("repair", "How the reply was made JSON of that schema; null if it needed no repair.", nullable=True),
        text("problem", "Why the reply is not JSON of that schema; null if it is.", nullable=True),
        integer("prompt_tokens", "Tokens of the prompt, as the server counted.", nullable=True),
        integer("reply_tokens", "Tokens of the reply, as the server counted.", nullable=True),
        real("cost", "Cost in US dollars by configured prices; null if it is not known.", nullable=True),
        real("cost_bound", "Most that the attempt can cost, in US dollars."),
        real("latency", "Seconds from sending to the whole reply; null if none arrived.", nullable=True),
        timestamp("asked_at", "When the attempt was sent."),
        text("batch", "Batch of the provider that the attempt belongs to; null if it was sent alone.", nullable=True),
    ),
    primary_key=("request", "attempt"),
    partition_by=("model",),
    source="the language models that [models] in watershed.toml names",
    licence="as the terms of the model say",
    owner=OWNER,
    expectations=(
        matches("request", REQUEST),
        between("attempt", 1),
        one_of("outcome", OUTCOMES),
        between("cost", 0),
        between("cost_bound", 0),
        between("prompt_tokens", 0),
        between("reply_tokens", 0),
    ),
)

SIDES = ("one", "other")
VERDICTS = (*SIDES, "tie", "neither")


def _answer_columns(side: str) -> tuple[Column, ...]:
    return (
        text(f"{side}_model", "Model of this answer."),
        text(f"{side}_source", "Where this answer comes from: a file and line, or what the query named."),
        text(f"{side}_digest", "SHA-256 of the text of this answer."),
    )


CHOICES = Contract(
    name="models.choices",
    description="Choices of people between two answers to a question, shown side by side without their models.",
    command="watershed rank pairwise",
    columns=(
        text("pair", "32 hex digits made from the question and both answers."),
        text("rater", "Name that the rater gave.", personal_data="name"),
        text("question", "The question.", personal_data="what questions hold"),
        *_answer_columns("one"),
        *_answer_columns("other"),
        text("left", "The answer that was shown on the left: one or other."),
        text("choice", "The better answer: one, other, tie (equally good), or neither (equally bad)."),
        real("seconds", "Seconds that the pair was visible before the choice."),
        text("at", "When the choice was made, ISO 8601 in UTC."),
    ),
    primary_key=("pair", "rater"),
    source="people who use the page",
    licence="CC0-1.0",
    owner=OWNER,
    expectations=(
        matches("pair", REQUEST),
        one_of("left", SIDES),
        one_of("choice", VERDICTS),
        between("seconds", 0),
        matches("one_digest", r"^[0-9a-f]{64}$"),
        matches("other_digest", r"^[0-9a-f]{64}$"),
    ),
)

CONTRACTS = (CHECKPOINTS, TARGETS, METRICS, BATCHES, REGISTRY_DATASETS, REGISTRY, REQUESTS, CHOICES)
SEARCHABLE = (
    searchable_models(CHECKPOINTS),
    searchable_models(TARGETS),
    Searchable(
        kind="model",
        tables=(REGISTRY.name,),
        sql=f"""
        SELECT name, ['text'] AS modalities, {SIZES} || ', trained on ' || dataset_name AS description,
               architecture || ' ' || uuid AS detail
        FROM {REGISTRY.name}
        """,
    ),
    Searchable(
        kind="data set",
        tables=(REGISTRY_DATASETS.name,),
        sql=f"""
        SELECT name, ['text'] AS modalities, concat_ws(' ', uuid, tokenizer) AS detail,
               concat_ws(', ', if(tokenized, 'tokenized', 'raw'), format('{{:,}} tokens', tokens), origin)
               AS description
        FROM {REGISTRY_DATASETS.name}
        """,
    ),
)

FAMILY = Family(
    name="models",
    contracts=CONTRACTS,
    searchable=SEARCHABLE,
    models=tuple(model_pages(each, METRICS) for each in (CHECKPOINTS, TARGETS)),
    lineage=Lineage(
        batches=("models.batches",),
        models=("models.checkpoints", "models.targets"),
        links=(
            Link("models.batches", ("run",), "models.checkpoints", ("run",)),
            Link("models.batches", ("run",), "models.targets", ("run",)),
        ),
    ),
)

"""Models that were trained here with the numbers of their training, and those that DCLM registered."""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import boolean, column, integer, real, text, timestamp
from catalog.contract import Contract, between, matches, one_of, references, row_count, warned
from catalog.family import Family, Lineage

OWNER = "training@watershed.example"

CHECKPOINT_COLUMNS = (
    text("run", "The run, named by its one dial: size-multiplexC."),
    text("size", "Size of the model, as the preset names it."),
    real("chinchilla_multiple", "Tokens over 20 per parameter."),
    integer("parameters", "N: parameters without the input embedding."),
    integer("tokens", "D: tokens trained on."),
    real("flops", "Training FLOPs: tokens x FLOPs per token."),
    integer("steps", "Optimiser steps."),
    text("dataset", "Fingerprint of the shards read.", derived_from="dclm.shards.dataset"),
    real("train_loss", "Last training loss, nats per token."),
    real("heldout_bits_per_byte", "Loss on the held-out shards, bits per byte of text."),
    real("seconds", "Time of training."),
    real("tokens_per_second", "Training throughput."),
    text("path", "Folder of the final checkpoint, relative to the lake."),
    text("sha256", "Digest of its weights."),
    text("config", "The run's configuration as JSON, without paths."),
)
CHECKPOINT_EXPECTATIONS = (
    row_count(1),
    between("parameters", 1),
    between("tokens", 1),
    between("heldout_bits_per_byte", 0, 8, why="eight bits per byte is knowing nothing"),
    matches("sha256", r"^[0-9a-f]{64}$"),
)

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
    description="Models well above the ladder, trained only after their forecast is stored: a row per run.",
    columns=CHECKPOINT_COLUMNS,
    primary_key=("run",),
    upstream=("dclm.shards", "ladder.predictions"),
    owner=OWNER,
    expectations=CHECKPOINT_EXPECTATIONS,
)

METRICS = Contract(
    name="models.metrics",
    description="How training went: a row per logged step of a ladder run.",
    columns=(
        text("run", "The run, as in models.checkpoints."),
        integer("step", "Optimiser step, from 1."),
        integer("tokens", "Tokens read so far."),
        real("loss", "Training loss of the step, nats per token."),
        real("learning_rate", "Learning rate of the step."),
        real("grad_norm", "Gradient norm before clipping."),
        real("tokens_per_second", "Throughput since the last row."),
    ),
    primary_key=("run", "step"),
    partition_by=("run",),
    upstream=("dclm.shards",),
    owner=OWNER,
    expectations=(
        row_count(1),
        between("loss", 0),
        between("step", 1),
        references("run", "models.checkpoints.run"),
    ),
)

BATCH_COLUMNS = (
    text("run", "The run that read them."),
    integer("step", "Optimiser step, from 1."),
    text("dataset", "Fingerprint of the shards read, as in dclm.shards.", derived_from="dclm.shards.dataset"),
    text("split", "Split of the shard: train."),
    text("shard", "Shard, as in dclm.shards.", derived_from="dclm.shards.shard"),
    column(
        "sequences",
        pa.list_(pa.int32()),
        "Numbers of the sequences within the shard, in the order in which the step took them.",
    ),
)
BATCH_EXPECTATIONS = (row_count(1), between("step", 1), one_of("split", ("train",)))

BATCHES = Contract(
    name="models.batches",
    description="Which sequences each step of the ladder's runs and of the target read: a row a step and shard.",
    columns=BATCH_COLUMNS,
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
    text("record", "The file as JSON, whole: what has no column is here.", personal_data=PATHS),
)

REGISTRY_DATASETS = Contract(
    name="models.registry_datasets",
    description="Data sets that DCLM registered, raw and tokenized: a row per data set.",
    command="watershed registry import",
    columns=(
        text("uuid", "The data set."),
        text("name", "Its name; not unique among raw ones."),
        boolean("tokenized", "It holds tokens that a model reads, not text."),
        timestamp("created_at", "As written, taken as UTC."),
        integer("tokens", "Tokens, where counted.", nullable=True),
        integer("bytes", "Size, where given as a number.", nullable=True),
        text("tokenizer", "Name of the tokenizer.", nullable=True),
        column(
            "sources",
            pa.list_(pa.struct([("uuid", pa.string()), ("name", pa.string())])),
            "Data sets that it was made from, where listed.",
        ),
        text("origin", "Where it came from, where said in words.", nullable=True),
        text("url", "Where its files were; hosts are struck out.", nullable=True, personal_data=PATHS),
        text("manifest_url", "Where its list of shards was.", nullable=True, personal_data=PATHS),
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
        text("uuid", "The model."),
        text("name", "Its name: data set and hyper-parameters."),
        timestamp("created_at", "As written, taken as UTC."),
        text("dataset_name", "The data set that it was trained on, by name."),
        text(
            "dataset_uuid",
            "The same by uuid; empty where the file leaves it so.",
            derived_from="models.registry_datasets.uuid",
        ),
        text("architecture", "The model in open_lm: name or configuration file."),
        integer("parameters", "Parameters with the embedding, as DCLM counts them."),
        integer("tokens", "Tokens trained on."),
        real("chinchilla_multiple", "Tokens over 20 per parameter, as written."),
        real("learning_rate", "Peak learning rate."),
        real("final_learning_rate", "Learning rate at the end of the cooldown."),
        real("weight_decay", "Weight decay."),
        integer("warmup_steps", "Steps of warm-up."),
        integer("batch", "Sequences per step."),
        real("z_loss", "Weight of the z-loss."),
        integer("seed", "Seed of training, where written.", nullable=True),
        boolean("failed", "Training ended in an error, where written.", nullable=True),
        text("checkpoint_url", "Where its checkpoint was; hosts are struck out.", personal_data=PATHS),
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
                "dataset_uuid", "models.registry_datasets.uuid", why="the registry's own links, some of which dangle"
            )
        ),
    ),
)

CONTRACTS = (CHECKPOINTS, TARGETS, METRICS, BATCHES, REGISTRY_DATASETS, REGISTRY)
FAMILY = Family(
    name="models",
    contracts=CONTRACTS,
    lineage=Lineage(batches=("models.batches",), models=("models.checkpoints", "models.targets")),
)

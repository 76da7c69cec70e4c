"""Models that were trained here with the numbers of their training, and those that DCLM registered."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract, between, matches, one_of, references, row_count, warned

OWNER = "training@watershed.example"

CHECKPOINT_COLUMNS = (
    Column(name="run", type=pa.string(), description="The run, named by its one dial: size-multiplexC."),
    Column(name="size", type=pa.string(), description="Size of the model, as the preset names it."),
    Column(name="chinchilla_multiple", type=pa.float64(), description="Tokens over 20 per parameter."),
    Column(name="parameters", type=pa.int64(), description="N: parameters without the input embedding."),
    Column(name="tokens", type=pa.int64(), description="D: tokens trained on."),
    Column(name="flops", type=pa.float64(), description="Training FLOPs: tokens x FLOPs per token."),
    Column(name="steps", type=pa.int64(), description="Optimiser steps."),
    Column(
        name="dataset",
        type=pa.string(),
        description="Fingerprint of the shards read.",
        derived_from=("dclm.shards.dataset",),
    ),
    Column(name="train_loss", type=pa.float64(), description="Last training loss, nats per token."),
    Column(
        name="heldout_bits_per_byte",
        type=pa.float64(),
        description="Loss on the held-out shards, bits per byte of text.",
    ),
    Column(name="seconds", type=pa.float64(), description="Time of training."),
    Column(name="tokens_per_second", type=pa.float64(), description="Training throughput."),
    Column(name="path", type=pa.string(), description="Folder of the final checkpoint, relative to the lake."),
    Column(name="sha256", type=pa.string(), description="Digest of its weights."),
    Column(name="config", type=pa.string(), description="The run's configuration as JSON, without paths."),
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
        Column(name="run", type=pa.string(), description="The run, as in models.checkpoints."),
        Column(name="step", type=pa.int64(), description="Optimiser step, from 1."),
        Column(name="tokens", type=pa.int64(), description="Tokens read so far."),
        Column(name="loss", type=pa.float64(), description="Training loss of the step, nats per token."),
        Column(name="learning_rate", type=pa.float64(), description="Learning rate of the step."),
        Column(name="grad_norm", type=pa.float64(), description="Gradient norm before clipping."),
        Column(name="tokens_per_second", type=pa.float64(), description="Throughput since the last row."),
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
    Column(name="run", type=pa.string(), description="The run that read them."),
    Column(name="step", type=pa.int64(), description="Optimiser step, from 1."),
    Column(
        name="dataset",
        type=pa.string(),
        description="Fingerprint of the shards read, as in dclm.shards.",
        derived_from=("dclm.shards.dataset",),
    ),
    Column(name="split", type=pa.string(), description="Split of the shard: train."),
    Column(
        name="shard", type=pa.string(), description="Shard, as in dclm.shards.", derived_from=("dclm.shards.shard",)
    ),
    Column(
        name="sequences",
        type=pa.list_(pa.int32()),
        description="Numbers of the sequences within the shard, in the order in which the step took them.",
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
    Column(name="file", type=pa.string(), description="The JSON file, relative to the registry's folder."),
    Column(
        name="record",
        type=pa.string(),
        description="The file as JSON, whole: what has no column is here.",
        personal_data=PATHS,
    ),
)

REGISTRY_DATASETS = Contract(
    name="models.registry_datasets",
    description="Data sets that DCLM registered, raw and tokenized: a row per data set.",
    command="watershed registry import",
    columns=(
        Column(name="uuid", type=pa.string(), description="The data set."),
        Column(name="name", type=pa.string(), description="Its name; not unique among raw ones."),
        Column(name="tokenized", type=pa.bool_(), description="It holds tokens that a model reads, not text."),
        Column(name="created_at", type=pa.timestamp("us", tz="UTC"), description="As written, taken as UTC."),
        Column(name="tokens", type=pa.int64(), nullable=True, description="Tokens, where counted."),
        Column(name="bytes", type=pa.int64(), nullable=True, description="Size, where given as a number."),
        Column(name="tokenizer", type=pa.string(), nullable=True, description="Name of the tokenizer."),
        Column(
            name="sources",
            type=pa.list_(pa.struct([("uuid", pa.string()), ("name", pa.string())])),
            description="Data sets that it was made from, where listed.",
        ),
        Column(name="origin", type=pa.string(), nullable=True, description="Where it came from, where said in words."),
        Column(
            name="url",
            type=pa.string(),
            nullable=True,
            description="Where its files were; hosts are struck out.",
            personal_data=PATHS,
        ),
        Column(
            name="manifest_url",
            type=pa.string(),
            nullable=True,
            description="Where its list of shards was.",
            personal_data=PATHS,
        ),
        Column(name="commit", type=pa.string(), nullable=True, description="Commit of the code that made it."),
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
        Column(name="uuid", type=pa.string(), description="The model."),
        Column(name="name", type=pa.string(), description="Its name: data set and hyper-parameters."),
        Column(name="created_at", type=pa.timestamp("us", tz="UTC"), description="As written, taken as UTC."),
        Column(name="dataset_name", type=pa.string(), description="The data set that it was trained on, by name."),
        Column(
            name="dataset_uuid",
            type=pa.string(),
            description="The same by uuid; empty where the file leaves it so.",
            derived_from=("models.registry_datasets.uuid",),
        ),
        Column(name="architecture", type=pa.string(), description="The model in open_lm: name or configuration file."),
        Column(name="parameters", type=pa.int64(), description="Parameters with the embedding, as DCLM counts them."),
        Column(name="tokens", type=pa.int64(), description="Tokens trained on."),
        Column(name="chinchilla_multiple", type=pa.float64(), description="Tokens over 20 per parameter, as written."),
        Column(name="learning_rate", type=pa.float64(), description="Peak learning rate."),
        Column(name="final_learning_rate", type=pa.float64(), description="Learning rate at the end of the cooldown."),
        Column(name="weight_decay", type=pa.float64(), description="Weight decay."),
        Column(name="warmup_steps", type=pa.int64(), description="Steps of warm-up."),
        Column(name="batch", type=pa.int64(), description="Sequences per step."),
        Column(name="z_loss", type=pa.float64(), description="Weight of the z-loss."),
        Column(name="seed", type=pa.int64(), nullable=True, description="Seed of training, where written."),
        Column(name="failed", type=pa.bool_(), nullable=True, description="Training ended in an error, where written."),
        Column(
            name="checkpoint_url",
            type=pa.string(),
            description="Where its checkpoint was; hosts are struck out.",
            personal_data=PATHS,
        ),
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

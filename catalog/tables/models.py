"""Models that were trained here, and the numbers of their training."""

from __future__ import annotations

import pyarrow as pa

from catalog.contract import Column, Contract, between, matches, one_of, references, row_count

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

CONTRACTS = (CHECKPOINTS, TARGETS, METRICS, BATCHES)

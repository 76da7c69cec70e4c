"""What every table of models that learned to continue text declares: its columns, its checks, and how it is shown.

A family, or a project's mixture, declares its tables of models, of metrics of training and of batches with these, for
its own table of shards. Lineage, search, the site and bills of materials then know its models.
"""

from __future__ import annotations

import pyarrow as pa

from catalog.columns import column, integer, real, text
from catalog.contract import Column, Contract, Expectation, between, matches, one_of, row_count
from catalog.family import Models, Report, Searchable

STEP = integer("step", "Optimiser step, from 1.")
TOKENS_READ = integer("tokens", "Tokens read so far.")

CHECKPOINT_EXPECTATIONS: tuple[Expectation, ...] = (
    row_count(1),
    between("parameters", 1),
    between("tokens", 1),
    between("heldout_bits_per_byte", 0, 8, why="a model that knows nothing needs eight bits per byte"),
    matches("sha256", r"^[0-9a-f]{64}$"),
)
METRIC_EXPECTATIONS: tuple[Expectation, ...] = (row_count(1), between("loss", 0), between("step", 1))
BATCH_EXPECTATIONS: tuple[Expectation, ...] = (row_count(1), between("step", 1), one_of("split", ("train",)))

INTENDED = (
    "It is intended for measuring how data and size change a model, and for forecasting larger models.",
    "It is not intended to answer people.",
    "Its text may repeat what stands in its training data, personal data included; no safety training was done.",
    "Scores are of the tasks above alone, and of the examples that the table of answers names.",
)
"""Of every model that only learned to continue text."""
SIZES = "format('{:,} parameters, {:,} tokens', parameters, tokens)"
"""SQL: the size of a model in words."""


def checkpoint_columns(shards: str, run: str = "Name of the run: size-multiplexC.") -> tuple[Column, ...]:
    """The columns of a table of models.

    Args:
        shards: the table of the shards that they read.
        run: the description of the name of a run.
    """
    return (
        text("run", run),
        text("size", "Size of the model: the name of its preset."),
        real("chinchilla_multiple", "Tokens over 20 per parameter."),
        integer("parameters", "N: parameters without the input embedding."),
        integer("tokens", "D: tokens trained on."),
        real("flops", "Training FLOPs: tokens x FLOPs per token."),
        integer("steps", "Optimiser steps."),
        text("dataset", "Fingerprint of the shards read.", derived_from=f"{shards}.dataset"),
        real("train_loss", "Last training loss, nats per token."),
        real("heldout_bits_per_byte", "Loss on the held-out shards, bits per byte of text."),
        real("seconds", "Duration of training, in seconds."),
        real("tokens_per_second", "Training throughput."),
        text("path", "Folder of the final checkpoint, relative to the lake."),
        text("sha256", "Digest of the weights."),
        text("config", "The run's configuration as JSON, without paths."),
    )


def metric_columns(models: str) -> tuple[Column, ...]:
    """The columns of a table of metrics of training.

    Args:
        models: the table of the models.
    """
    return (
        text("run", f"The run, as in {models}."),
        STEP,
        TOKENS_READ,
        real("loss", "Training loss of the step, nats per token."),
        real("learning_rate", "Learning rate of the step."),
        real("grad_norm", "Gradient norm before clipping."),
        real("tokens_per_second", "Throughput since the last row."),
    )


def batch_columns(shards: str) -> tuple[Column, ...]:
    """The columns of a table of the sequences that training steps read.

    Args:
        shards: the table of the shards that they read.
    """
    return (
        text("run", "The run that read the sequences."),
        STEP,
        text("dataset", f"Fingerprint of the shards read, as in {shards}.", derived_from=f"{shards}.dataset"),
        text("split", "Split of the shard: train.", derived_from=f"{shards}.split"),
        text("shard", f"Shard, as in {shards}.", derived_from=f"{shards}.shard"),
        column(
            "sequences",
            pa.list_(pa.int32()),
            "Numbers of the sequences within the shard, in the order in which the step read them.",
        ),
    )


def searchable_models(models: Contract) -> Searchable:
    """The models of a table, as `watershed search` finds them."""
    sql = f"""
    SELECT run AS name, ['text'] AS modalities,
           {SIZES} || format(', {{:.3f}} bits per byte of held-out text', heldout_bits_per_byte) AS description,
           'data set ' || dataset || ' weights ' || sha256 AS detail
    FROM {models.name}
    """
    return Searchable(kind="model", tables=(models.name,), sql=sql)


def model_pages(models: Contract, metrics: Contract) -> Models:
    """The models of a table, each with a page that draws its training loss."""
    curve = Report(
        title="Training",
        tables=(metrics.name,),
        sql=f"""
    SELECT 'training loss' AS series, tokens AS x, loss AS y FROM {metrics.name} WHERE run = $model ORDER BY step
    """,
        x="tokens read",
        y="nats a token",
    )
    return Models(table=models.name, reports=(curve,), intended=INTENDED)

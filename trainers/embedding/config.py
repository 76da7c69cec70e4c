"""The configurations of `python -m trainers.embed` and `trainers.rerank`. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from trainers.core.optimiser import Optimiser
from trainers.core.plan import LoopConfig
from trainers.process.config_file import check_fields, from_mapping, read_mapping
from trainers.process.errors import TrainerError

CODE_VERSION, RERANK_VERSION = "embedding-1", "rerank-1"
NEW = "new"
"""The encoder that is made from the texts of the data, with random weights."""
ALL_LINEAR = "all-linear"


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters (arXiv 2106.09685): W x + (alpha / rank) B A x, where W is frozen."""

    rank: int = 8
    alpha: float = 32.0
    dropout: float = 0.1
    targets: Sequence[str] = ()
    """Names of the modules that are adapted, such as query and value; all linear ones if empty."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise TrainerError(
                f"adapters have rank {self.rank}, alpha {self.alpha} and dropout {self.dropout}",
                "give rank and alpha above 0, and a dropout from 0 to below 1",
            )


@dataclass(frozen=True, kw_only=True)
class EmbedConfig(LoopConfig):
    """A run of `python -m trainers.embed`."""

    data: Sequence[str]
    """Files of JSON lines {"query": ..., "positive": ..., "negatives": [...]}; negatives may be left out."""
    encoder: str
    """Folder of a model of sentence-transformers; "new" makes a small one from the texts of the data."""
    heldout: Sequence[str] = ()
    """Files of the same form, on which the reciprocal rank of the positive is measured."""
    trains: Literal["query", "both"] = "both"
    """"query" trains the encoder of queries alone: documents keep the vectors of the encoder that the run begins with,
    so that an index of them stays valid. "both" trains one encoder for queries and documents."""
    adapters: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Lora; with any of them, adapters are trained in place of the weights."""
    vectors: str = ""
    """With trains: query, a file of vectors of documents (see vectors.py); those that it lacks are computed."""
    temperature: float = 0.05
    """Similarities are divided by it."""
    batch: int = 32
    """Pairs a step. The documents of all of them are the negatives of each."""
    negatives: int = 1
    """Hard negatives of a pair that are used, of those in its row."""
    mined: int = 0
    """Hard negatives that are found for each pair: the most similar documents of the data by the encoder that the run
    begins with, but for those above 0.95 of the positive's similarity (arXiv 2407.15831)."""
    epochs: float = 3.0
    steps: int = 0
    """Optimiser steps, in place of epochs."""
    length: int = 0
    """Tokens of a text at most; 0 for what the encoder reads."""
    seed: int = 0
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Optimiser in place of the command's own."""

    def __post_init__(self) -> None:
        limits = {
            "data": (len(self.data) > 0, "at least one file"),
            "batch": (self.batch >= 2, "2 or more: the documents of other pairs are the negatives"),
            "temperature": (self.temperature > 0, "a number above 0"),
            "epochs": (self.epochs > 0, "a number above 0"),
            "warmup": (self.warmup <= 1, "a number from 0 to 1"),
            "microbatch": (self.microbatch == 0, "0: the negatives of a pair are those of its whole batch"),
            "parts": (self.parts in (0, 1), "0: the negatives of a pair are those of its whole batch"),
        }
        for name, (fits, wanted) in limits.items():
            if not fits:
                raise TrainerError(f"{name} is {getattr(self, name)}", f"give {wanted}")
        check_fields(self.adapters, Lora, "adapters")
        if self.vectors and self.trains != "query":
            raise TrainerError("vectors are given, and trains is both", 'leave them out, or set trains to "query"')

    @property
    def lora(self) -> Lora | None:
        """The adapters that are trained, if any are."""
        return Lora(**self.adapters) if self.adapters else None


def optimiser_of(config: EmbedConfig, steps: int) -> Optimiser:
    """AdamW without decay: rate 1e-4 for adapters, as RouterRetriever, 5e-5 for all weights, 1e-3 for a new encoder."""
    check_fields(config.optimiser, Optimiser, "optimiser")
    rate = 1e-4 if config.adapters else 1e-3 if config.encoder == NEW else 5e-5
    base = Optimiser(
        learning_rate=rate, warmup_steps=round(config.warmup * steps), weight_decay=0.0, beta2=0.999, clip=1.0
    )
    return replace(base, **config.optimiser)


@dataclass(frozen=True, kw_only=True)
class RerankConfig(LoopConfig):
    """A run of `python -m trainers.rerank`; the defaults are those of OpenScholar (arXiv 2411.14199), but for `batch`.

    A group is what its reranker was fine-tuned on: a document that answers the query, and hard negatives.
    """

    data: Sequence[str]
    """Files of JSON lines {"query": ..., "positive": ..., "negatives": [...]}; negatives may be left out."""
    encoder: str
    """Folder of a model of transformers: a reranker, or an encoder, which gets a layer of scores; "new" makes a small
    one from the texts of the data."""
    heldout: Sequence[str] = ()
    """Files of the same form, on whose queries the order is measured before and after training."""
    candidates: int = 20
    """Documents that a search by words finds for a held-out query, which the reranker orders."""
    group: int = 16
    """Documents of a query that are compared: one that answers it, and negatives: its row's own, then those nearest by
    words, then any."""
    batch: int = 8
    """Pairs a step; `batch` times `group` texts are read."""
    epochs: float = 5.0
    steps: int = 0
    """Optimiser steps, in place of epochs."""
    length: int = 0
    """Tokens of query and document together at most; 0 for what the model reads."""
    seed: int = 0
    warmup: float = 0.1
    """Share of the steps in which the learning rate rises."""
    optimiser: Mapping[str, Any] = field(default_factory=dict)
    """Fields of Optimiser in place of the command's own."""

    def __post_init__(self) -> None:
        limits = {
            "data": (len(self.data) > 0, "at least one file"),
            "batch": (self.batch >= 1, "1 or more"),
            "parts": (self.parts in (0, 1), "0: a cross-encoder is trained in one part"),
            "group": (self.group >= 2, "2 or more: a document and its negatives"),
            "candidates": (self.candidates >= 2, "2 or more: one document has no order"),
            "epochs": (self.epochs > 0, "a number above 0"),
            "warmup": (self.warmup <= 1, "a number from 0 to 1"),
        }
        for name, (fits, wanted) in limits.items():
            if not fits:
                raise TrainerError(f"{name} is {getattr(self, name)}", f"give {wanted}")


def reranker_optimiser(config: RerankConfig, steps: int) -> Optimiser:
    """AdamW with a decay of 0.01: rate 6e-5, as OpenScholar's reranker, and 1e-3 for a new encoder."""
    check_fields(config.optimiser, Optimiser, "optimiser")
    rate = 1e-3 if config.encoder == NEW else 6e-5
    base = Optimiser(
        learning_rate=rate, warmup_steps=round(config.warmup * steps), weight_decay=0.01, beta2=0.999, clip=1.0
    )
    return replace(base, **config.optimiser)


def read_runs(path: Path | str, kind: type[EmbedConfig]) -> list[EmbedConfig]:
    """The runs of a file: its fields, or, for each entry of its list `runs`, its other fields replaced by the entry's.

    Several runs of one file share a process, which imports and reads the encoder once.
    """
    values = read_mapping(path)
    if not isinstance(values, Mapping) or "runs" not in values:
        return [from_mapping(values, kind, str(path))]
    shared = {name: value for name, value in values.items() if name != "runs"}
    runs = values["runs"]
    if not isinstance(runs, list) or not all(isinstance(run, Mapping) for run in runs):
        raise TrainerError(f"{path}: runs is not a list of fields", "give a list, each entry with the fields of a run")
    return [from_mapping({**shared, **run}, kind, f"{path}, run {n}") for n, run in enumerate(runs, start=1)]

"""Reads the experiment registry of DCLM (mlfoundations/dclm, exp_data), which has a JSON file for each record.

The mappings below say which entry of a file fills which column. The contract says which type the entry must have,
whether it may be missing, and what must be true of it. A file that does not fit is refused by name before anything is
written.
"""

from __future__ import annotations

import ast
import datetime
import gzip
import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from catalog.cards.card import statement
from catalog.contract import Column, Contract, Expectation
from catalog.errors import WatershedError
from catalog.settings import Settings
from catalog.tables import evals, models

FOLDERS = ("datasets/tokenized", "datasets/raw_sources", "models", "evals")
ENDINGS = (".json", ".json.gz")
TIMES = ("%Y_%m_%d-%H_%M_%S", "%Y-%m-%d %H:%M:%S")
SCORES = "eval_metrics.icl"

DATASET_ENTRIES = {
    "uuid": "uuid",
    "name": "name",
    "tokenized": "tokenized",
    "created_at": "creation_date",
    "tokens": "num_tokens",
    "tokenizer": "tokenizer",
    "url": "dataset_url",
    "manifest_url": "manifest_url",
    "commit": "dcnlp_commit_hash",
}
MODEL_ENTRIES = {
    "uuid": "uuid",
    "name": "name",
    "created_at": "creation_date",
    "dataset_name": "dataset_name",
    "dataset_uuid": "dataset_uuid",
    "architecture": "hyperparameters.model",
    "parameters": "hyperparameters.params",
    "tokens": "hyperparameters.tokens",
    "chinchilla_multiple": "hyperparameters.chinchilla_multiplier",
    "learning_rate": "hyperparameters.lr",
    "final_learning_rate": "hyperparameters.cd",
    "weight_decay": "hyperparameters.wd",
    "warmup_steps": "hyperparameters.warmup",
    "batch": "hyperparameters.global_bs",
    "z_loss": "hyperparameters.z_loss",
    "seed": "hyperparameters.seed",
    "failed": "failed",
    "checkpoint_url": "checkpoint_url",
}
CATEGORIES = (
    "commonsense reasoning",
    "language understanding",
    "reading comprehension",
    "safety",
    "symbolic problem solving",
    "world knowledge",
)
EVALUATION_ENTRIES = {
    "uuid": "uuid",
    "name": "name",
    "model": "model",
    "model_uuid": "model_uuid",
    "created_at": "creation_date",
    "version": "eval_version",
    "core_v1": "Core_v1",
    "core_v2": "Core_v2",
    "extended_v1": "Extended_v1",
    "extended_v2": "Extended_v2",
    "mean_accuracy": "aggregated_results",
    "mean_centred": "aggregated_centered_results",
    "rw_small": "rw_small",
    "rw_small_centred": "rw_small_centered",
    "ci95_above": "95%_CI_above",
    "ci95_above_centred": "95%_CI_above_centered",
    "ci99_above": "99%_CI_above",
    "ci99_above_centred": "99%_CI_above_centered",
    "low_variance": "low_variance_datasets",
    "low_variance_centred": "low_variance_datasets_centered",
} | {name.replace(" ", "_"): f"aggregated_task_categories_centered.{name}" for name in CATEGORIES}


class Aggregate(Protocol):
    """An aggregate of an evaluation's scores."""

    @property
    def value(self) -> float | None:
        """None where a task that it needs has no score."""


Aggregates = Callable[[Mapping[str, float], str], Mapping[str, Aggregate]]
"""From scores by task and a version of DCLM's aggregates ("v1", "v2") to the aggregates by kind.

`trainers.icl.aggregate.aggregates` is one; this room does not import trainers, so its caller passes it.
"""


@dataclass(frozen=True)
class RegistryFile:
    """One file: its name relative to the registry, and its JSON object."""

    file: str
    content: Mapping[str, Any]

    def at(self, place: str) -> Any:
        """The value at a dotted path; None if it is missing or not available ("N/A ...")."""
        found: Any = self.content
        for key in place.split("."):
            found = found.get(key) if isinstance(found, dict) else None
        return None if isinstance(found, str) and found.startswith("N/A") else found

    def refuse(self, cause: str) -> WatershedError:
        """The error for this file."""
        return WatershedError(f"{self.file}: {cause}", "correct the file or remove it; nothing was written")


def registry_folder(settings: Settings) -> Path:
    """`[registry] folder`.

    Raises:
        WatershedError: it is not set.
    """
    if settings.registry_folder is None:
        raise WatershedError(
            "no registry folder is set",
            "run `watershed registry import DIR`, or set [registry] folder in watershed.toml",
        )
    return settings.registry_folder


def registry_files(folder: Path) -> dict[str, list[Path]]:
    """The JSON files in each of `FOLDERS`, by name.

    Raises:
        WatershedError: one of the folders is missing or holds no JSON file.
    """
    found = {}
    for name in FOLDERS:
        there = [path for path in sorted((folder / name).rglob("*")) if path.name.endswith(ENDINGS)]
        if not there:
            raise WatershedError(
                f"{folder / name}: no JSON files here", f"name a folder that holds {', '.join(FOLDERS)}"
            )
        found[name] = there
    return found


def digest(folder: Path) -> str:
    """SHA-256 of all files' names and contents, which decide the rows."""
    hasher = hashlib.sha256()
    for paths in registry_files(folder).values():
        for path in paths:
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            hasher.update(f"{path.relative_to(folder).as_posix()} {content}\n".encode())
    return hasher.hexdigest()


def read_registry(folder: Path, aggregates: Aggregates) -> dict[str, pa.Table]:
    """Rows of `models.registry_datasets`, `models.registry`, `evals.registry` and `evals.registry_scores`, by uuid.

    Args:
        folder: holds `FOLDERS`.
        aggregates: computes the aggregates of an evaluation from its tasks' scores, to compare with the stored ones.

    Raises:
        WatershedError: a file is not JSON, lacks an entry, has one of a wrong kind, or repeats the uuid of another.
    """
    entries = {name: [_read(folder, path) for path in paths] for name, paths in registry_files(folder).items()}
    tokenized, raw, trained, evaluated = (entries[name] for name in FOLDERS)
    rows = {
        models.REGISTRY_DATASETS: [_dataset(entry) for entry in (*tokenized, *raw)],
        models.REGISTRY: [_row(models.REGISTRY, MODEL_ENTRIES, entry) for entry in trained],
        evals.REGISTRY: [_evaluation(entry, aggregates) for entry in evaluated],
    }
    for contract, each in rows.items():
        _hold(contract, each)
    scores = [
        {"evaluation": entry.at("uuid"), "task": task, "score": score}
        for entry in evaluated
        for task, score in sorted(entry.at(SCORES).items())
    ]
    return {
        contract.name: pa.Table.from_pylist(sorted(found, key=lambda row: row["uuid"]), schema=contract.schema)
        for contract, found in rows.items()
    } | {
        evals.REGISTRY_SCORES.name: pa.Table.from_pylist(
            sorted(scores, key=lambda row: row["evaluation"]), schema=evals.REGISTRY_SCORES.schema
        )
    }


def _read(folder: Path, path: Path) -> RegistryFile:
    entry = RegistryFile(path.relative_to(folder).as_posix(), {})
    try:
        stored = path.read_bytes()
        parsed = json.loads(gzip.decompress(stored) if path.suffix == ".gz" else stored)
    except (OSError, EOFError) as error:
        raise entry.refuse(f"cannot be read ({error})") from error
    except ValueError as error:
        raise entry.refuse(f"not JSON ({error})") from error
    if not isinstance(parsed, dict):
        raise entry.refuse("is not a JSON object")
    return RegistryFile(entry.file, parsed)


def _dataset(entry: RegistryFile) -> dict[str, Any]:
    row = _row(models.REGISTRY_DATASETS, DATASET_ENTRIES, entry)
    size, sources = entry.at("size"), entry.at("sources")
    listed = sources if isinstance(sources, list) else []
    if not all(isinstance(source, dict) and {"uuid", "name"} <= source.keys() for source in listed):
        raise entry.refuse("sources are not all of uuid and name")
    return row | {
        # Some sizes are words ("26 TB") or -1; they stay in `record`.
        "bytes": size if isinstance(size, int) and size > 0 else None,
        "sources": [{"uuid": source["uuid"], "name": source["name"]} for source in listed],
        "origin": sources if isinstance(sources, str) and sources else None,
    }


def _evaluation(entry: RegistryFile, aggregates: Aggregates) -> dict[str, Any]:
    scores = entry.at(SCORES)
    if not isinstance(scores, dict) or not scores:
        raise entry.refuse(f"lacks {SCORES}, the tasks' scores")
    for task, score in scores.items():
        if not _is_number(score) or not 0 <= score <= 1:
            raise entry.refuse(f"the score of {task} is {score!r}, which is not in 0..1")
    row = _row(evals.REGISTRY, EVALUATION_ENTRIES, entry)
    return row | {"tasks": len(scores), "missing_tasks": _missing(entry), **_errors(scores, row, aggregates)}


def _missing(entry: RegistryFile) -> list[str]:
    """The tasks without a score, which the registry stores as a Python literal."""
    try:
        found = ast.literal_eval(entry.at("missing tasks"))
    except (ValueError, TypeError, SyntaxError) as error:
        raise entry.refuse("'missing tasks' is not a list of tasks") from error
    return [str(task) for task in found]


def _errors(scores: Mapping[str, float], stored: Mapping[str, Any], aggregates: Aggregates) -> dict[str, float | None]:
    """Each aggregate as computed from the tasks, minus the stored one; None where either is missing."""
    errors = {}
    for name in evals.AGGREGATES:
        kind, version = name.split("_")
        value = aggregates(scores, version)[kind].value
        errors[f"{name}_error"] = None if value is None or stored[name] is None else value - stored[name]
    return errors


def _row(contract: Contract, entries: Mapping[str, str], entry: RegistryFile) -> dict[str, Any]:
    row = {name: _value(entry, place, contract.column(name)) for name, place in entries.items()}
    return row | {"file": entry.file, "record": json.dumps(entry.content, ensure_ascii=False, sort_keys=True)}


def _value(entry: RegistryFile, place: str, column: Column) -> Any:
    value = entry.at(place)
    if value is None:
        if column.nullable:
            return None
        raise entry.refuse(f"lacks {place!r}")
    if pa.types.is_timestamp(column.type):
        return _time(entry, place, value)
    fits, kind = KINDS[column.type]
    if not fits(value):
        raise entry.refuse(f"{place!r} is {value!r}, which is not a {kind}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


KINDS: dict[pa.DataType, tuple[Callable[[Any], bool], str]] = {
    pa.string(): (lambda value: isinstance(value, str), "string"),
    pa.bool_(): (lambda value: isinstance(value, bool), "boolean"),
    pa.int64(): (lambda value: isinstance(value, int) and not isinstance(value, bool), "whole number"),
    pa.float64(): (_is_number, "finite number"),
}


def _time(entry: RegistryFile, place: str, value: Any) -> datetime.datetime:
    for form in TIMES:
        try:
            return datetime.datetime.strptime(value, form).replace(tzinfo=datetime.UTC)
        except (TypeError, ValueError):
            continue
    raise entry.refuse(f"{place!r} is {value!r}, which is not a time such as 2024_04_18-22_10_32")


def _hold(contract: Contract, rows: list[dict[str, Any]]) -> None:
    """Refuse rows that break the contract, by file. Checks that need other tables are left to the gate."""
    seen: dict[str, str] = {}
    for row in rows:
        file = RegistryFile(row["file"], {})
        if row["uuid"] in seen:
            raise file.refuse(f"its uuid {row['uuid']} is that of {seen[row['uuid']]}")
        seen[row["uuid"]] = row["file"]
        for expectation in contract.expectations:
            value = row.get(expectation.column or "")
            if value is not None and not _holds(expectation, value):
                raise file.refuse(f"expected that {statement(expectation)}, but it is {value!r}")


def _holds(expectation: Expectation, value: Any) -> bool:
    low, high = expectation["min_value"], expectation["max_value"]
    allowed, regex = expectation["value_set"], expectation["regex"]
    return expectation.severity == "warn" or (
        (low is None or value >= low)
        and (high is None or value <= high)
        and (allowed is None or value in allowed)
        and (regex is None or re.match(regex, value) is not None)
    )

"""Evaluations from JSON-lines files: a file for each, named after it, and in each line an instance."""

from __future__ import annotations

import codecs
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.contamination.fields import PASSAGES, QUESTIONS
from spark_jobs.language_models.replies import MalformedReply, bounded_json


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """The instances of an evaluation.

    Attributes:
        name: the name of the evaluation.
        instances: for each instance its fields in order; None for a field that is null or missing.
    """

    name: str
    instances: tuple[tuple[str | None, ...], ...]


def read_evaluation(path: Path, fields: Sequence[str] = ()) -> Evaluation:
    """Read the instances of a file.

    Args:
        path: JSON lines.
        fields: the names of the fields that are searched for. By default those of a passage and a question that the
            first instance has.

    Raises:
        WatershedError: the file cannot be read, is not JSON lines of objects, has no instance, or none has a field.
    """
    mend = "give JSON lines, with the fields of the evaluation in each"
    try:
        lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror or error}", mend) from None
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = bounded_json(line)
        except MalformedReply as error:
            raise WatershedError(f"{path}:{number}: {error}", mend) from None
        if not isinstance(row, dict):
            raise WatershedError(f"{path}:{number}: not an object", mend)
        rows.append(row)
    if not rows:
        raise WatershedError(f"{path} has no instance", mend)
    chosen = tuple(fields) or _usual(rows[0])
    if not chosen or not any(_text(row, name) is not None for row in rows for name in chosen):
        named = ", ".join(chosen) or "a question or a passage"
        raise WatershedError(f"{path}: no instance has {named}", mend)
    return Evaluation(name=path.stem, instances=tuple(tuple(_text(row, name) for name in chosen) for row in rows))


def _usual(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The passages and the question of an instance, by their usual names."""
    by_name = {name.lower(): name for name in row}
    passages = [by_name[name] for name in PASSAGES if name in by_name]
    return (*passages, *[by_name[name] for name in QUESTIONS if name in by_name][:1])


def _text(row: Mapping[str, Any], name: str) -> str | None:
    value = row.get(name)
    return value if isinstance(value, str) else None

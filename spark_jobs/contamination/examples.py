"""Reads evaluation sets: each JSONL file is an evaluation named after the file, and each line is an example."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from catalog.errors import WatershedError


def example_batches(evaluations: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    """Batches of evaluation, example_id (the number of its line from 0, without blank lines) and text.

    Raises:
        WatershedError: a file cannot be read, is not JSONL, or has no examples.
    """
    for path in evaluations:
        texts = [_text(line, f"{path}:{number}") for number, line in enumerate(_lines(path), start=1) if line.strip()]
        if not texts:
            raise WatershedError(f"{path}: holds no example", "give JSONL files with one example in each line")
        yield pa.record_batch(
            {
                "evaluation": pa.array([path.stem] * len(texts), pa.string()),
                "example_id": pa.array([str(number) for number in range(len(texts))], pa.string()),
                "text": pa.array(texts, pa.string()),
            }
        )


def _lines(path: Path) -> list[bytes]:
    try:
        return path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()
    except OSError as error:
        raise WatershedError(f"{path}: cannot be read ({error.strerror})", "give a JSONL file of examples") from error


def _text(line: bytes, place: str) -> str:
    try:
        parsed = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise WatershedError(f"{place}: not valid JSON in UTF-8 ({error})", "correct or remove the line") from error
    return "\n".join(_texts(parsed))


def _texts(parsed: Any) -> Iterator[str]:
    """All texts of an example, such as question, choices and answer, under any names."""
    if isinstance(parsed, str):
        yield parsed
    elif isinstance(parsed, dict):
        for value in parsed.values():
            yield from _texts(value)
    elif isinstance(parsed, list):
        for value in parsed:
            yield from _texts(value)

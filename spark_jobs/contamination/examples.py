"""Reads evaluation sets: each JSONL file is an evaluation named after the file, and each line is an example."""

from __future__ import annotations

import codecs
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from catalog.errors import WatershedError
from spark_jobs.contamination.fields import Parts, parts_of

EXAMPLES = pa.schema(
    [("evaluation", pa.string()), ("example_id", pa.string()), ("field", pa.string()), ("text", pa.string())]
)
"""A row for each text of an example that is compared. Rows of one example follow each other."""


def example_batches(
    evaluations: Sequence[Path], parts: Callable[[Any], Parts] = parts_of, notes: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Batches of EXAMPLES, one for each evaluation. An example's id is the number of its line, from 0.

    Blank lines are not counted.
    A file with the same content as an earlier one is read once. Different files of one name are named after their
    folders too, such as `arc/test` and `mmlu/test`.

    Args:
        evaluations: the files.
        parts: splits an example into the texts that are compared.
        notes: receives a line for each file that is the same as another, and for fields that are not compared.

    Raises:
        WatershedError: a file cannot be read, is not JSONL, or has no examples.
    """
    notes = [] if notes is None else notes
    files = _different(evaluations, notes)
    for name, path in zip(evaluation_names(files), files, strict=True):
        ids: list[str] = []
        fields: list[str] = []
        texts: list[str] = []
        ignored: dict[str, None] = {}
        examples = 0
        for number, line in enumerate(_content(path).splitlines(), start=1):
            if not line.strip():
                continue
            found = _parts(line, f"{path}:{number}", parts)
            # An example without any text has a row too, because it is counted as one that cannot be found.
            rows = [(part.field, part.text) for part in found.parts] or [("", "")]
            ids += [str(examples)] * len(rows)
            fields += [field for field, _ in rows]
            texts += [text for _, text in rows]
            ignored.update(dict.fromkeys(found.ignored))
            examples += 1
        if not examples:
            raise WatershedError(f"{path}: holds no example", "give JSONL files with one example in each line")
        if ignored:
            notes.append(f"{name}: fields that are not compared: {_listed(list(ignored))}")
        columns = [[name] * len(ids), ids, fields, texts]
        yield pa.record_batch(
            [pa.array(column, field.type) for column, field in zip(columns, EXAMPLES, strict=True)], schema=EXAMPLES
        )


def evaluation_names(files: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that differ, without the last suffix unless it is all that differs."""
    whole = [path.absolute() for path in files]
    bare = Counter(path.with_suffix("") for path in whole)
    parts = [(*path.parent.parts, path.stem if bare[path.with_suffix("")] == 1 else path.name) for path in whole]
    depth = [1] * len(files)
    while True:
        names = ["/".join(each[-size:]) for each, size in zip(parts, depth, strict=True)]
        twice = [
            place for place, name in enumerate(names) if names.count(name) > 1 and depth[place] < len(parts[place])
        ]
        if not twice:
            return names
        for place in twice:
            depth[place] += 1


def _different(evaluations: Sequence[Path], notes: list[str]) -> list[Path]:
    """The files without those whose content an earlier one has."""
    first: dict[bytes, Path] = {}
    for path in evaluations:
        digest = hashlib.sha256(_content(path)).digest()
        if digest in first:
            again = "is given twice" if first[digest] == path else f"has the same content as {first[digest]}"
            notes.append(f"{path} {again}: it counts once")
        first.setdefault(digest, path)
    return list(first.values())


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(name[:40] for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(codecs.BOM_UTF8)
    except OSError as error:
        raise WatershedError(f"{path}: cannot be read ({error.strerror})", "give a JSONL file of examples") from error


def _parts(line: bytes, place: str, parts: Callable[[Any], Parts]) -> Parts:
    try:
        return parts(orjson.loads(line))
    except orjson.JSONDecodeError as error:
        raise WatershedError(f"{place}: not valid JSON in UTF-8 ({error})", "correct or remove the line") from error
    except RecursionError as error:
        raise WatershedError(f"{place}: values are nested too deeply", "correct or remove the line") from error

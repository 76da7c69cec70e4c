"""Task files: JSON lines (also .gz, .zst) or Parquet, read whole and refused whole.

A file's kind follows from its fields, as llm-foundry writes them:

    multiple_choice           query, choices, gold
    schema                    context_options, continuation, gold
    language_modeling         context, continuation
    generation_with_answers   context, answer; aliases and chain_of_thought may be there
    code_generation           context (code to go on from), tests (Python); entry_point may be there
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainers.icl.tasks import KINDS, Kind, Task, dclm_tasks, own_task
from trainers.process.errors import TrainerError

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
FIELDS: dict[Kind, dict[str, type]] = {
    "multiple_choice": {"query": str, "choices": list, "gold": int},
    "schema": {"context_options": list, "continuation": str, "gold": int},
    "language_modeling": {"context": str, "continuation": str},
    "generation_with_answers": {"context": str, "answer": str},
    "code_generation": {"context": str, "tests": str},
}
OPTIONAL: dict[str, type] = {"aliases": list, "chain_of_thought": str, "category": str, "entry_point": str}
TYPE_NAMES: dict[type, str] = {str: "text", list: "a list of texts", int: "a whole number"}
NAMED_FAULTS = 3
MENDS = {
    "encoding": "write the file as UTF-8",
    "json": "write one JSON object a line",
    "fields": "give every example the fields of its kind: "
    + "; ".join(f"{kind}: {', '.join(fields)}" for kind, fields in FIELDS.items()),
    "kind": "give a file of the task's kind, or name the kind that it has",
    "empty": "fill in the text, or leave the example out",
    "gold": "count the right choice from 0",
    "duplicate": "keep one of them",
    "subject": "give every example its `category`",
}


@dataclass(frozen=True)
class Example:
    """One question, whatever its kind; white space around each text is gone, but for choices and context options."""

    contexts: tuple[str, ...]
    """One; of a schema, the options."""
    answers: tuple[str, ...]
    """Choices; or the continuation; or the answer and its aliases."""
    gold: int
    """The right choice or context option; 0 where there is one."""
    chain_of_thought: str | None = None
    subject: str = ""
    """`category` in the file."""
    tests: str = ""
    """Of code: Python that raises where the code is wrong."""
    entry_point: str = ""
    """Of code: the function that is asked for."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with a line, and the key of its mend."""

    line: int
    cause: str
    mend: str


def find_file(folder: Path, task: Task) -> Path | None:
    """The task's file under `folder`, in its own subfolder or directly."""
    stem = Path(task.file)
    places = [folder / stem, folder / stem.name]
    found = (place.with_name(place.name + ending) for place in places for ending in ENDINGS)
    return next((path for path in found if path.is_file()), None)


def task_of_file(path: Path) -> Task | None:
    """The first task of DCLM whose file is called so."""
    stem = path.name.split(".")[0]
    return next((task for task in dclm_tasks() if Path(task.file).name == stem), None)


def file_kind(path: Path) -> Kind:
    """The kind of a file's first example.

    Raises:
        TrainerError: the file cannot be read, or its first example has the fields of no kind.
    """
    faults: list[Fault] = []
    for line, row in _rows(path, faults):
        if kind := _kind_of(row):
            return kind
        faults.append(Fault(line, "the fields of no kind of task", "fields"))
        break
    if faults:
        raise _refusal(path, faults)
    raise TrainerError(f"{path} holds no example", "give a file with one example a line")


def read_own_task(path: Path, shots: int) -> tuple[Task, list[Example]]:
    """The task that a user's own file is, under the file's name, and its examples.

    A guess is right as often as one of the choices; where nothing is chosen, never.

    Args:
        path: in one of the formats above; its first example says which.
        shots: solved examples before each question.

    Raises:
        TrainerError: the file cannot be read or holds a malformed example, or a task of DCLM has its name.
    """
    kind = file_kind(path)
    examples = read_examples(path, kind)
    options = [len(one.contexts) if kind == "schema" else len(one.answers) for one in examples]
    guess = sum(1 / count for count in options) / len(options) if kind in ("multiple_choice", "schema") else 0.0
    return own_task(path.name.partition(".")[0], kind, guess, shots), examples


def read_task(path: Path, task: Task) -> list[Example]:
    """The examples of a task's file; TrainerError when any is malformed."""
    return read_examples(path, task.kind, task.duplicates, task.examples, by_subject=task.by_subject)


def read_examples(
    path: Path, kind: Kind | None = None, duplicates: int = 0, of: int = 0, *, by_subject: bool = False
) -> list[Example]:
    """Examples in the file's order.

    Args:
        kind: what they must be; None: what the first of them is.
        duplicates: examples that may equal an earlier one, in a file `of` so many: such files are published.
        by_subject: whether each must have a `category`.

    Raises:
        TrainerError: the file cannot be read or holds a malformed example; all faults are counted, the first named.
    """
    examples: list[Example] = []
    faults: list[Fault] = []
    seen: dict[str, int] = {}
    copies: list[Fault] = []
    for line, row in _rows(path, faults):
        kind = kind or _kind_of(row)
        fault = _fault(line, row, kind) if kind else Fault(line, "the fields of no kind of task", "fields")
        if by_subject and not fault and not row.get("category", "").strip():
            fault = Fault(line, "no category, by which the task is scored", "subject")
        if fault or not kind:
            faults += [fault] if fault else []
            continue
        first = seen.setdefault(json.dumps(row, sort_keys=True), line)
        if first != line:
            copies.append(Fault(line, f"the same example as line {first}", "duplicate"))
        examples.append(_example(row, kind))
    if len(copies) != duplicates or len(examples) != of:
        faults = sorted(faults + copies, key=lambda fault: fault.line)
    if faults:
        raise _refusal(path, faults)
    if not examples:
        raise TrainerError(f"{path} holds no example", "give a file with one example a line")
    return examples


def _refusal(path: Path, faults: list[Fault]) -> TrainerError:
    place = "row" if path.suffix == ".parquet" else "line"
    named = "; ".join(f"{place} {fault.line}: {fault.cause}" for fault in faults[:NAMED_FAULTS])
    more = len(faults) - NAMED_FAULTS
    lines = "1 malformed example" if len(faults) == 1 else f"{len(faults)} malformed examples"
    mends = "; ".join(MENDS[key] for key in Counter(fault.mend for fault in faults))
    return TrainerError(f"{path}: {lines}: {named}" + (f"; and {more} more" if more > 0 else ""), mends)


def _rows(path: Path, faults: list[Fault]) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line or row from 1, object); what is not an object is added to `faults`."""
    if not path.is_file():
        raise TrainerError(f"{path} does not exist", "give a task file")
    if not path.name.endswith(ENDINGS):
        raise TrainerError(f"{path} does not end in one of {', '.join(ENDINGS)}", "give JSON lines or Parquet")
    import pyarrow as pa

    try:
        if path.suffix == ".parquet":
            yield from _parquet_rows(path)
            return
        with _opened(path) as file:
            for number, line in enumerate(file.read().split(b"\n"), 1):
                if line.strip():
                    parsed = _parsed(number, line)
                    if isinstance(parsed, Fault):
                        faults.append(parsed)
                    else:
                        yield number, parsed
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        raise TrainerError(f"{path} cannot be read: {' '.join(str(error).split())}", "copy it again in full") from None


def _opened(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path)
    if path.suffix == ".zst":
        import pyarrow as pa

        return pa.input_stream(str(path), compression="zstd")
    return path.open("rb")


def _parquet_rows(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows, without the columns that are null in them."""
    import pyarrow.parquet as pq

    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches():
            for row in batch.to_pylist():
                number += 1
                yield number, {name: value for name, value in row.items() if value is not None}


def _parsed(number: int, line: bytes) -> dict[str, Any] | Fault:
    try:
        row = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        return Fault(number, f"not UTF-8 at byte {error.start}", "encoding")
    except json.JSONDecodeError as error:
        return Fault(number, f"not JSON at character {error.pos}: {error.msg}", "json")
    return row if isinstance(row, dict) else Fault(number, f"no object but {type(row).__name__}", "json")


def _kind_of(row: dict[str, Any]) -> Kind | None:
    return next((kind for kind in KINDS if FIELDS[kind].keys() <= row.keys()), None)


def _fault(line: int, row: dict[str, Any], kind: Kind) -> Fault | None:
    """The first thing wrong with a row of `kind`."""
    missing = [name for name in FIELDS[kind] if name not in row]
    if missing:
        other = _kind_of(row)
        if other:
            return Fault(line, f"the fields of {other}, where {kind} is asked for", "kind")
        return Fault(line, f"no field {missing[0]!r} ({kind})", "fields")
    for name, expected in (FIELDS[kind] | OPTIONAL).items():
        if name in row and not _is(row[name], expected):
            return Fault(line, f"{name} is not {TYPE_NAMES[expected]}", "fields")
    return _empty(line, row, kind) or _gold(line, row)


def _is(value: Any, expected: type) -> bool:
    if expected is list:
        return isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    return isinstance(value, expected) and not isinstance(value, bool)


def _empty(line: int, row: dict[str, Any], kind: Kind) -> Fault | None:
    """An empty text, or one that no UTF-8 can hold, where there must be one."""
    for name, expected in (FIELDS[kind] | OPTIONAL).items():
        if expected is int or name not in row:
            continue
        texts = row[name] if expected is list else [row[name]]
        for at, text in enumerate(texts):
            place = f"{name}[{at}]" if expected is list else name
            if not text.strip() and name in FIELDS[kind]:
                return Fault(line, f"{place} is empty", "empty")
            if any("\ud800" <= character <= "\udfff" for character in text):
                return Fault(line, f"{place} holds half a surrogate pair", "encoding")
    return None


def _gold(line: int, row: dict[str, Any]) -> Fault | None:
    options = row.get("choices", row.get("context_options"))
    if options is None or "gold" not in row:
        return None
    if len(options) < 2:
        return Fault(line, f"{len(options)} to choose from", "gold")
    if not 0 <= row["gold"] < len(options):
        return Fault(line, f"gold is {row['gold']}, outside 0 to {len(options) - 1}", "gold")
    return None


def _example(row: dict[str, Any], kind: Kind) -> Example:
    subject = row.get("category", "").strip()
    if kind == "multiple_choice":
        return Example((row["query"].strip(),), tuple(row["choices"]), row["gold"], subject=subject)
    if kind == "schema":
        return Example(tuple(row["context_options"]), (row["continuation"].strip(),), row["gold"], subject=subject)
    if kind == "code_generation":
        # Indentation is part of code.
        context = (row["context"].rstrip(),)
        return Example(context, (), 0, subject=subject, tests=row["tests"], entry_point=row.get("entry_point", ""))
    context = (row["context"].strip(),)
    if kind == "language_modeling":
        return Example(context, (row["continuation"].strip(),), 0, subject=subject)
    thought = row["chain_of_thought"].strip() if "chain_of_thought" in row else None
    return Example(context, (row["answer"].strip(), *row.get("aliases", ())), 0, thought, subject)

"""Files of standards, domain groups, problems and teachers' verdicts, as published. They are strangers' files.

A problem is a row of MathFish (allenai/mathfish): JSON lines or Parquet. Its `metadata` has fields whose type changes
between rows, such as lesson numbers that are texts or numbers, so that it is kept as JSON and never read as columns.
The files of generated problems and of GSM8K (data/ of the repository) have the same form with three exceptions: dates
of two digits a year, no type, and `standards` of GSM8K, which hold `Answering` and the worked answer.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.lines import bounded_lines, opened
from spark_jobs.input_files import JSONL, input_files
from spark_jobs.language_models.replies import MalformedReply, bounded_json
from spark_jobs.mathfish.curriculum import Curriculum, DomainGroup, curriculum_of

LARGEST_LINE = 8_000_000
LARGEST_FILE = 64_000_000
"""Bytes of a file that is read whole: domain groups and teachers' verdicts."""
MOST_LABELS = 2_000
KINDS = {**JSONL, ".parquet": "parquet"}
PROBLEM_MEND = "give rows of MathFish: id, text, standards (pairs of relation and label), elements, metadata, source"

Row = dict[str, Any]


def json_rows(path: Path, mend: str) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each JSON line, or row of a Parquet file.

    Raises:
        WatershedError: the file cannot be read, or a line is not JSON; the cause names file and line.
    """
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet as pq

            number = 0
            for batch in pq.ParquetFile(path).iter_batches(500):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path}:{number}", row
            return
        with opened(path) as file:
            for number, line in bounded_lines(file, LARGEST_LINE):
                if line is None:
                    raise WatershedError(f"{path}:{number}: a line of more than {LARGEST_LINE:,} bytes", mend)
                try:
                    yield f"{path}:{number}", bounded_json(line)
                except MalformedReply as error:
                    raise WatershedError(f"{path}:{number}: {error}", mend) from None
    except (OSError, ValueError, EOFError) as error:
        raise WatershedError(f"{path} cannot be read: {str(error).splitlines()[0]}", mend) from error


def read_curriculum(path: Path, groups: Sequence[DomainGroup]) -> Curriculum:
    """Read a file of standards in MathFish's schema.

    Raises:
        WatershedError: see `json_rows` and `curriculum.curriculum_of`.
    """
    return curriculum_of(json_rows(path, "give JSON lines in MathFish's schema of standards"), groups)


def read_groups(path: Path) -> tuple[DomainGroup, ...]:
    """Read domain groups: a JSON object from names to `domain_cats` and `description`.

    Raises:
        WatershedError: the file cannot be read, or is not such an object.
    """
    mend = 'write {"Functions": {"domain_cats": ["F"], "description": "..."}, ...}'
    try:
        value = bounded_json(_whole(path, mend))
    except MalformedReply as error:
        raise WatershedError(f"{path}: {error}", mend) from None
    found, seen = [], dict[str, str]()
    for name, entry in value.items() if isinstance(value, dict) else ():
        domains = entry.get("domain_cats") if isinstance(entry, dict) else None
        if not isinstance(domains, list) or not all(isinstance(domain, str) for domain in domains):
            raise WatershedError(f"{path}: {str(name)[:60]!r} has no list domain_cats", mend)
        for domain in domains:
            if seen.setdefault(domain, name) != name:
                raise WatershedError(f"{path}: the domain {domain[:20]!r} is in two groups", mend)
        found.append(DomainGroup(name=name, domains=tuple(domains), description=str(entry.get("description") or "")))
    if not found:
        raise WatershedError(f"{path}: no object of domain groups", mend)
    return tuple(found)


def _whole(path: Path, mend: str) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise WatershedError(f"{path} cannot be read: {error.strerror or error}", mend) from error
    if len(content) > LARGEST_FILE:
        raise WatershedError(f"{path} has more than {LARGEST_FILE:,} bytes", mend)
    return content


def read_problems(places: Sequence[str]) -> Iterator[Row]:
    """Yield the problems of files, folders and patterns: their fields, each of one type.

    Raises:
        WatershedError: a file cannot be read, a row is not a problem, or an id is there twice.
    """
    seen: dict[str, str] = {}
    for file in input_files(places, KINDS):
        collection = re.sub(r"(\.jsonl?|\.ndjson|\.parquet)(\.gz|\.zst)?$", "", file.path.name)
        for number, (place, row) in enumerate(json_rows(file.path, PROBLEM_MEND)):
            problem: Row = {**_problem(place, row), "collection": collection, "row": number}
            if first := seen.get(problem["problem"]):
                raise WatershedError(f"{place}: the id {problem['problem'][:60]!r} is also at {first}", PROBLEM_MEND)
            seen[problem["problem"]] = place
            yield problem


def _problem(place: str, row: Any) -> Row:
    if not isinstance(row, dict):
        raise WatershedError(f"{place}: no JSON object", PROBLEM_MEND)
    problem, body = row.get("id"), row.get("text")
    if isinstance(problem, int) and not isinstance(problem, bool):
        problem = str(problem)
    if not isinstance(problem, str) or not problem or len(problem) > 200 or not problem.isprintable():
        raise WatershedError(f"{place}: id is not a string of 1 to 200 printable characters", PROBLEM_MEND)
    if not isinstance(body, str):
        raise WatershedError(f"{place}: text is not a string", PROBLEM_MEND)
    metadata, elements = (_object(place, name, row.get(name)) for name in ("metadata", "elements"))
    labels, worked = _labels(place, row.get("standards"))
    kind = metadata.get("problem_activity_type")
    return {
        "problem": problem,
        "source": str(row.get("source") or ""),
        "type": kind if isinstance(kind, str) else None,
        "text": _valid(body),
        "elements": _json(elements),
        "metadata": _json(metadata),
        "acquired": _date(row.get("acquisition_date")),
        "answer": _final(worked) if worked else None,
        "labels": labels,
        "images": len(re.findall(r"###IMAGE\d+###", body)),
        "tables": len(re.findall(r"###TABLE\d+###", body)),
    }


def _object(place: str, name: str, value: Any) -> Mapping[str, Any]:
    if isinstance(value, str):
        # Parquet editions hold objects whose types change as JSON texts.
        try:
            value = bounded_json(value) if value else {}
        except MalformedReply as error:
            raise WatershedError(f"{place}: {name}: {error}", PROBLEM_MEND) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise WatershedError(f"{place}: {name} is not an object", PROBLEM_MEND)
    # A Parquet struct has every field of the file; those that the row lacks are null.
    return {key: each for key, each in value.items() if each is not None}


def _labels(place: str, value: Any) -> tuple[list[list[str]], str]:
    """The labels of a row as pairs, and the worked answer of a row of GSM8K."""
    value = [] if value is None else value
    if not isinstance(value, list) or len(value) > MOST_LABELS:
        raise WatershedError(f"{place}: standards is not a list of pairs", PROBLEM_MEND)
    if len(value) == 2 and value[0] == "Answering" and isinstance(value[1], str):
        return [], value[1]
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)):
            raise WatershedError(f"{place}: standards holds {str(pair)[:60]!r}, no pair of texts", PROBLEM_MEND)
    return [[_valid(each) for each in pair] for pair in value], ""


def _final(worked: str) -> str:
    return worked.rsplit("####", 1)[-1].strip()


def _date(value: Any) -> str | None:
    found = re.fullmatch(r"(\d{2}|\d{4})-(\d{2})-(\d{2})", str(value or ""))
    return None if not found else f"{'20' if len(found[1]) == 2 else ''}{found[0]}"


def _json(value: Any) -> str:
    return _valid(json.dumps(value, ensure_ascii=False, sort_keys=True))


def _valid(text: str) -> str:
    """`text` without halves of surrogate pairs, which JSON can express and UTF-8 cannot."""
    return text.encode("utf-8", "backslashreplace").decode()


VERDICT_WORDS = {
    "full-intent alignment": "full",
    "partial alignment": "partial",
    "no alignment": "none",
    "not a math problem": "not_math",
}


def read_teachers(path: Path) -> list[Row]:
    """Read teachers' verdicts of generated problems, the CSV file of the repository.

    Returns:
        Rows with `row`, `text`, `standard` (as written), `verdict` and `explanation`.

    Raises:
        WatershedError: the file cannot be read, lacks a column, or has another verdict.
    """
    mend = "give mathfish_generated_problems_teacher_annotations.csv as published"
    content = _whole(path, mend)
    csv.field_size_limit(LARGEST_LINE)
    try:
        rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise WatershedError(f"{path} cannot be read: {error}", mend) from None
    found = []
    names = ("Problem/Activity Text", "Standard", "Align?", "1-2 Sentence Explanation of Alignment Decision")
    for number, row in enumerate(rows):
        if lacking := [name for name in names if not isinstance(row.get(name), str)]:
            raise WatershedError(f"{path}: row {number + 1} has no {lacking[0]!r}", mend)
        body, standard, verdict, explanation = (row[name] for name in names)
        if (word := VERDICT_WORDS.get(verdict.strip().lower())) is None:
            raise WatershedError(f"{path}: row {number + 1} has the verdict {verdict[:40]!r}", mend)
        found.append(
            {"row": number, "text": body, "standard": standard.strip(), "verdict": word, "explanation": explanation}
        )
    return found

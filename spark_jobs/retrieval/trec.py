"""Files of TREC: judgements (`query 0 document grade`) and runs (`query Q0 document rank score tag`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from catalog.errors import WatershedError

Value = TypeVar("Value", int, float)
Judgements = dict[str, dict[str, int]]
"""The grade of each judged document of each query."""
Run = dict[str, dict[str, float]]
"""The score of each retrieved document of each query."""
LONGEST_LINE = 1 << 20


def read_judgements(path: Path) -> Judgements:
    """Read a file of judgements, of whitespace-separated columns. Empty lines are left out.

    Raises:
        WatershedError: a line is malformed, or a document is judged twice for a query; the message names the line.
    """
    return _read(path, 4, 3, _grade, "query 0 document grade")


def read_run(path: Path) -> Run:
    """Read a run. The column of ranks is not used: trec_eval ranks by the scores alone.

    Raises:
        WatershedError: a line is malformed, a score is not finite, or a document stands twice for a query.
    """
    return _read(path, 6, 4, _score, "query Q0 document rank score tag")


def _read(path: Path, columns: int, value: int, read: Callable[[str], Value], form: str) -> dict[str, dict[str, Value]]:
    found: dict[str, dict[str, Value]] = {}
    for number, line in _lines(path):
        pieces = line.split()
        place, mend = f"{path}:{number}", f"write lines of the form `{form}`"
        if len(pieces) != columns:
            raise WatershedError(f"{place}: {len(pieces)} columns, not {columns}", mend)
        query, document = pieces[0], pieces[2]
        try:
            value_read = read(pieces[value])
        except ValueError as error:
            raise WatershedError(
                f"{place}: {error} for the document {document!r} of the query {query!r}", mend
            ) from None
        of_query = found.setdefault(query, {})
        if document in of_query:
            raise WatershedError(
                f"{place}: the document {document!r} stands twice for the query {query!r}", "keep one line for each"
            )
        of_query[document] = value_read
    return found


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                try:
                    text = line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError:
                    raise WatershedError(f"{path}:{number}: it is not UTF-8", "write the file as UTF-8") from None
                if text.strip():
                    yield number, text
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror or error}", "give a file that exists") from None


def _grade(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"the grade {text[:40]!r} is not a whole number") from None


def _score(text: str) -> float:
    try:
        score = float(text)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"the score {text[:40]!r} is not a finite number")
    return score

"""Answers of models to questions, from files or from the lake, as pairs to choose from."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from catalog.errors import WatershedError
from catalog.settings import Settings

LONGEST_LINE = 4 << 20
"""Bytes of a line of a file."""
MOST_ANSWERS = 200_000
LONGEST = {"question": 20_000, "model": 200, "answer": 200_000, "source": 500}
"""Characters of each field."""
FORM = 'write {"question": "...", "model": "...", "answer": "..."} in each line, and maybe "source"'
SELECT = "SELECT question, model, text AS answer, answer AS source FROM scholar.answers WHERE status = 'answered'"


@dataclass(frozen=True)
class Given:
    """An answer of a model to a question."""

    question: str
    model: str
    answer: str
    source: str

    @cached_property
    def digest(self) -> str:
        """Hex SHA-256 of the answer."""
        return hashlib.sha256(self.answer.encode()).hexdigest()


@dataclass(frozen=True)
class Pair:
    """Two answers of different models to a question."""

    one: Given
    other: Given

    @property
    def question(self) -> str:
        """The question of both."""
        return self.one.question

    @cached_property
    def id(self) -> str:
        """32 hex digits of the question and of both models and answers."""
        sides = [[each.model, each.digest] for each in (self.one, self.other)]
        return hashlib.sha256(json.dumps([self.question, *sides]).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Pairs:
    """The pairs of some answers, in one order for all raters, and how many were left out."""

    pairs: Sequence[Pair]
    same: int
    """Pairs of answers with the same text, which nobody can choose between."""


def file_answers(paths: Iterable[Path]) -> list[Given]:
    """Read answers from files of JSON lines with the fields question, model and answer, and maybe source.

    Raises:
        WatershedError: a file cannot be read, or a line is not such an object. The error names the line.
    """
    from catalog.lines import bounded_lines, opened
    from spark_jobs.language_models.replies import MalformedReply, bounded_json

    found: list[Given] = []
    for path in paths:
        try:
            with opened(path) as file:
                for number, line in bounded_lines(file, LONGEST_LINE):
                    place = f"{path.name}, line {number}"
                    if line is None:
                        raise WatershedError(f"{place} has more than {LONGEST_LINE >> 20} MiB", "shorten it")
                    row = bounded_json(line)
                    if not isinstance(row, dict):
                        raise WatershedError(f"{place} is not a JSON object", FORM)
                    found.append(_given(row, place, FORM))
                    _bound(found)
        except MalformedReply as error:
            raise WatershedError(f"{path.name}, line {number}: {error}", FORM) from None
        except (OSError, EOFError) as error:
            cause = getattr(error, "strerror", None) or error
            raise WatershedError(f"{path}: {cause}", "give a file of JSON lines that exists") from None
    return found


def lake_answers(settings: Settings, sql: str) -> list[Given]:
    """Return the answers that a query over the lake selects as question, model, answer, and maybe source.

    Rows in which one of the three is NULL are left out.

    Raises:
        WatershedError: the query fails, or it lacks a column.
    """
    from catalog.sql.query import connect, explained, query

    mend = f'select these columns, as in --sql "{SELECT}"'
    with connect(settings) as connection:
        relation = query(connection, sql)
        names = relation.columns if relation is not None else []
        if missing := [name for name in ("question", "model", "answer") if name not in names]:
            raise WatershedError(f"the query has no column {missing[0]!r}", mend)
        assert relation is not None
        with explained(connection, sql):
            rows = relation.limit(MOST_ANSWERS + 1).fetchall()
    found = [
        _given(row, f"row {number} of the query", mend)
        for number, values in enumerate(rows, start=1)
        if None not in map((row := dict(zip(names, values, strict=True))).get, ("question", "model", "answer"))
    ]
    _bound(found)
    return found


def _given(row: Mapping[str, Any], place: str, mend: str) -> Given:
    from spark_jobs.language_models.replies import sound_text

    fields = {"source": place, **{name: row[name] for name in LONGEST if row.get(name) is not None}}
    for name, longest in LONGEST.items():
        value = fields.get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > longest:
            raise WatershedError(f"{place}: {name} is not a text of 1 to {longest:,} characters", mend)
    # Two files may differ in the white space around a question.
    return Given(
        question=sound_text(fields["question"]).strip(),
        model=sound_text(fields["model"]).strip(),
        answer=sound_text(fields["answer"]).strip(),
        source=sound_text(fields["source"]).strip(),
    )


def _bound(found: Sequence[Given]) -> None:
    if len(found) > MOST_ANSWERS:
        raise WatershedError(f"there are more than {MOST_ANSWERS:,} answers", "give fewer")


def pairs_of(answers: Sequence[Given]) -> Pairs:
    """Pair the answers of every two models to the same question.

    If models answered a question several times, the first answer of one is paired with the first of the other, the
    second with the second, and so on. The order is that of a digest: no model and no question comes first.

    Raises:
        WatershedError: no question has different answers of two models.

    Example:
        >>> found = pairs_of([Given("Why?", "a", "So.", "1"), Given("Why?", "b", "Because.", "2")])
        >>> [(pair.one.model, pair.other.model) for pair in found.pairs]
        [('a', 'b')]
    """
    of_question: dict[str, dict[str, dict[str, Given]]] = defaultdict(lambda: defaultdict(dict))
    for each in answers:
        of_question[each.question][each.model].setdefault(each.digest, each)
    pairs: list[Pair] = []
    same = 0
    for of_model in of_question.values():
        for one, other in combinations(sorted(of_model), 2):
            both = zip(of_model[one].values(), of_model[other].values(), strict=False)
            for pair in (Pair(*sides) for sides in both):
                if pair.one.digest == pair.other.digest:
                    same += 1
                else:
                    pairs.append(pair)
    if not pairs:
        raise WatershedError(
            f"no question of the {len(answers):,} answers has different answers of two models",
            "give answers of two models to the same questions",
        )
    return Pairs(sorted(pairs, key=lambda pair: pair.id), same)

"""Answers that were recorded before: a list of them, and each as one object, read from the tables `scholar.*`."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from catalog.lake import Lake
from catalog.reads import not_recorded
from catalog.tables.scholar import ANSWERS, CITATIONS, REFERENCES, WITHDRAWALS
from spark_jobs.compute import pc
from spark_jobs.scholar.candidates import Passage

Passages = Callable[[Iterable[str]], Mapping[str, Passage]]
"""Returns stored passages by id; those that are no longer stored are missing."""


@dataclass(frozen=True, kw_only=True)
class Earlier:
    """A line of the list of answers; the fields are columns of `scholar.answers`."""

    answer: str
    question: str
    asked_at: datetime.datetime
    model: str | None
    status: str


@not_recorded()
def earlier_answers(lake: Lake, count: int, skip: int = 0) -> tuple[list[Earlier], int]:
    """Return answers, the newest first, and how many there are in all.

    Args:
        lake: the lake.
        count: answers to return at most.
        skip: newer answers that are left out.
    """
    if not lake.exists(ANSWERS.name):
        return [], 0
    names = ["answer", "question", "asked_at", "model", "status"]
    found = lake.read(ANSWERS.name, names).sort_by([("asked_at", "descending"), ("answer", "ascending")])
    return [Earlier(**row) for row in found.slice(skip, count).to_pylist()], found.num_rows


@not_recorded()
def recorded_answer(lake: Lake, name: str, passages: Passages) -> dict[str, Any] | None:
    """Return an answer as `records.as_json` has it, but for its quotations and its row for scoring; None if unknown.

    A reference has its passage in `text`, which is None if the datastore no longer has it, and `withdrawn`: how its
    paper was withdrawn since, such as "retracted"; None if it was not.

    Args:
        lake: the lake.
        name: the id of the answer.
        passages: the datastore's `Datastore.passages`.

    Raises:
        WatershedError: a stored passage differs from its digest.
    """
    if not lake.exists(ANSWERS.name):
        return None
    rows = _rows(lake, ANSWERS.name, "answer", [name])
    if not rows:
        return None
    (row,) = rows
    support = [each["support"] for each in _rows(lake, CITATIONS.name, "answer", [name])]
    references = sorted(_rows(lake, REFERENCES.name, "answer", [name]), key=lambda each: each["number"])
    stored = passages([each["passage"] for each in references])
    withdrawn = _withdrawn(lake, [each["paper"] for each in references])
    counted = ("supported", "not_supported", "not_cited", "not_checked")
    names = ("answer", "question", "asked_at", "status", "model", "text", "failure", "quotations_removed")
    return {
        **{each: row[each] for each in names},
        **{each: support.count(each) for each in counted},
        "references": [_reference(each, stored.get(each["passage"]), withdrawn) for each in references],
    }


def _reference(row: Mapping[str, Any], passage: Passage | None, withdrawn: Mapping[str, str]) -> dict[str, Any]:
    names = ("number", "title", "passage", "paper", "version", "span", "digest", "quotation", "quoted")
    how = withdrawn.get(row["paper"])
    return {
        **{name: row[name] for name in names},
        "year": passage.year if passage else None,
        "url": passage.url if passage else None,
        "text": passage.text if passage else None,
        "withdrawn": how or ("retracted" if passage and passage.retracted else None),
    }


def _withdrawn(lake: Lake, papers: Sequence[str]) -> dict[str, str]:
    """Return how papers were withdrawn; one that was both retracted and forgotten is forgotten."""
    if not lake.exists(WITHDRAWALS.name):
        return {}
    kinds = [(each["kind"], each["paper"]) for each in _rows(lake, WITHDRAWALS.name, "paper", papers)]
    return {paper: kind for kind, paper in sorted(kinds, reverse=True)}


def _rows(lake: Lake, table: str, column: str, values: Sequence[str]) -> list[dict[str, Any]]:
    dataset = lake.table(table).to_pyarrow_dataset()
    return dataset.to_table(filter=pc.is_in(pc.field(column), pa.array(values, pa.string()))).to_pylist()

"""Papers that are withdrawn: retracted ones that no answer uses any more, and forgotten ones that are deleted."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.tables.scholar import ANSWER_TABLES, PAPERS, PASSAGES, REFERENCES, TRAINING, WITHDRAWALS
from spark_jobs.compute import pc
from spark_jobs.scholar.datastore import Datastore


@dataclass(frozen=True)
class Withdrawn:
    """What a withdrawal met."""

    passages: int
    """Passages that were deleted from the indexes."""
    answers: int
    """Answers that cite the paper."""
    training: int
    """Training rows that rest on it."""


def withdraw(lake: Lake, store: Datastore | None, paper: str, kind: str, reason: str) -> Withdrawn:
    """Record that a paper is retracted or to be forgotten, and stop answers from using it.

    The tables of the datastore leave a forgotten paper out when they are made the next time. Answers and training rows
    stay, and the view `scholar.affected` lists those that rest on the paper.

    Args:
        lake: the lake.
        store: the datastore; None if nothing is indexed.
        paper: the id of the paper.
        kind: `retracted` or `forgotten`.
        reason: why, for the record.

    Raises:
        WatershedError: neither the datastore nor an answer knows the paper.
    """
    for contract in (*ANSWER_TABLES, TRAINING, WITHDRAWALS):
        lake.create(contract)
    cited = lake.table(REFERENCES.name).to_pyarrow_dataset().to_table(["answer", "paper"], filter=_is(paper))
    known = lake.exists(PAPERS.name) and lake.table(PAPERS.name).to_pyarrow_dataset().count_rows(filter=_is(paper))
    if not known and not cited.num_rows:
        raise WatershedError(
            f"no paper is called {paper!r}", 'find its id by `watershed sql "SELECT paper, title FROM scholar.papers"`'
        )
    row = {"paper": paper, "kind": kind, "reason": reason, "at": datetime.datetime.now(datetime.UTC)}
    before = lake.read(WITHDRAWALS.name, ["paper", "kind"]).to_pylist()
    if {"paper": paper, "kind": kind} not in before:
        rows = pa.Table.from_pylist([row], schema=WITHDRAWALS.schema)
        lake.append(WITHDRAWALS, rows, fingerprint(WITHDRAWALS.name, [paper, kind]))
    removed = 0
    if store is not None:
        inside = lake.table(PASSAGES.name).to_pyarrow_dataset().to_table(["passage"], filter=_is(paper))
        removed = store.withdraw(paper, inside["passage"].to_pylist(), kind)
    training = lake.read(TRAINING.name, ["papers"])["papers"].to_pylist()
    return Withdrawn(removed, len(cited["answer"].unique()), sum(paper in papers for papers in training))


def _is(paper: str) -> pc.Expression:
    return pc.field("paper") == paper

"""Papers that are withdrawn: retracted ones that no answer uses any more, and forgotten ones that are deleted."""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.lineage.removal.orders import Removals, digest_of
from catalog.tables.scholar import ANSWER_TABLES, PAPERS, PASSAGES, REFERENCES, TRAINING, WITHDRAWALS
from spark_jobs.compute import pc
from spark_jobs.retrieval.bm25 import DiskBm25
from spark_jobs.retrieval.index import VectorIndex
from spark_jobs.scholar.datastore import VECTORS, WORDS, Datastore
from spark_jobs.scholar.indexing import forget_known, index_folder

PAPER = f"{PAPERS.name}.paper"


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

    What is forgotten is then removed from the tables by `catalog.lineage.removal`. Answers and training rows stay, and
    the view `scholar.affected` lists those that rest on the paper.

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
    record_withdrawal(lake, paper, kind, reason)
    removed = 0
    if store is not None:
        inside = lake.table(PASSAGES.name).to_pyarrow_dataset().to_table(["passage"], filter=_is(paper))
        removed = store.withdraw(paper, inside["passage"].to_pylist(), kind)
    training = lake.read(TRAINING.name, ["papers"])["papers"].to_pylist()
    return Withdrawn(removed, len(cited["answer"].unique()), sum(paper in papers for papers in training))


def record_withdrawal(lake: Lake, paper: str, kind: str, reason: str) -> None:
    """Record in scholar.withdrawals that a paper is retracted or to be forgotten."""
    lake.create(WITHDRAWALS)
    row = {"paper": paper, "kind": kind, "reason": reason, "at": datetime.datetime.now(datetime.UTC)}
    if {"paper": paper, "kind": kind} not in lake.read(WITHDRAWALS.name, ["paper", "kind"]).to_pylist():
        rows = pa.Table.from_pylist([row], schema=WITHDRAWALS.schema)
        lake.append(WITHDRAWALS, rows, fingerprint(WITHDRAWALS.name, [paper, kind]))


def _is(paper: str) -> pc.Expression:
    return pc.field("paper") == paper


class Indexes:
    """The indexes of passages, for `catalog.lineage.removal`."""

    def held(self, lake: Lake, removals: Removals) -> list[str]:
        """Return how many passages of the indexes are to be forgotten."""
        folder = index_folder(lake)
        if not removals.concern(PASSAGES) or not (folder / VECTORS).is_dir():
            return []
        found = []
        if named := _indexed(folder, removals):
            found.append(f"{lake.relative(folder)}: {len(named):,} passages in the indexes of vectors and words")
        stale = DiskBm25(folder / WORDS).deleted
        if named or stale:
            found += [f"{lake.relative(folder / WORDS)}: {stale:,} deleted passages are on the disk"] if stale else []
        return found

    def remove(self, lake: Lake, removals: Removals) -> None:
        """Delete the passages from both indexes, so that no search finds them from now on."""
        folder = index_folder(lake)
        if not removals.concern(PASSAGES) or not (folder / VECTORS).is_dir():
            return
        named = _indexed(folder, removals)
        vectors = VectorIndex(folder / VECTORS)
        DiskBm25(folder / WORDS).change(delete=named)
        vectors.delete(named)
        # Both indexes only mark what is deleted.
        vectors.optimise()
        forget_known(folder, lambda paper: digest_of(PAPER, paper) in removals.keys.get(PAPER, ()))

    def remove_after_tables(self, lake: Lake, removals: Removals) -> None:
        """Write the index of words again without the passages, whose text is in its files until then."""
        folder = index_folder(lake)
        if removals.concern(PASSAGES) and (folder / VECTORS).is_dir() and DiskBm25(folder / WORDS).deleted:
            DiskBm25(folder / WORDS).merge(_title_and_text)

    def advice(self, lake: Lake, connection: Any, keys: Mapping[str, Sequence[str]]) -> list[str]:
        """Return how many answers and training rows rest on the papers."""
        papers = set(keys.get(PAPER, ()))
        if not papers or not lake.exists(REFERENCES.name):
            return []
        cited = lake.read(REFERENCES.name, ["answer", "paper"]).to_pylist()
        answers = {row["answer"] for row in cited if row["paper"] in papers}
        return [f"{len(answers):,} answers rest on them and stay; see scholar.affected"] if answers else []


def _title_and_text(stored: str) -> tuple[str, str]:
    """The words that are searched, from what `datastore.documents` stores with a passage."""
    row = json.loads(stored)
    return row["title"] or "", row["text"]


def _indexed(folder: Path, removals: Removals) -> list[str]:
    """The passages of the index that are to be forgotten."""
    identity = f"{PASSAGES.name}.passage"
    digests = removals.keys.get(identity, frozenset())
    ids = (
        row.tobytes().hex()
        for each in VectorIndex(folder / VECTORS).segments
        for part, _ in each.living()
        for row in part
    )
    return [passage for passage in ids if digest_of(identity, passage) in digests]

"""Counts how much of each evaluation is found in documents."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from spark_jobs.contamination.index import Index

REPORT = pa.schema(
    [
        ("evaluation", pa.string()),
        ("examples", pa.int64()),
        ("examples_not_searched", pa.int64()),
        ("examples_overlapping", pa.int64()),
        ("examples_hit", pa.int64()),
        ("share_hit", pa.float64()),
        ("documents_overlapping", pa.int64()),
        ("documents_to_drop", pa.int64()),
        ("example_id", pa.string()),
        ("document_id", pa.string()),
        ("found", pa.string()),
    ]
)
"""A row for each evaluation. It counts the examples: all, those that cannot be found, those with a reported match, and
those of which a document holds enough (also as a share). It counts documents with a reported match, and those that are
contaminated. It names the example with the largest share, its document, and what the document has of it."""
SHOWN = 20
"""Matches of an evaluation that are kept with their surroundings: those with the largest shares."""


@dataclass
class ContaminationReport:
    """Counts of what was found so far, independent of the order of documents."""

    index: Index
    _overlapping: set[int] = field(default_factory=set)
    _hit: set[int] = field(default_factory=set)
    _documents: dict[str, list[int]] = field(default_factory=dict)
    _largest: dict[str, list[_Shown]] = field(default_factory=dict)

    def add(self, document: str, matches: Sequence[tuple[int, bool]], rows: Sequence[Mapping[str, Any]]) -> bool:
        """Count a document and return whether it is contaminated.

        Args:
            document: its id.
            matches: the examples that it holds, each with whether it holds enough of it.
            rows: a MATCH for each of them.
        """
        seen: dict[str, bool] = {}
        for (example, hit), row in zip(matches, rows, strict=True):
            seen[row["evaluation"]] = seen.get(row["evaluation"], False) or hit
            self._overlapping.add(example)
            if hit:
                self._hit.add(example)
            shown = self._largest.setdefault(row["evaluation"], [])
            heapq.heappush(shown, _Shown(document, hit, row))
            if len(shown) > SHOWN:
                heapq.heappop(shown)
        for evaluation, hit in seen.items():
            counts = self._documents.setdefault(evaluation, [0, 0])
            counts[0] += 1
            counts[1] += hit
        return any(seen.values())

    def shown(self, evaluation: str) -> list[tuple[str, bool, Mapping[str, Any]]]:
        """The matches with the largest shares: document, whether it is contaminated by it, and a MATCH."""
        ordered = sorted(self._largest.get(evaluation, []), reverse=True)
        return [(each.document, each.hit, each.row) for each in ordered]

    def table(self) -> pa.Table:
        """A row for each evaluation, in the columns of REPORT."""
        rows = []
        for number, name in enumerate(self.index.evaluations):
            own = np.flatnonzero(self.index.evaluation == number).tolist()
            overlapping, to_drop = self._documents.get(name, [0, 0])
            hit = sum(example in self._hit for example in own)
            largest = next(iter(self.shown(name)), None)
            rows.append(
                {
                    "evaluation": name,
                    "examples": len(own),
                    "examples_not_searched": len(own) - int(self.index.found[own].sum()),
                    "examples_overlapping": sum(example in self._overlapping for example in own),
                    "examples_hit": hit,
                    "share_hit": hit / len(own),
                    "documents_overlapping": overlapping,
                    "documents_to_drop": to_drop,
                    "example_id": largest[2]["example_id"] if largest else None,
                    "document_id": largest[0] if largest else None,
                    "found": largest[2]["found"] if largest else None,
                }
            )
        return pa.Table.from_pylist(rows, schema=REPORT)


@dataclass(frozen=True)
class _Shown:
    """A match. The greater is shown before the lesser: by share, then by the least example and document."""

    document: str
    hit: bool
    row: Mapping[str, Any]

    def __lt__(self, other: _Shown) -> bool:
        mine, others = (self.hit, self.row["share"]), (other.hit, other.row["share"])
        if mine != others:
            return mine < others
        return (self.row["example_id"], self.document) > (other.row["example_id"], other.document)

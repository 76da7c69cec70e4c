"""Finds evaluation examples in the kept documents: which ones, how much of them, and where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spark_jobs.contamination.examples import example_batches
from spark_jobs.contamination.fields import all_text, parts_of
from spark_jobs.contamination.index import Index, build_index
from spark_jobs.contamination.report import ContaminationReport
from spark_jobs.contamination.rules import Decontamination
from spark_jobs.contamination.search import MATCH, find_contamination
from spark_jobs.curate.stage import Stage

CONTAMINATED = pa.schema([("id", pa.string()), ("matches", pa.list_(MATCH))])
"""Dropped documents, and the examples that they hold."""


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """The evaluation examples that were found, and the documents that remain."""

    rule: str
    report: pa.Table
    """A row for each evaluation, in the columns of `contamination.report.REPORT`."""
    shown: Mapping[str, Sequence[tuple[str, bool, Mapping[str, Any]]]]
    """For each evaluation its largest matches: document, whether it is dropped for it, and a MATCH."""
    dropped: int
    warnings: tuple[str, ...]
    left: Stage


def read_examples(evaluations: Sequence[Path], options: Decontamination) -> tuple[Index, tuple[str, ...]]:
    """Index evaluation files, and say what of them is not compared or cannot be found.

    Raises:
        WatershedError: a file has no examples, or no example can be found.
    """
    notes: list[str] = []
    index = build_index(example_batches(evaluations, parts_of if options.fields else all_text, notes), options)
    return index, (*notes, *index.cannot_be_found())


def find_examples(stage: Stage, index: Index, notes: Sequence[str], work: Path) -> Contamination:
    """Drop documents that hold evaluation examples; writes contamination.parquet and contaminated.parquet into `work`.

    Args:
        stage: documents that are kept so far.
        index: the examples.
        notes: what of them is not compared, or cannot be found.
        work: the folder of the files.
    """
    report = ContaminationReport(index)
    table = pa.Table.from_batches(_contaminated(stage, index, report), CONTAMINATED)
    pq.write_table(table, work / "contaminated.parquet", compression="zstd")
    pq.write_table(report.table(), work / "contamination.parquet", compression="zstd")
    return Contamination(
        rule=index.options.rule,
        report=report.table(),
        shown={name: report.shown(name) for name in index.evaluations},
        dropped=len(table),
        warnings=tuple(notes),
        left=stage.less(table["id"]),
    )


def _contaminated(stage: Stage, index: Index, report: ContaminationReport) -> Iterator[pa.RecordBatch]:
    for found in find_contamination(stage.batches(["id", "text"]), index, report):
        rows = found.filter(found.column("contaminated"))
        yield pa.RecordBatch.from_arrays([rows.column("id"), rows.column("matches")], schema=CONTAMINATED)


def held_share(contamination: Contamination) -> list[tuple[str, int, int, int, float]]:
    """For each evaluation: name, examples, those that cannot be found, those found, their share; the largest first."""
    table = contamination.report.sort_by([("share_hit", "descending"), ("evaluation", "ascending")])
    names = ("evaluation", "examples", "examples_not_searched", "examples_hit", "share_hit")
    return list(zip(*(table[name].to_pylist() for name in names), strict=True))

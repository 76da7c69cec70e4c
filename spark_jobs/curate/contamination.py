"""Finds evaluation examples in the kept documents: which ones, how much of them, and where."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from spark_jobs.contamination.examples import example_batches
from spark_jobs.contamination.ngrams import (
    MATCH,
    ContaminationReport,
    Decontamination,
    Examples,
    NothingToLookFor,
    evaluation_examples,
    find_contamination,
)
from spark_jobs.curate.stage import Stage

CONTAMINATED = pa.schema([("id", pa.string()), ("matches", pa.list_(MATCH))])
"""Dropped documents, and the examples that they overlap with."""


@dataclass(frozen=True, kw_only=True)
class Contamination:
    """The evaluation examples that were found, and the documents that remain."""

    report: pa.Table
    """A row for each evaluation, in the columns of `contamination.ngrams.REPORT`."""
    dropped: int
    warnings: tuple[str, ...]
    left: Stage


def find_examples(stage: Stage, evaluations: Sequence[Path], options: Decontamination, work: Path) -> Contamination:
    """Drop documents that hold evaluation examples; writes contamination.parquet and contaminated.parquet into `work`.

    Args:
        stage: documents that are kept so far.
        evaluations: JSONL files; each is an evaluation named after the file, and each line an example.
        options: how long an n-gram is, and how much of an example makes a document contaminated.

    Raises:
        WatershedError: a file has no examples, or no example is as long as an n-gram.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NothingToLookFor)
        examples = evaluation_examples(example_batches(evaluations), options)
    report = ContaminationReport(examples)
    rows = list(_contaminated(stage, examples, report))
    table = pa.Table.from_batches(rows, CONTAMINATED)
    pq.write_table(table, work / "contaminated.parquet", compression="zstd")
    pq.write_table(report.table(), work / "contamination.parquet", compression="zstd")
    return Contamination(
        report=report.table(),
        dropped=len(table),
        warnings=tuple(str(each.message) for each in caught if issubclass(each.category, NothingToLookFor)),
        left=stage.less(table["id"]),
    )


def _contaminated(stage: Stage, examples: Examples, report: ContaminationReport) -> Iterator[pa.RecordBatch]:
    for found in find_contamination(stage.batches(["id", "text"]), examples, report):
        rows = found.filter(found.column("contaminated"))
        yield pa.RecordBatch.from_arrays([rows.column("id"), rows.column("matches")], schema=CONTAMINATED)


def held_share(contamination: Contamination) -> list[tuple[str, int, int, float]]:
    """For each evaluation: name, examples, examples found, and their share; the largest share first."""
    table = contamination.report.sort_by([("share_hit", "descending"), ("evaluation", "ascending")])
    columns = (table[name].to_pylist() for name in ("evaluation", "examples", "examples_hit", "share_hit"))
    return list(zip(*columns, strict=True))

"""Evaluation examples in the documents of a mixture, by the engine of decontamination."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from catalog.errors import WatershedError
from spark_jobs.contamination.examples import example_batches
from spark_jobs.contamination.fields import all_text, parts_of
from spark_jobs.contamination.index import build_index
from spark_jobs.contamination.report import ContaminationReport
from spark_jobs.contamination.rules import RULES
from spark_jobs.contamination.search import find_contamination
from spark_jobs.mixtures.candidates import Candidates, Fate

REPORTED = ("examples", "examples_not_searched", "examples_overlapping", "examples_hit", "share_hit")
DOCUMENTS = ("documents_overlapping", "documents_to_drop")


def evaluation_files(folder: Path) -> list[Path]:
    """The JSONL files of evaluations in a folder.

    Raises:
        WatershedError: the folder holds none.
    """
    if not (found := sorted(folder.glob("*.jsonl"))):
        raise WatershedError(f"{folder} holds no JSONL file", "put one there for each evaluation, or leave it out")
    return found


def drop_examples(
    sources: Sequence[Candidates], files: Sequence[Path], rule: str
) -> tuple[list[dict[str, Any]], list[str]]:
    """Drop the documents that hold enough of an evaluation example.

    Args:
        sources: the candidates of all sources.
        files: JSONL files, one an evaluation; none to drop nothing.
        rule: a name of `spark_jobs.contamination.rules.RULES`.

    Returns:
        A row for each evaluation, in the columns of `mixture.NAME_contamination`; and what of the evaluations is not
        compared or cannot be found, in words.

    Raises:
        WatershedError: a file has no examples, or none can be found.
    """
    if not files:
        return [], []
    options, notes = RULES[rule], list[str]()
    index = build_index(example_batches(files, parts_of if options.fields else all_text, notes), options)
    report = ContaminationReport(index)
    for source in sources:
        for places, batch in source.batches(["doc_id", "text"], source.left):
            (found,) = find_contamination([batch.rename_columns(["id", "text"])], index, report)
            hits = np.flatnonzero(found.column("contaminated").to_numpy(zero_copy_only=False))
            source.fate[places[hits]] = Fate.CONTAMINATED
            for hit in hits.tolist():
                largest = max(found.column("matches")[hit].as_py(), key=lambda match: match["share"])
                source.details[int(places[hit])] = f"{largest['evaluation']} {largest['example_id']}"
    table = report.table().select(["evaluation", *REPORTED, *DOCUMENTS])
    return [{**row, "rule": rule} for row in table.to_pylist()], [*notes, *index.cannot_be_found()]

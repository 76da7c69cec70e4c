"""The import of an evaluation's answers from its folder into the table evals.answers."""

from __future__ import annotations

import json
from pathlib import Path

from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables.evals import ANSWERS

VERSION = "1"
"""Changed by hand when the code changes such that the same answers give other rows."""


def store_answers(settings: Settings, folder: Path) -> int:
    """Replace the model's rows of evals.answers by those of `folder`/results.parquet, in one transaction.

    Returns:
        The number of rows written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    answers = pq.read_table(folder / "results.parquet")
    weights = pa.array([summary["model_digest"]] * answers.num_rows, pa.string())
    rows = answers.append_column("model_digest", weights).select(ANSWERS.schema.names)
    tasks = {entry["task"]: entry["prompts"] for entry in summary["tasks"]}
    made = fingerprint("answers", VERSION, summary["model_digest"], summary["version"], tasks)
    Lake.of(settings).replace(ANSWERS, rows, made, {"model": summary["model"]})
    return rows.num_rows

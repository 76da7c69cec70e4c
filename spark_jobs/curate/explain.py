"""Explains one document step by step: what each edit removed from it, and how each rule judges it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from spark_jobs.compute import pc
from spark_jobs.curate.inputs import Source, read_batches
from spark_jobs.curate.parts import judge
from spark_jobs.edits import EDITS
from spark_jobs.recipes.recipe import EditStep, Recipe, Rule
from spark_jobs.recipes.steps import Measurement, measure

SHOWN_LINES = 8
"""Most lines shown of what an edit changed."""
LINE_WIDTH = 100


def explain_document(sources: Sequence[Source], recipe: Recipe, doc_id: str, out: Path) -> Iterator[str]:
    """Lines of text that explain the outcome of a document.

    Args:
        out: folder of an earlier run; its duplicates.parquet and scores.parquet are used if they exist.

    Raises:
        WatershedError: no input holds the document.
    """
    source, batch = _find(sources, doc_id)
    columns = {name: batch.column(name) for name in batch.schema.names}
    measured = measure(columns, recipe)
    broken = {each["rule"]: each for each in judge(batch, measured, recipe).broken[0].as_py()}
    url = batch.column("url")[0].as_py()
    yield f"document {doc_id}" + (f"  {url}" if url else "") + f"  in {source.path}"
    yield f"state {batch.column('state')[0].as_py()}" + _reason(batch)
    text = columns["text"]
    for number, step in enumerate(recipe.steps, start=1):
        if isinstance(step, EditStep):
            edited = EDITS[step.edit].apply(text, **step.options)
            yield from _edited(number, step, text, edited, step.rule in broken)
            text = edited
        else:
            yield _judged(number, step, measured, step.name in broken)
    first = next(iter(broken), None)
    yield f"verdict: dropped, breaks {len(broken)} rules, {first} first" if broken else "verdict: kept by every rule"
    yield from _copies(out, doc_id)
    yield from _selected(out, doc_id)


def _find(sources: Sequence[Source], doc_id: str) -> tuple[Source, pa.RecordBatch]:
    for source in sources:
        for batch in read_batches(source):
            found = batch.filter(pc.equal(batch.column("id"), doc_id))
            if found.num_rows:
                return source, found.slice(0, 1)
    raise WatershedError(f"no document is called {doc_id!r}", "take an id from verdicts.parquet, of the same inputs")


def _reason(batch: pa.RecordBatch) -> str:
    reason = batch.column("reason")[0].as_py()
    return f": {reason}" if reason else ""


def _edited(number: int, step: EditStep, before: pa.Array, after: pa.Array, emptied: bool) -> Iterator[str]:
    old, new = before[0].as_py() or "", after[0].as_py() or ""
    sizes = f"{len(old.encode()):,} -> {len(new.encode()):,} bytes" if old != new else "changes nothing"
    yield f"{number:3} edit {step.edit:<42} {sizes}{'   NOTHING LEFT' if emptied else ''}"
    changes = difflib.unified_diff(old.splitlines(), new.splitlines(), lineterm="", n=0)
    shown = [line for line in changes if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    for line in shown[:SHOWN_LINES]:
        yield f"      {line[:LINE_WIDTH]}"
    if len(shown) > SHOWN_LINES:
        yield f"      ... {len(shown) - SHOWN_LINES:,} more lines"


def _judged(number: int, rule: Rule, measured: Measurement, broken: bool) -> str:
    value = measured.values[rule.column][0].as_py()
    shown = "-" if value is None else value if isinstance(value, str) else f"{value:.6g}"
    threshold = rule.threshold
    if isinstance(threshold, tuple):
        against = " ".join(str(each) for each in threshold)
    else:
        against = threshold if isinstance(threshold, str) else f"{threshold:g}"
    return f"{number:3} rule {rule.name:<42} {shown:>12}  kept {rule.keep} {against:<10} {'BROKEN' if broken else 'ok'}"


def _copies(out: Path, doc_id: str) -> Iterator[str]:
    path = out / "duplicates.parquet"
    if not path.is_file():
        return
    for row in pq.read_table(path, filters=pc.equal(pc.field("id"), doc_id)).to_pylist():
        yield f"copies: {row['method']}, {'kept' if row['kept'] else 'dropped'}: {row['reason']}{_kept_copy(row)}"


def _kept_copy(row: Mapping[str, Any]) -> str:
    if row["kept"] or row["kept_id"] is None:
        return ""
    # Results of earlier versions lack these columns.
    run = f" of {row['kept_run']}" if row.get("kept_run") is not None else ""
    similarity = f", similarity {row['similarity']:.3f}" if row.get("similarity") is not None else ""
    return f": {row['kept_id']}{run}{similarity}"


def _selected(out: Path, doc_id: str) -> Iterator[str]:
    path = out / "scores.parquet"
    if not path.is_file():
        return
    for row in pq.read_table(path, filters=pc.equal(pc.field("id"), doc_id)).to_pylist():
        topic = f", topic {row['topic']}" if row["topic"] else ""
        read = f"read {row['times']} times" if row["times"] else "dropped"
        yield f"quality model: {row['score']:.6f}{topic}, of the bucket from {row['from_quantile']:g}: {read}"

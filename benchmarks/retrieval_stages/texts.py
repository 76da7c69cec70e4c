"""Passages of real text, and questions with them: overlapping windows over the documentation of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from spark_jobs.retrieval.passages import Cut, spans
from spark_jobs.scholar.documentation import Document, documents

WINDOW = Cut(words=100, stride=50)


def texts_of(path: Path | None) -> Iterator[Document]:
    """Yield the documents of a file of JSON lines or Parquet with `text`, or those of this machine."""
    if path is None:
        yield from documents()
        return
    if path.suffix == ".parquet":
        for batch in pq.ParquetFile(path).iter_batches(columns=["id", "text"], batch_size=1000):
            yield from (Document(str(row["id"]), "", row["text"]) for row in batch.to_pylist())
        return
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file):
            record = json.loads(line)
            yield Document(str(record.get("id", number)), str(record.get("title", "")), record["text"])


def passages_and_questions(count: int, questions: int, path: Path | None = None) -> tuple[list[str], list[str]]:
    """Return passages of 100 words with a stride of 50, and sentences to search for.

    Questions are the summaries of documents, which are not part of their texts; where there are too few, the first
    twelve words of passages.
    """
    passages: list[str] = []
    summaries: list[str] = []
    for document in texts_of(path):
        if document.summary:
            summaries.append(document.summary)
        windows = (document.text[begin:end] for begin, end in spans(document.text, WINDOW))
        passages += islice(windows, count - len(passages))
        if len(passages) == count:
            break
    step = max(len(summaries) // questions, 1)
    chosen = list(dict.fromkeys(summaries[::step]))[:questions]
    for passage in passages[:: max(len(passages) // questions, 1)]:
        if len(chosen) < questions:
            chosen.append(" ".join(passage.split()[:12]))
    return passages, chosen

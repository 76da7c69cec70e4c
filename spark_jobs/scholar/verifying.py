"""Whether what answers cite still stands where they say: characters of a version of a paper, and their digest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from catalog.lake import Lake
from catalog.tables.scholar import PAPERS, QUOTATIONS, REFERENCES
from spark_jobs.compute import pc
from spark_jobs.retrieval.passages import text_digest

VERDICTS = ("stands", "another_version", "paper_missing", "differs")


def verified_citations(lake: Lake, answer: str | None = None) -> Counter[str]:
    """Return how many references and quotations have each verdict.

    - `stands`: the version of the paper is in the lake, and has these characters there.
    - `another_version`: the lake has another version of the paper, so that the characters cannot be compared.
    - `paper_missing`: the lake no longer has the paper.
    - `differs`: the version is the same, and its characters are not.

    Args:
        lake: the lake.
        answer: one answer; all by default.
    """
    rows = list(_cited(lake, answer))
    wanted = sorted({row["paper"] for row in rows})
    chosen = pc.field("paper").isin(wanted)
    table = lake.table(PAPERS.name).to_pyarrow_dataset().to_table(["paper", "version", "text"], filter=chosen)
    papers = {row["paper"]: row for row in table.to_pylist()}
    return Counter(_verdict(row, papers.get(row["paper"])) for row in rows)


def _cited(lake: Lake, answer: str | None) -> Iterator[dict[str, Any]]:
    """Yield what answers cite: paper, version, spans and their digest or words."""
    for contract in (REFERENCES, QUOTATIONS):
        if not lake.exists(contract.name):
            continue
        chosen = None if answer is None else pc.field("answer") == answer
        for row in lake.table(contract.name).to_pyarrow_dataset().to_table(filter=chosen).to_pylist():
            if row["paper"] is not None:
                yield row


def _verdict(row: Mapping[str, Any], paper: Mapping[str, Any] | None) -> str:
    if paper is None:
        return "paper_missing"
    if paper["version"] != row["version"]:
        return "another_version"
    text, span = paper["text"], row["span"]
    sound = text_digest(text[span["begin"] : span["end"]]) == row["digest"]
    if (quotation := row.get("quotation")) is not None:
        sound = sound and text[quotation["begin"] : quotation["end"]] == row["quoted"]
    return "stands" if sound else "differs"

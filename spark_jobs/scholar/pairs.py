"""Pairs for training encoders, from answers: a question, and the passages that supported its answer."""

from __future__ import annotations

from typing import Any

from catalog.lake import Lake
from catalog.tables.scholar import ANSWERS, CANDIDATES, CITATIONS, PASSAGES, REFERENCES
from spark_jobs.scholar.tables import embedded_text

NEGATIVES = 5
"""Hard negatives of a pair at most."""


def training_pairs(lake: Lake) -> list[dict[str, Any]]:
    """Return rows {"query", "positive", "negatives"} as `python -m trainers.embed` reads them.

    A positive is a passage that a sentence of the answer cites and that was judged to support it. Negatives are the
    passages that the first search ranked best, and that the answer does not cite, of other papers. Passages that the
    datastore no longer has are left out.
    """
    questions = {row["answer"]: row["question"] for row in lake.read(ANSWERS.name, ["answer", "question"]).to_pylist()}
    texts = {
        row["passage"]: embedded_text(row["title"], row["text"])
        for row in lake.read(PASSAGES.name, ["passage", "title", "text"]).to_pylist()
    }
    supported = {
        (row["answer"], number)
        for row in lake.read(CITATIONS.name, ["answer", "numbers", "support"]).to_pylist()
        if row["support"] == "supported"
        for number in row["numbers"]
    }
    cited: dict[str, list[dict[str, Any]]] = {}
    for row in lake.read(REFERENCES.name, ["answer", "number", "passage", "paper"]).to_pylist():
        cited.setdefault(row["answer"], []).append(row)
    found: dict[str, list[dict[str, Any]]] = {}
    columns = ["answer", "round", "passage", "paper", "fused", "dropped"]
    for row in lake.read(CANDIDATES.name, columns).to_pylist():
        if row["round"] == 0 and row["dropped"] in (None, "rank"):
            found.setdefault(row["answer"], []).append(row)
    pairs = []
    for answer, references in sorted(cited.items()):
        papers = {row["paper"] for row in references}
        ranked = sorted(found.get(answer, []), key=lambda row: (-row["fused"], row["passage"]))
        against = [row["passage"] for row in ranked if row["paper"] not in papers and row["passage"] in texts]
        pairs += [
            {
                "query": questions[answer],
                "positive": texts[row["passage"]],
                "negatives": [texts[passage] for passage in against[:NEGATIVES]],
            }
            for row in sorted(references, key=lambda row: row["number"])
            if (answer, row["number"]) in supported and row["passage"] in texts
        ]
    return pairs

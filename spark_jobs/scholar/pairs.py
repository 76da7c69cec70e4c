"""Pairs for training encoders, from answers: a question, and the passages that supported its answer."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.scholar import ANSWERS, CANDIDATES, CITATIONS, PASSAGES, REFERENCES, TRAINING
from spark_jobs.scholar.tables import embedded_text

NEGATIVES = 5
"""Hard negatives of a pair at most."""


def training_pairs(lake: Lake, *, kept: bool = False) -> list[dict[str, Any]]:
    """Return rows {"query", "positive", "negatives"} as `python -m trainers.embed` and `trainers.rerank` read them.

    A positive is a passage that a sentence of the answer cites and that was judged to support it. Negatives are the
    passages that the first search ranked best, and that the answer does not cite, of other papers. Passages that the
    datastore no longer has are left out.

    Args:
        lake: the lake.
        kept: whether only answers count that scholar.training keeps, because they passed its filters.

    Raises:
        WatershedError: `kept` is set, and scholar.training has not been made.
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
    chosen = _kept(lake) if kept else questions.keys()
    cited: dict[str, list[dict[str, Any]]] = {}
    for row in lake.read(REFERENCES.name, ["answer", "number", "passage", "paper"]).to_pylist():
        if row["answer"] not in chosen:
            continue
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


def _kept(lake: Lake) -> set[str]:
    if not lake.exists(TRAINING.name):
        raise WatershedError("scholar.training has not been made", "run `watershed scholar training --judge NAME`")
    return {row["answer"] for row in lake.read(TRAINING.name, ["answer", "kept"]).to_pylist() if row["kept"]}


def held_out(pairs: Iterable[dict[str, Any]], share: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the pairs to train on, and those of the questions that are held out.

    A digest of the question decides, so that a question is on the same side whenever it is asked again.

    Args:
        pairs: as `training_pairs` returns them.
        share: the share of the questions that are held out, 0..1.

    Example:
        >>> train, held = held_out([{"query": f"Why {n}?", "positive": "So."} for n in range(100)], 0.2)
        >>> len(train), len(held)
        (78, 22)
    """
    sides: tuple[list[dict[str, Any]], list[dict[str, Any]]] = [], []
    for row in pairs:
        digest = hashlib.sha256(" ".join(row["query"].split()).casefold().encode()).digest()
        sides[int.from_bytes(digest[:8]) < share * 2**64].append(row)
    return sides

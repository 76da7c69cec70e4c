"""Training rows from answers: the answer, feedback on drafts, and revisions by feedback, with the published filters.

OpenScholar (arXiv 2411.14199, section 2.3) trains on what its own pipeline wrote, and keeps an instance if a judge
prefers the final answer to the first draft, and gives it at least 4.5 of 5 for organization and for factual precision
and citations.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa

from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.tables.scholar import ANSWERS, DRAFTS, REFERENCES, TRAINING
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.judge import Rubric, judge, prefer

LEAST = 4.5
ORGANIZATION = Rubric(
    name="scholar_organization",
    question="How well is this answer to a scientific question organised: does it flow, without repetitions and gaps?",
)
FACTUALITY = Rubric(
    name="scholar_factuality",
    question="How precise are the facts of this answer to a scientific question, and does each cite a source?",
)
BETTER = "Which answer to the scientific question is better: more complete, better organised and better cited?"


def training_rows(lake: Lake, endpoint: Endpoint, cap: float | None = None) -> list[dict[str, Any]]:
    """Return the rows of `scholar.training` of all answers that a model wrote.

    Raises:
        WatershedError: see `client.ask`.
    """
    answers = [row for row in lake.read(ANSWERS.name).to_pylist() if row["status"] == "answered"]
    steps: dict[str, list[dict[str, Any]]] = {}
    for row in lake.read(DRAFTS.name).to_pylist():
        steps.setdefault(row["answer"], []).append(row)
    papers: dict[str, set[str]] = {}
    for row in lake.read(REFERENCES.name, ["answer", "paper"]).to_pylist():
        papers.setdefault(row["answer"], set()).add(row["paper"])
    for rows in steps.values():
        rows.sort(key=lambda row: row["step"])
    answers = [row for row in answers if row["answer"] in steps]
    pairs = [(_shown(row, steps[row["answer"]][0]["text"]), _shown(row, row["text"])) for row in answers]
    preferred = prefer(lake, endpoint, pairs, BETTER, purpose="scholar_preference", cap=cap)
    finals = [last for _, last in pairs]
    scores = [judge(lake, endpoint, finals, rubric, cap=cap) for rubric in (ORGANIZATION, FACTUALITY)]
    found = []
    for number, row in enumerate(answers):
        organization, factuality = (_number(each[number].score) for each in scores)
        judged = {
            "answer": row["answer"],
            "papers": sorted(papers.get(row["answer"], ())),
            "preferred": None if preferred[number] is None else preferred[number] == 1,
            "organization": organization,
            "factuality": factuality,
        }
        dropped = _dropped(judged)
        found += [
            {**judged, **each, "kept": dropped is None, "dropped": dropped}
            for each in _instances(row, steps[row["answer"]])
        ]
    return found


def _shown(row: Mapping[str, Any], text: str) -> str:
    return f"Question: {row['question']}\n\nAnswer: {text}"


def _number(score: int | None) -> float | None:
    return None if score is None else float(score)


def _dropped(judged: Mapping[str, Any]) -> str | None:
    """Return why an answer is not to be trained on; None if it is."""
    if not judged["preferred"]:
        return "the final answer is not preferred to the first draft"
    for name in ("organization", "factuality"):
        if judged[name] is None or judged[name] < LEAST:
            return f"{name} is not at least {LEAST}"
    return None if judged["papers"] else "it cites nothing"


def _instances(row: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the answer, the feedback on the draft, and each edit that was accepted, as conversations."""
    question, text = row["question"], steps[0]["text"]
    yield _row(row, "final", "answer", question, row["text"])
    wishes = [each for each in steps if each["kind"] == "feedback" and each["accepted"]]
    if wishes:
        asked = f"Question: {question}\n\nAnswer: {text}\n\nHow can the answer be improved?"
        yield _row(row, wishes[0]["step"], "feedback", asked, "\n".join(_line(each) for each in wishes))
    for wish, change in zip(wishes, (each for each in steps if each["kind"] == "edit"), strict=False):
        if change["accepted"]:
            asked = f"Question: {question}\n\nAnswer: {text}\n\nFeedback: {wish['text']}\n\nRevise the answer."
            yield _row(row, change["step"], "revision", asked, change["text"])
            text = change["text"]


def _line(wish: Mapping[str, Any]) -> str:
    return f"Feedback: {wish['text']}" + (f"\nQuestion: {wish['question']}" if wish["question"] else "")


def _row(row: Mapping[str, Any], step: Any, kind: str, asked: str, reply: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": asked}, {"role": "assistant", "content": reply}]
    return {"id": f"{row['answer']}-{step}", "kind": kind, "messages": messages}


def write_training(lake: Lake, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace `scholar.training` by these rows."""
    made = fingerprint(TRAINING.name, [row["id"] for row in rows])
    lake.replace(TRAINING, pa.Table.from_pylist(list(rows), schema=TRAINING.schema), made)

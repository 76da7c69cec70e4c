"""An answer as rows of `scholar.*`, as one JSON object, and as a row that `watershed score citations` reads."""

from __future__ import annotations

import datetime
import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.tables.scholar import (
    ANSWER_TABLES,
    ANSWERS,
    CANDIDATES,
    CITATIONS,
    DRAFTS,
    QUOTATIONS,
    REFERENCES,
    TRAINING,
    WITHDRAWALS,
)
from spark_jobs.retrieval.stamps import Stamp
from spark_jobs.scholar.asking import Answer, Choices, Pipeline, answer_id, choices_json
from spark_jobs.scholar.candidates import Candidate, Passage
from spark_jobs.scholar.quotations import Quotation

Rows = dict[str, list[dict[str, Any]]]


def rows_of(found: Answer, stamp: Stamp, choices: Choices, asked_at: datetime.datetime) -> Rows:
    """Return the rows of an answer, by table."""
    name = answer_id(found.question, found.model, asked_at.isoformat())
    summary = {
        "answer": name,
        "question": found.question,
        "asked_at": asked_at,
        "model": found.model,
        "status": found.status,
        "failure": found.failure,
        "text": found.text,
        "stamp": stamp.digest,
        "settings": choices_json(choices),
        "supported": found.count("supported"),
        "not_supported": found.count("not_supported") + found.count("not_cited"),
        "not_checked": found.count("not_checked"),
        "quotations_removed": sum(each.passage is None for each in found.quotations),
    }
    shown = {each.passage: number for number, each in enumerate(found.shown)}
    return {
        ANSWERS.name: [summary],
        CANDIDATES.name: [
            {"answer": name, "round": number, **_candidate(each, shown)}
            for number, candidates in enumerate(found.rounds)
            for each in candidates
        ],
        DRAFTS.name: [{"answer": name, "step": number, **vars(each)} for number, each in enumerate(found.steps)],
        REFERENCES.name: [
            {
                "answer": name,
                "number": each.number,
                **_place(each.passage),
                "title": each.passage.title,
                "quotation": {"begin": each.passage.begin + each.begin, "end": each.passage.begin + each.end},
                "quoted": each.quoted,
            }
            for each in found.references
        ],
        CITATIONS.name: list(_citations(found, name)),
        QUOTATIONS.name: [
            {"answer": name, "place": place, **_quotation(each)} for place, each in enumerate(found.quotations)
        ],
    }


def _place(passage: Passage) -> dict[str, Any]:
    return {
        "passage": passage.passage,
        "paper": passage.paper,
        "version": passage.version,
        "span": {"begin": passage.begin, "end": passage.end},
        "digest": passage.digest,
    }


def _candidate(each: Candidate, shown: Mapping[str, int]) -> dict[str, Any]:
    names = ("dense_rank", "word_rank", "fused", "reranked", "boost", "dropped")
    number = None if each.dropped else shown.get(each.passage.passage)
    return {**_place(each.passage), **{name: getattr(each, name) for name in names}, "shown": number}


def _citations(found: Answer, name: str) -> Iterator[dict[str, Any]]:
    numbers = {each.passage.passage: each.number for each in found.references}
    for place, (sentence, support) in enumerate(zip(found.sentences, found.support, strict=True)):
        if support is not None:
            yield {
                "answer": name,
                "sentence": place,
                "text": sentence.text,
                "numbers": [numbers[found.shown[number].passage] for number in sentence.cited],
                "missing": [min(number, 2**31 - 1) for number in sentence.missing],
                "support": support.verdict,
                "judge": found.judge if support.request else None,
                "request": support.request,
            }


def _quotation(each: Quotation) -> dict[str, Any]:
    passage = each.passage
    if passage is None:
        none = dict.fromkeys(("passage", "paper", "version", "span", "digest"))
        return {"text": each.text, "found": False, **none}
    place = {**_place(passage), "span": {"begin": passage.begin + each.begin, "end": passage.begin + each.end}}
    digest = hashlib.sha256(each.printed.encode("utf-8", "replace")).hexdigest()
    return {"text": each.text, "found": True, **place, "digest": digest}


def store(lake: Lake, rows: Rows) -> None:
    """Append the rows of an answer to its tables; the answer itself last, so that no reader sees half of one."""
    for contract in (*ANSWER_TABLES, TRAINING, WITHDRAWALS):
        lake.create(contract)
    for contract in reversed(ANSWER_TABLES):
        if part := rows[contract.name]:
            made = fingerprint(contract.name, part[0]["answer"])
            lake.append(contract, pa.Table.from_pylist(part, schema=contract.schema), made)


def answered(pipeline: Pipeline, lake: Lake, question: str) -> tuple[Answer, dict[str, Any]]:
    """Answer a question, and store the rows of every stage.

    Returns:
        The answer, and the object that `as_json` makes of it.

    Raises:
        WatershedError: the question is empty or too long, the datastore is damaged, or the rows cannot be written.
    """
    began = datetime.datetime.now(datetime.UTC)
    found = pipeline.answer(question)
    store(lake, rows_of(found, pipeline.store.stamp, pipeline.choices, began))
    return found, as_json(found, answer_id(found.question, found.model, began.isoformat()))


def as_json(found: Answer, name: str) -> dict[str, Any]:
    """Return an answer as one JSON object.

    `scoring` is a row for `watershed score citations`, which numbers passages from 0.
    """
    judged = [
        {"claim": sentence.text, "citations": list(sentence.cited), "entailed": support.verdict == "supported"}
        for sentence, support in zip(found.sentences, found.support, strict=True)
        if support and support.verdict in ("supported", "not_supported") and sentence.cited and not sentence.missing
    ]
    return {
        "answer": name,
        "question": found.question,
        "status": found.status,
        "model": found.model,
        "text": found.text,
        "failure": found.failure,
        "supported": found.count("supported"),
        "not_supported": found.count("not_supported"),
        "not_cited": found.count("not_cited"),
        "not_checked": found.count("not_checked"),
        # A fabricated quotation is counted, and its words are not repeated.
        "quotations": [{**_quotation(each), "text": each.printed} for each in found.quotations if each.passage],
        "quotations_removed": sum(each.passage is None for each in found.quotations),
        "references": [
            {
                "number": each.number,
                "title": each.passage.title,
                "year": each.passage.year,
                "url": each.passage.url,
                **_place(each.passage),
                "quotation": {"begin": each.passage.begin + each.begin, "end": each.passage.begin + each.end},
                "quoted": each.quoted,
                "text": each.passage.text,
            }
            for each in found.references
        ],
        "scoring": None
        if found.body is None
        else {
            "id": name,
            "response": found.body,
            "passages": [each.text for each in found.shown],
            "entailments": judged,
        },
    }

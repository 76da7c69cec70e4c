"""What each stage of an answer is worth: a model alone, with retrieval, with all stages, and with all but one.

The variants are those of OpenScholar's tables (arXiv 2411.14199, section 5). The bare model answers from memory and
names its papers itself; the others cite the passages of the datastore.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from catalog.fingerprint import fingerprint
from catalog.lake import Lake
from catalog.reads import not_recorded
from catalog.tables.scholar import ABLATIONS, PAPERS
from spark_jobs.language_models.client import ask
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.language_models.request import Request
from spark_jobs.scholar import prompts
from spark_jobs.scholar.asking import PURPOSE, Answer, Choices, Pipeline
from spark_jobs.scholar.named import known_papers, named_papers
from spark_jobs.scholar.rouge import rouge_l

BARE = "bare"
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    BARE: {},
    "retrieval": {"rerank": False, "feedback": 0, "attribution": False},
    "full": {},
    "no_reranking": {"rerank": False},
    "no_feedback": {"feedback": 0},
    "no_attribution": {"attribution": False},
}
"""The variants in the order of the table, with the stages that each leaves out."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Asked:
    """A question, and an answer to compare with if one is known."""

    question: str
    expected: str | None = None


def ablated(
    pipeline: Callable[[Choices], Pipeline],
    lake: Lake,
    endpoint: Endpoint,
    questions: Sequence[Asked],
    choices: Choices,
    *,
    reranked: bool,
    cap: float | None = None,
    heard: Callable[[str], Any] = lambda stage: None,
) -> Iterator[Row]:
    """Yield the rows of `scholar.ablations` of a model, variant by variant.

    Args:
        pipeline: makes the pipeline with some choices.
        lake: the lake, whose papers are those that exist.
        endpoint: the model.
        questions: the questions.
        choices: the stages of the full pipeline.
        reranked: whether there is a cross-encoder; without one, no variant leaves it out.
        cap: the most that the requests of one stage may cost in US dollars.
        heard: called with the variant and the number of the question.

    Raises:
        WatershedError: a question cannot be asked; see `Pipeline.answer`.
    """
    heard(BARE)
    yield from _bare(lake, endpoint, questions, choices, cap)
    for variant, changes in VARIANTS.items():
        if variant == BARE or (variant == "no_reranking" and not reranked):
            continue
        made = pipeline(replace(choices, **changes))
        for number, each in enumerate(questions, start=1):
            heard(f"{variant}, question {number}")
            yield _row(endpoint, variant, each, made.answer(each.question))


def _bare(
    lake: Lake, endpoint: Endpoint, questions: Sequence[Asked], choices: Choices, cap: float | None
) -> Iterator[Row]:
    """Answers from memory. No passage was given, so no sentence can be supported by one."""
    requests = [
        Request.chat(prompts.bare(each.question), system=prompts.FROM_MEMORY, settings=choices.sampling())
        for each in questions
    ]
    replies = ask(lake, endpoint, requests, purpose=PURPOSE, cap=cap)
    texts = [prompts.without_marks(reply.text).strip() if reply.answered else "" for reply in replies]
    found = [named_papers(text) for text in texts]
    columns = ["title", "doi", "authors", "year"]
    batches = lake.table(PAPERS.name).to_pyarrow_dataset().to_batches(columns=columns)
    known = known_papers(found, (row for batch in batches for row in batch.to_pylist()))
    for each, reply, text, named, existing in zip(questions, replies, texts, found, known, strict=True):
        yield {
            **_common(endpoint, BARE, each, text or None),
            "status": "answered" if text else "model_failed",
            "failure": None if text else f"{reply.error or 'an empty reply'}",
            "cited_papers": named.papers,
            "missing_papers": named.papers - existing,
        }


def _row(endpoint: Endpoint, variant: str, asked: Asked, found: Answer) -> Row:
    cited = {found.shown[number].paper for each in found.sentences for number in each.cited}
    missing = {number for each in found.sentences for number in each.missing}
    answered = found.status == "answered"
    decided = [each.verdict for each in found.support if each is not None] if answered else []
    return {
        **_common(endpoint, variant, asked, found.body if answered else None),
        "status": found.status,
        "failure": found.failure,
        "judge": found.judge,
        "sentences": len(decided) if answered else None,
        "supported": decided.count("supported") if answered else None,
        "not_cited": decided.count("not_cited") if answered else None,
        "not_checked": decided.count("not_checked") if answered else None,
        "cited_papers": len(cited) + len(missing) if answered else 0,
        "missing_papers": len(missing) if answered else 0,
        "quotations_removed": sum(each.passage is None for each in found.quotations) if answered else None,
    }


def _common(endpoint: Endpoint, variant: str, asked: Asked, text: str | None) -> Row:
    # References at the end are no part of what is compared.
    score = rouge_l(text, [asked.expected]) if text and asked.expected else None
    empty = dict.fromkeys(("judge", "sentences", "supported", "not_cited", "not_checked", "quotations_removed"))
    names = {"model": endpoint.name, "variant": variant, "question": asked.question}
    return {**names, **empty, "text": text, "rouge": score}


def write_ablations(lake: Lake, rows: Sequence[Row]) -> None:
    """Write the rows of a model in place of its earlier ones; those of other models stay."""
    models = {row["model"] for row in rows}
    with not_recorded():
        before = lake.read(ABLATIONS.name).to_pylist() if lake.exists(ABLATIONS.name) else []
    every = [*(row for row in before if row["model"] not in models), *rows]
    made = fingerprint(ABLATIONS.name, every)
    lake.replace(ABLATIONS, pa.Table.from_pylist(every, schema=ABLATIONS.schema), made)

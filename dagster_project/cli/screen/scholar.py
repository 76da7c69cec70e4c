"""How `watershed ask` answers a question: the pipeline of one question, its rows, and what is printed."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from spark_jobs.language_models.endpoint import Endpoint
    from spark_jobs.scholar.asking import Answer

WIDTH = 100


def answer_question(
    settings: Settings,
    question: str,
    chosen: Mapping[str, Any],
    *,
    model: str | None,
    judge: str | None = None,
    page: Path | None = None,
    as_json: bool = False,
    cap: float | None = None,
) -> Answer:
    """Answer a question, store the rows of every stage, print the answer, and return it.

    Args:
        settings: the project.
        question: the question.
        chosen: fields of `asking.Choices`.
        model: the entry of [models] that writes, or the base URL of a server; None for the passages only.
        judge: the entry of [models] that checks citations; by default the one that writes.
        page: the file of the answer's page.
        as_json: whether one JSON object is printed.
        cap: the most that the answer may cost in US dollars.

    Raises:
        WatershedError: nothing is indexed, or the model failed; then the passages have been printed before.
    """
    from catalog.files import write_whole
    from catalog.lake import Lake
    from dagster_project.engine.model_server import answering, with_url
    from dagster_project.families.scholar.recipes import project_datastore, project_reranker
    from spark_jobs.scholar.asking import Choices, Pipeline
    from spark_jobs.scholar.page import answer_page
    from spark_jobs.scholar.records import answered

    if judge and not model:
        raise WatershedError("--judge checks the citations of an answer, and no model writes one", "add --model NAME")
    lake, opened = Lake.of(settings), project_datastore(settings)
    with ExitStack() as servers:
        asked, name = with_url(settings, model)
        writer = servers.enter_context(answering(asked, name)) if name else None
        checker: Endpoint | None = writer
        if judge and judge != model:
            checker = servers.enter_context(answering(asked, judge))
        pipeline = Pipeline(
            opened,
            lake=lake,
            endpoint=writer,
            judge=checker,
            rerank=project_reranker(settings),
            choices=Choices(**chosen),
            cap=cap,
            heard=lambda stage: say(f"{stage} ...", err=True, dim=True),
        )
        found, shown = answered(pipeline, lake, question)
    if page:
        write_whole(page, answer_page(shown).encode("utf-8", "replace"))
    if as_json:
        data(json.dumps(shown, ensure_ascii=False))
    else:
        print_answer(shown, page)
    if found.status == "model_failed":
        raise WatershedError(
            f"the question was not answered: {found.failure}",
            "see [models] and the server; without --model the passages alone are printed",
        )
    return found


def print_answer(shown: Mapping[str, Any], page: Path | None = None) -> None:
    """Print an answer, as `records.as_json` has it, with its references."""
    if shown["status"] == "no_passages":
        say("The datastore has no passage for this question.")
        return
    if shown["text"] is not None:
        for paragraph in shown["text"].split("\n\n"):
            say(textwrap.fill(paragraph, WIDTH))
            say()
    for each in shown["references"]:
        year = f" ({each['year']})" if each["year"] else ""
        say(f"{each['title'] or 'untitled'}{year}", label=f"[{each['number']}]", bold=True)
        quoted = " ".join(each["quoted"].split())
        say(textwrap.fill(f"“{quoted}”", WIDTH, initial_indent="    ", subsequent_indent="    "))
        place = f"{each['quotation']['begin']:,}–{each['quotation']['end']:,}"
        say(f"    paper {each['paper']}, version {each['version']}, characters {place}", dim=True)
    if shown["text"] is not None:
        say()
        gone = shown["quotations_removed"]
        removed = f"; {gone} fabricated quotations were removed" if gone else ""
        say(
            f"{shown['supported']} sentences are supported by their sources, {shown['not_supported']} are not, "
            f"{shown['not_cited']} cite none, {shown['not_checked']} were not checked{removed}"
        )
    say(f"answer {shown['answer']}{f'   {page}' if page else ''}", dim=True)

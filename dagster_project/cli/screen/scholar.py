"""How `watershed ask` answers a question: the pipeline of one question, its rows, and what is printed."""

from __future__ import annotations

import datetime
import json
import textwrap
import urllib.request
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import EndpointSettings, Settings
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from spark_jobs.language_models.endpoint import Endpoint
    from spark_jobs.scholar.asking import Answer

WIDTH = 100
UNNAMED = "default"
"""What a server is asked for that lists no model."""
ASKED = "url"
"""The entry of [models] that a URL on the command line becomes."""


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
    from dagster_project.engine.model_server import answering
    from dagster_project.families.scholar.recipes import project_datastore, project_reranker
    from spark_jobs.scholar.asking import Choices, Pipeline, answer_id
    from spark_jobs.scholar.page import answer_page
    from spark_jobs.scholar.records import as_json as json_of
    from spark_jobs.scholar.records import rows_of, store

    if judge and not model:
        raise WatershedError("--judge checks the citations of an answer, and no model writes one", "add --model NAME")
    lake, choices, began = Lake.of(settings), Choices(**chosen), datetime.datetime.now(datetime.UTC)
    opened = project_datastore(settings)
    with ExitStack() as servers:
        asked, name = _with_url(settings, model)
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
            choices=choices,
            cap=cap,
            heard=lambda stage: say(f"{stage} ...", err=True, dim=True),
        )
        found = pipeline.answer(question)
    store(lake, rows_of(found, opened.stamp, choices, began))
    shown = json_of(found, answer_id(found.question, found.model, began.isoformat()))
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


def _with_url(settings: Settings, model: str | None) -> tuple[Settings, str | None]:
    """Return the settings with an entry for a model that is given as a URL, and the name of the entry."""
    if model is None or "://" not in model:
        return settings, model
    name = _served_model(model)
    # Replies of another server must not be taken for this one's, if its model has no name.
    entry = EndpointSettings(url=model, model=name, revision=model if name == UNNAMED else "")
    return replace(settings, models={**settings.models, ASKED: entry}), ASKED


def _served_model(url: str) -> str:
    """Return the first model that a server lists; a server that lists none is asked for `default`."""
    if not url.startswith(("http://", "https://")):
        raise WatershedError(
            f"{url} is not an address of a server", "write http://HOST:PORT/v1, or the name of an entry"
        )
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/models", timeout=10) as response:
            listed = json.loads(response.read(1_000_000))
        return str(listed["data"][0]["id"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return UNNAMED


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

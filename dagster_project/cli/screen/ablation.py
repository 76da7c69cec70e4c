"""`watershed scholar ablate`: the variants of an answer are asked for, stored, and shown as one table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from spark_jobs.scholar.ablation import Asked

FORM = 'write {"question": "..."} in each line, and maybe "answer"'
LONGEST_LINE, MOST_QUESTIONS = 1 << 20, 10_000
Row = dict[str, Any]


def read_questions(path: Path) -> list[Asked]:
    """Read questions, each once, from a file of JSON lines.

    Raises:
        WatershedError: the file cannot be read, or a line has no question. The error names the line.
    """
    from catalog.lines import bounded_lines
    from spark_jobs.language_models.replies import MalformedReply, bounded_json, sound_text
    from spark_jobs.scholar.ablation import Asked

    found: dict[str, Asked] = {}
    try:
        with path.open("rb") as file:
            for number, line in bounded_lines(file, LONGEST_LINE):
                try:
                    row = bounded_json(line) if line is not None else None
                except MalformedReply as error:
                    raise WatershedError(f"{path.name}, line {number}: {error}", FORM) from None
                question = row.get("question") if isinstance(row, dict) else None
                expected = row.get("answer") if isinstance(row, dict) else None
                if not isinstance(question, str) or not question.strip() or not isinstance(expected, str | None):
                    raise WatershedError(f"{path.name}, line {number} has no question that is a text", FORM)
                asked = " ".join(sound_text(question).split())
                found.setdefault(asked, Asked(asked, sound_text(expected) if expected else None))
    except OSError as error:
        raise WatershedError(f"{path}: {error.strerror or error}", "give a file of JSON lines that exists") from None
    if not found or len(found) > MOST_QUESTIONS:
        raise WatershedError(f"{path.name} has {len(found):,} questions", f"give 1 to {MOST_QUESTIONS:,}")
    return list(found.values())


def ablate(
    questions: Sequence[Asked],
    chosen: Mapping[str, Any],
    *,
    model: str,
    judge: str | None = None,
    cap: float | None = None,
) -> list[Row]:
    """Ask for all variants, write scholar.ablations, and return the rows of the model in scholar.ablation_by_model.

    Args:
        questions: the questions.
        chosen: fields of `asking.Choices` of the full pipeline.
        model: the entry of [models] that answers.
        judge: the entry of [models] that checks the citations; by default the one that answers.
        cap: the most that a stage may cost in US dollars.

    Raises:
        WatershedError: nothing is indexed, or there is no such model.
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from catalog.sql.query import connect
    from dagster_project.engine.model_server import answering
    from dagster_project.families.scholar.recipes import project_datastore, project_reranker
    from spark_jobs.scholar.ablation import ablated, write_ablations
    from spark_jobs.scholar.asking import Choices, Pipeline

    settings = load_settings()
    lake, store, rerank = Lake.of(settings), project_datastore(settings), project_reranker(settings)
    with ExitStack() as servers:
        writer = servers.enter_context(answering(settings, model))
        checker = servers.enter_context(answering(settings, judge)) if judge and judge != model else writer

        def pipeline(choices: Choices) -> Pipeline:
            return Pipeline(store, lake=lake, endpoint=writer, judge=checker, rerank=rerank, choices=choices, cap=cap)

        rows = list(
            ablated(
                pipeline,
                lake,
                writer,
                questions,
                Choices(**chosen),
                reranked=rerank is not None,
                cap=cap,
                heard=lambda stage: say(f"{stage} ...", err=True, dim=True),
            )
        )
    write_ablations(lake, rows)
    with connect(settings) as connection:
        found = connection.execute("FROM scholar.ablation_by_model WHERE model = $model", {"model": writer.name})
        names = [each[0] for each in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def print_table(rows: Sequence[Row], *, as_json: bool = False) -> None:
    """Print the table of a model."""
    if as_json:
        data(json.dumps({"model": rows[0]["model"] if rows else None, "variants": rows}, ensure_ascii=False))
        return
    from dagster_project.cli.screen.render import console, print_rows

    names = (
        "variant",
        "answered",
        "supported",
        "cite nothing",
        "cited papers",
        "do not exist",
        "fabricated quotations",
    )
    with_rouge = any(row["rouge"] is not None for row in rows)
    table = [
        [
            *(row["variant"], f"{row['answered']} of {row['questions']}", _share(row["supported"])),
            *(_share(row["not_cited"]), row["cited_papers"], _share(row["missing"])),
            "–" if row["quotations_removed"] is None else row["quotations_removed"],
            *([f"{row['rouge']:.3f}" if row["rouge"] is not None else "–"] if with_rouge else []),
        ]
        for row in rows
    ]
    say(f"{rows[0]['model']}, {rows[0]['questions']:,} questions", bold=True)
    print_rows(console(), [*names, *(["ROUGE-L"] if with_rouge else [])], table)
    say("supported, cite nothing: shares of the sentences that make a claim; do not exist: a share of the cited papers")
    if not any(row["variant"] == "no_reranking" for row in rows):
        say("no variant leaves out reranking, because [scholar] reranker is not set")


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value:.0%}"

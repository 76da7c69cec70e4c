"""The command `watershed ask`: a question to an answer with citations, or prompts in a file to replies in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import safe_console, say

if TYPE_CHECKING:
    from catalog.settings import Settings
    from spark_jobs.language_models.attempt import Attempt
    from spark_jobs.language_models.endpoint import Endpoint
    from spark_jobs.language_models.preview import Preview
    from spark_jobs.language_models.prompt_files import Prompt

FILE = click.Path(path_type=Path)


@click.command("ask")
@click.argument("asked", metavar="QUESTION_OR_FILE")
@click.option(
    "--model",
    metavar="NAME_OR_URL",
    help="The entry of [models] in watershed.toml that is asked, or for a question also the base URL of a server.",
)
@click.option(
    "--judge",
    metavar="NAME",
    help="Question: the entry of [models] that checks the citations. The default is the one of --model.",
)
@click.option("--json", "as_json", is_flag=True, help="Question: prints one JSON object.")
@click.option("--page", type=FILE, metavar="FILE.html", help="Question: writes the answer as a page too.")
@click.option(
    "--passages",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="Question: the number of passages that are read.",
)
@click.option(
    "--feedback",
    type=click.IntRange(0, 10),
    default=3,
    show_default=True,
    help="Question: the most pieces of feedback that the model takes up.",
)
@click.option("--out", type=FILE, metavar="FILE", help="The JSON-lines file of the replies, in the order of PROMPTS.")
@click.option(
    "--template",
    metavar="TEXT",
    default="",
    help="Jinja text that makes the prompt from the fields of a row, such as 'Summarise: {{ text }}'.",
)
@click.option("--system", metavar="TEXT", default="", help="The system message of prompts without messages.")
@click.option(
    "--preview",
    "preview_rows",
    type=click.IntRange(1),
    metavar="N",
    help="Asks N of the prompts only, shows their replies, and estimates the tokens and the cost of all.",
)
@click.option(
    "--cap", type=click.FloatRange(0, min_open=True), help="The most that the prompts may cost in US dollars."
)
@click.option("--batch", is_flag=True, help="Uses the batch mode of the provider, which is cheaper and may take a day.")
@click.option(
    "--samples", type=click.IntRange(1), default=1, show_default=True, help="The number of replies to each prompt."
)
@click.option(
    "--max-tokens",
    type=click.IntRange(1),
    help="The most tokens of a reply. The default is 512, and 1024 for an answer to a question.",
)
@click.option(
    "--temperature",
    type=click.FloatRange(0),
    help="The temperature of sampling. The default is 1.0, and 0.7 for an answer to a question.",
)
@click.option("--seed", type=int, help="The seed of sampling, for servers that have one.")
@click.option(
    "--purpose", default="ask", show_default=True, help="The purpose that the ledger records with the requests."
)
@user_errors(RUN_AGAIN)
def ask_command(
    *,
    asked: str,
    model: str | None,
    judge: str | None,
    as_json: bool,
    page: Path | None,
    passages: int,
    feedback: int,
    out: Path | None,
    template: str,
    system: str,
    preview_rows: int | None,
    cap: float | None,
    batch: bool,
    samples: int,
    max_tokens: int | None,
    temperature: float | None,
    seed: int | None,
    purpose: str,
) -> None:
    """Answer a question from the papers of the lake, or ask a language model every prompt of a file.

    A question is answered from the passages of scholar.passages: they are searched by vectors and by words, the model
    drafts an answer with citations, improves it by its own feedback, and every citation and every quotation is checked.
    Sentences that their sources do not support are marked. Without --model the passages themselves are printed, with
    the words that fit best. Every stage is stored in the tables scholar.*. `watershed ui ask` is a page for the same.

    A file (an argument that names one, or that ends with .jsonl or .parquet) has prompts as JSON lines or Parquet. A
    row has `prompt`, a text or a list of token ids, or `messages`, a list of messages with role and content; or its
    fields fill --template. Its other fields are written beside the reply. Every attempt becomes a row of the table
    models.requests. A prompt that has been answered before is not asked again, so that an interrupted command goes on
    where it stopped when it is run again. The exit code is 1 if some prompts are not answered.

    \b
    Examples:
      watershed ask "How do glaciers move?"
      watershed ask "How do glaciers move?" --model smollm2 --page answer.html
      watershed ask "How do glaciers move?" --model http://127.0.0.1:8000/v1 --json
      watershed ask prompts.jsonl --model smollm2 --preview 3
      watershed ask prompts.jsonl --model smollm2 --out replies.jsonl --cap 2.50
      watershed ask prompts.jsonl --model hosted --out replies.jsonl --batch
      watershed ask documents.parquet --template 'Summarise: {{ text }}' --model hosted --out summaries.jsonl
    """
    from catalog.errors import WatershedError
    from catalog.settings import load_settings

    settings = load_settings()
    if is_question(asked):
        from dagster_project.cli.screen.scholar import answer_question

        if out or preview_rows or batch or samples != 1:
            raise WatershedError(
                "--out, --preview, --batch and --samples belong to a file of prompts, and the argument names no file",
                "leave them out, or give a file that exists",
            )
        sampling = {"tokens": max_tokens, "temperature": temperature, "seed": seed}
        chosen = {"passages": passages, "feedback": feedback, **{k: v for k, v in sampling.items() if v is not None}}
        answer_question(settings, asked, chosen, model=model, judge=judge, page=page, as_json=as_json, cap=cap)
        return
    if as_json or page or judge:
        raise WatershedError(
            f"{asked} is a file, and --json, --page and --judge belong to a question", "leave them out"
        )
    if model is None:
        raise WatershedError("the prompts of a file need a model", "add --model NAME")
    if out is None and preview_rows is None:
        raise WatershedError("there is no file for the replies", "give --out FILE, or --preview N")
    from spark_jobs.language_models.prompt_files import read_prompts
    from spark_jobs.language_models.request import Sampling

    sampled = Sampling(max_tokens=max_tokens or 512, temperature=1.0 if temperature is None else temperature, seed=seed)
    prompts = read_prompts(Path(asked), sampled, template=template, system=system)
    _ask_file(settings, prompts, model, out, preview_rows, batch=batch, samples=samples, cap=cap, purpose=purpose)


def is_question(asked: str) -> bool:
    """Whether an argument is a question rather than the name of a file.

    Example:
        >>> is_question("How do glaciers move?"), is_question("prompts.jsonl")
        (True, False)
    """
    if asked.lower().endswith((".jsonl", ".json", ".ndjson", ".parquet")) and " " not in asked.strip():
        return False
    try:
        return not Path(asked).is_file()
    except (OSError, ValueError):
        # A name that is too long, or that holds what no name may.
        return True


def _ask_file(
    settings: Settings,
    once: list[Prompt],
    model: str,
    out: Path | None,
    preview_rows: int | None,
    *,
    batch: bool,
    samples: int,
    cap: float | None,
    purpose: str,
) -> None:
    from dataclasses import replace

    from catalog.lake import Lake
    from dagster_project.cli.screen.bars import Bars
    from dagster_project.engine.model_server import answering
    from spark_jobs.language_models.batch import ask_batch
    from spark_jobs.language_models.client import ask
    from spark_jobs.language_models.preview import preview

    asked = [prompt for prompt in once for _ in range(samples)]
    requests = [replace(prompt.request, sample=place % samples) for place, prompt in enumerate(asked)]
    lake = Lake.of(settings)
    with answering(settings, model) as endpoint, Bars(safe_console(stderr=True)).listening():
        if preview_rows is not None:
            _show(preview(lake, endpoint, requests, purpose=purpose, rows=preview_rows, cap=cap), endpoint)
            return
        how = ask_batch if batch else ask
        rows = how(lake, endpoint, requests, purpose=purpose, cap=cap)
    assert out is not None
    _write(out, asked, rows)
    answered, cost = sum(row.answered for row in rows), sum(row.cost or 0 for row in rows)
    price = f", for ${cost:.4f}" if endpoint.priced else ""
    say(f"{out}: {answered:,} of {len(rows):,} requests are answered{price}")
    if cut := sum(row.truncated for row in rows):
        say(f"  {cut:,} replies are cut off by --max-tokens")
    for kind, count in _kinds(rows).items():
        say(f"  {count:,} failed: {kind}")
    if answered < len(rows):
        say("  run the command again to ask those alone that may be answered now")
        raise SystemExit(1)


def _show(found: Preview, endpoint: Endpoint) -> None:
    for row in found.rows:
        say(f"> {row.prompt[:500]}", dim=True)
        say(f"{row.text[:2000] if row.answered else f'failed: {row.error}: {row.message or str()}'}\n")
    tokens = "unknown" if found.expected_tokens is None else f"about {found.expected_tokens:,}"
    cost = "unknown" if found.expected_cost is None else f"about ${found.expected_cost:.4f}"
    price = f"{cost}, at most ${found.cost_bound:.4f} without failures" if endpoint.priced else "nothing"
    say(f"all {found.requests:,} requests: tokens {tokens}; cost {price}")


def _write(out: Path, asked: list[Prompt], rows: list[Attempt]) -> None:
    import json

    from catalog.files import write_whole
    from spark_jobs.language_models.prompt_files import WRITTEN

    lines = (
        json.dumps({**prompt.fields, **{name: getattr(row, name) for name in WRITTEN}}, ensure_ascii=False, default=str)
        for prompt, row in zip(asked, rows, strict=True)
    )
    write_whole(out, "".join(f"{line}\n" for line in lines).encode())


def _kinds(rows: list[Attempt]) -> dict[str, int]:
    from collections import Counter

    return dict(Counter(f"{row.error} ({row.outcome})" for row in rows if not row.answered).most_common())

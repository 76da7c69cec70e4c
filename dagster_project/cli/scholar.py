"""The commands `watershed scholar`: papers that are withdrawn, what rests on them, and training rows from answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    from catalog.lake import Lake
    from catalog.lineage.removal.run import Plan
    from catalog.settings import Settings


@click.group("scholar")
def scholar_command() -> None:
    """Withdraw papers, check what answers cite, make training rows from answers, and leave stages out.

    `watershed ask "QUESTION"` makes the answers.

    \b
    Examples:
      watershed scholar withdraw 263830210 --kind retracted --reason "retracted by the journal"
      watershed scholar training --judge hosted
      watershed scholar pairs --out pairs.jsonl
      watershed scholar ablate questions.jsonl --model smollm2
      watershed scholar verify
    """


@scholar_command.command("withdraw")
@click.argument("paper")
@click.option(
    "--kind",
    type=click.Choice(["retracted", "forgotten"]),
    required=True,
    help="Answers no longer use a paper of either kind; the text of a forgotten one is deleted from the datastore too.",
)
@click.option("--reason", required=True, help="Why, for the record.")
@user_errors()
def withdraw_command(paper: str, kind: str, reason: str) -> None:
    """Stop answers from using a paper, at once, and say what rests on it.

    PAPER is an id of scholar.papers. No search returns a forgotten paper from now on; `watershed make scholar.index`
    then leaves it out of the tables too. Answers that cite the paper stay as they are, and scholar.affected lists them.

    \b
    Examples:
      watershed scholar withdraw 263830210 --kind retracted --reason "retracted by the journal"
    """
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.scholar.recipes import project_datastore
    from spark_jobs.scholar.withdrawing import withdraw

    settings = load_settings()
    try:
        store = project_datastore(settings)
    except WatershedError:
        store = None
    lake = Lake.of(settings)
    # Before its passages go: they are what other tables and the indexes know it by.
    plan = _removal_plan(settings, lake, paper) if kind == "forgotten" else None
    found = withdraw(lake, store, paper, kind, reason)
    say(f"{paper} is {kind}: {found.passages:,} passages were deleted from the indexes")
    say(f"{found.answers:,} answers and {found.training:,} training rows rest on it")
    if found.answers or found.training:
        say('see them by `watershed sql "SELECT * FROM scholar.affected"`')
    if plan is not None:
        from catalog.lineage.removal.run import order_removal
        from dagster_project.cli.forget import finish

        finish(settings, order_removal(lake, plan, reason))


def _removal_plan(settings: Settings, lake: Lake, paper: str) -> Plan | None:
    """Return what `watershed forget` would do about a paper; None if it is in no table."""
    from catalog.errors import WatershedError
    from catalog.lineage.removal.run import plan_removal
    from catalog.sql.query import connect
    from dagster_project.cli.forget import removal_holders

    try:
        return plan_removal(lake, connect(settings), [paper], [], removal_holders())
    except WatershedError:
        return None


@scholar_command.command("training")
@click.option("--judge", required=True, metavar="NAME", help="The entry of [models] that judges answers.")
@click.option("--cap", type=click.FloatRange(0, min_open=True), help="The most that it may cost in US dollars.")
@user_errors(RUN_AGAIN)
def training_command(judge: str, cap: float | None) -> None:
    """Make scholar.training from the answers of `watershed ask`, with the filters of OpenScholar.

    An answer is kept if the judge prefers it to its first draft, in both orders, and gives it at least 4.5 of 5 for
    organization and for factual precision and citations.

    \b
    Examples:
      watershed scholar training --judge hosted --cap 5
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.engine.model_server import answering
    from spark_jobs.scholar.training import training_rows, write_training

    settings = load_settings()
    lake = Lake.of(settings)
    with answering(settings, judge) as endpoint:
        rows = training_rows(lake, endpoint, cap)
    write_training(lake, rows)
    say(f"scholar.training: {sum(row['kept'] for row in rows):,} of {len(rows):,} rows are kept")


@scholar_command.command("pairs")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The file of JSON lines that is written.")
@click.option(
    "--heldout", type=click.Path(path_type=Path), help="Writes the pairs of some of the questions to this file instead."
)
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="The share of the questions whose pairs go to --heldout.",
)
@click.option("--kept", is_flag=True, help="Takes only answers that scholar.training keeps, by its filters.")
@user_errors(RUN_AGAIN)
def pairs_command(out: Path, *, heldout: Path | None, share: float, kept: bool) -> None:
    """Write pairs of a question and a passage that supported its answer, for training encoders and rerankers.

    `watershed encoder train` and `watershed reranker train` read the files. Negatives are passages that the search
    ranked best and that the answer does not cite.

    \b
    Examples:
      watershed scholar pairs --out pairs.jsonl
      watershed scholar pairs --out pairs.jsonl --heldout heldout.jsonl --kept
    """
    import json

    from catalog.files import write_whole
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from spark_jobs.scholar.pairs import held_out, training_pairs

    pairs = training_pairs(Lake.of(load_settings()), kept=kept)
    train, held = held_out(pairs, share if heldout else 0.0)
    for path, rows in ((out, train), *([(heldout, held)] if heldout else [])):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        write_whole(path, lines.encode("utf-8", "replace"))
        say(f"{path}: {len(rows):,} pairs")


@scholar_command.command("ablate")
@click.argument("questions", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="NAME", help="The entry of [models] that answers.")
@click.option(
    "--judge",
    metavar="NAME",
    help="The entry of [models] that checks the citations. The default is the one of --model.",
)
@click.option(
    "--passages",
    type=click.IntRange(1, 100),
    default=10,
    show_default=True,
    help="The number of passages that an answer is drafted from.",
)
@click.option(
    "--feedback",
    type=click.IntRange(1, 10),
    default=3,
    show_default=True,
    help="The most pieces of feedback that the model takes up.",
)
@click.option("--max-tokens", type=click.IntRange(1), default=1024, show_default=True, help="Most tokens of an answer.")
@click.option("--cap", type=click.FloatRange(0, min_open=True), help="The most that a stage may cost in US dollars.")
@click.option("--json", "as_json", is_flag=True, help="Prints the table as one JSON object.")
@user_errors(RUN_AGAIN)
def ablate_command(
    questions: Path,
    *,
    model: str,
    judge: str | None,
    passages: int,
    feedback: int,
    max_tokens: int,
    cap: float | None,
    as_json: bool,
) -> None:
    """Answer QUESTIONS by a model alone, with retrieval, with all stages, and with all but one of them.

    QUESTIONS is a file of JSON lines with the field question, and maybe answer, which replies are compared with by
    ROUGE-L. The table has a row for each variant: the share of sentences that their sources support, and the share of
    cited papers that do not exist, which is that of papers that the datastore lacks. The answers are in
    scholar.ablations. A reply is asked for once: an interrupted command goes on where it stopped.

    \b
    Examples:
      watershed scholar ablate questions.jsonl --model smollm2
      watershed scholar ablate questions.jsonl --model hosted --judge judge --json
    """
    from dagster_project.cli.screen.ablation import ablate, print_table, read_questions

    asked = read_questions(questions)
    chosen = {"passages": passages, "feedback": feedback, "tokens": max_tokens}
    print_table(ablate(asked, chosen, model=model, judge=judge, cap=cap), as_json=as_json)


@scholar_command.command("verify")
@click.argument("answer", required=False)
@user_errors()
def verify_command(answer: str | None) -> None:
    """Check that what answers cite stands in their papers, at its offsets and with its digest.

    ANSWER is an id of scholar.answers; all answers are checked without it. The exit code is 1 if a citation differs.

    \b
    Examples:
      watershed scholar verify
    """
    import sys

    from catalog.lake import Lake
    from catalog.settings import load_settings
    from spark_jobs.scholar.verifying import VERDICTS, verified_citations

    found = verified_citations(Lake.of(load_settings()), answer)
    for verdict in VERDICTS:
        say(f"{found[verdict]:>8,} {verdict.replace('_', ' ')}")
    sys.exit(1 if found["differs"] else 0)

"""The command `watershed rank pairwise`: people choose between answers, and models are rated by their choices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from dagster_project.families.models.rank.answers import Pair


@click.group("rank")
def rank_command() -> None:
    """Rank models by the choices of people between their answers.

    \b
    Examples:
      watershed rank pairwise answers.jsonl
      watershed rank pairwise --results
    """


@rank_command.command("pairwise")
@click.argument("answers", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--sql",
    metavar="QUERY",
    help="Takes answers from the lake too: a query with the columns question, model, answer, and maybe source.",
)
@click.option(
    "--most", type=click.IntRange(1), metavar="N", help="Shows N of the pairs at most, the same ones to all raters."
)
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="The port; by default a free one.")
@click.option("--results", is_flag=True, help="Prints win rates and ratings in place of serving the page.")
@click.option("--json", "as_json", is_flag=True, help="Prints the results as one JSON object.")
@user_errors(RUN_AGAIN)
def pairwise_command(
    answers: tuple[Path, ...], *, sql: str | None, most: int | None, port: int, results: bool, as_json: bool
) -> None:
    """Serve a page on which people choose between two answers to a question, until Ctrl+C.

    ANSWERS are files of JSON lines with the fields question, model and answer. Answers of two models to a question are
    shown side by side, in random order and without their models, at an address of this machine alone. A choice is
    entered by the keys 1 to 4 or by touch, and is in the table models.choices at once; ties are choices too.

    --results prints the win rate of each model and its rating, by a Bradley-Terry fit on the scale of Elo, with
    bootstrap intervals. It counts the choices between ANSWERS, or all choices without any.

    \b
    Examples:
      watershed rank pairwise answers.jsonl
      watershed rank pairwise --sql "SELECT question, model, text AS answer FROM scholar.answers WHERE text IS NOT NULL"
      watershed rank pairwise --results
      watershed rank pairwise answers.jsonl --json
    """
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.families.models.rank.answers import file_answers, lake_answers, pairs_of
    from dagster_project.families.models.rank.choices import Choices

    settings = load_settings()
    lake = Lake.of(settings)
    pairs: list[Pair] | None = None
    if answers or sql:
        given = [*file_answers(answers), *(lake_answers(settings, sql) if sql else [])]
        found = pairs_of(given)
        pairs = list(found.pairs[:most])
        if found.same:
            say(f"{found.same:,} pairs of equal answers are left out", err=True)
    choices = Choices(lake, pairs or [])
    if results or as_json:
        rows = [row for row in choices.entries.rows() if pairs is None or row["pair"] in choices.known]
        _print(rows, as_json=as_json)
        return
    if pairs is None:
        raise WatershedError(
            "there are no answers to choose from", "give a file, or --sql QUERY; --results prints what was chosen"
        )
    from dagster_project.families.models.rank.server import RankServer

    server = RankServer(choices, port)
    say(f"{len(pairs):,} pairs of answers at {server.url} (Ctrl+C ends; --results prints the ranking)")
    with server:
        server.serve_forever()


def _print(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    import json

    from dagster_project.families.models.rank.choices import results

    found = results(rows)
    if as_json:
        data(json.dumps(found, ensure_ascii=False))
        return
    if not rows:
        say("nobody has chosen yet")
        return
    from dagster_project.cli.screen.render import console, print_rows

    screen = console()
    many = found["groups"] > 1
    names = ("model", "Elo", "95% interval", "win rate", "95% interval ", "wins", "ties", "losses")
    table = [
        (each["model"], f"{each['elo']:,.0f}", _between(each, "elo", ",.0f"), f"{each['win_rate']:.1%}")
        + (_between(each, "win", ".1%"), each["wins"], each["ties"], each["losses"])
        + ((each["group"],) if many else ())
        for each in found["models"]
    ]
    print_rows(screen, [*names, *(["group"] if many else [])], table)
    say()
    names = ("model", "against", "win rate", "95% interval", "wins", "ties", "losses")
    table = [
        (
            *(each["one"], each["other"], f"{each['win_rate']:.1%}", _between(each, "win", ".1%")),
            *(each["wins"], each["ties"], each["losses"]),
        )
        for each in found["pairs"]
    ]
    print_rows(screen, names, table)
    say()
    if many:
        say("no chain of choices connects models of different groups, so their ratings do not compare")
    left = "" if found["left_share"] is None else f"; the left answer won {found['left_share']:.0%} of decided ones"
    say(
        f"{found['choices']:,} choices on {found['questions']:,} questions, raters: {found['raters']:,}, "
        f"median {found['median_seconds']:,.0f} s{left}"
    )
    say(f"{found['method']}; intervals: {found['interval']}", dim=True)


def _between(each: dict[str, Any], name: str, form: str) -> str:
    low, high = each[f"{name}_low"], each[f"{name}_high"]
    return "one question" if low is None or high is None else f"{low:{form}} to {high:{form}}"

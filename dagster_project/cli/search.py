"""The command `watershed search`: finds tables, columns, sources, models, evaluations and other rows by words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from catalog.search.index import Found, Hit

NAME_WIDTH, TEXT_WIDTH = 60, 200


@click.command("search")
@click.argument("words", nargs=-1, required=True)
@click.option("--tag", help="Finds only what has this tag.")
@click.option("--family", help="Finds only what belongs to this family of tables, such as dclm.")
@click.option("--licence", help="Finds only what has these letters in its licence, such as odc-by.")
@click.option("--modality", help="Finds only what is of this modality: text, image, audio, video or tabular.")
@click.option("--kind", help="Finds only this kind: table, view, column, source, model, evaluation, paper ...")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="The most entries that are printed."
)
@click.option("--declared", is_flag=True, help="Also finds tables that are declared and not made yet.")
@click.option("--json", "as_json", is_flag=True, help="Prints a JSON object with all entries.")
@user_errors()
def search_command(  # noqa: PLR0917 (click passes them by name)
    words: tuple[str, ...],
    tag: str | None,
    family: str | None,
    licence: str | None,
    modality: str | None,
    kind: str | None,
    limit: int,
    declared: bool,
    as_json: bool,
) -> None:
    """Search the lake: tables, views, columns, sources, and rows such as models, evaluations, papers and resources.

    Names count more than descriptions, and entries with all words come first. A beginning of a word is enough, and
    typing errors are accepted: one in a word of four letters or more, two in a word of eight or more.

    \b
    Examples:
      watershed search web documents
      watershed search payload digest --kind column
      watershed search arithmetic --family evals
      watershed search papers --licence cc-by --json
    """
    import json
    from dataclasses import asdict

    from catalog.search.index import Filters, SearchIndex
    from catalog.settings import load_settings

    filters = Filters(family=family, tag=tag, licence=licence, modality=modality, kind=kind)
    with SearchIndex(load_settings()) as index:
        found = index.search(" ".join(words), limit=limit, filters=filters, declared=declared)
    for problem in found.problems:
        say(f"not searched: {problem}", err=True)
    if as_json:
        data(json.dumps(asdict(found), ensure_ascii=False))
        return
    _print(found)


def _print(found: Found) -> None:
    for word, used in found.corrected.items():
        say(f"nothing is called {word!r}: searched for {', '.join(used)}", err=True)
    if found.unknown:
        say(f"left out, because nothing is called so: {', '.join(found.unknown)}", err=True)
    if not found.hits:
        say("nothing was found; --declared also searches tables that are not made yet", err=True)
        return
    width = max(len(hit.kind) for hit in found.hits)
    for hit in found.hits:
        _print_hit(hit, width)
    best = found.hits[0]
    say(f"more: watershed describe {best.table}", err=True)


def _print_hit(hit: Hit, width: int) -> None:
    from catalog.printable import one_line

    where = "" if hit.name.startswith(hit.table) else f"  in {hit.table}"
    state = "" if hit.made else "  (not made yet)"
    say(f"{hit.kind:<{width}}  {one_line(hit.name, NAME_WIDTH)}{where}{state}")
    if hit.description:
        say(f"{'':<{width}}    {one_line(hit.description, TEXT_WIDTH)}")

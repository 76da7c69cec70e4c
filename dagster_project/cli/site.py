"""The command `watershed site`: the lake as a folder of pages, for a browser without a server."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import safe_console, say

LARGE = 100_000
"""Bytes above which a page is named, as too large for a slow connection."""


@click.group("site")
def site_command() -> None:
    """Build a static site of the lake: a page a table, a page a model, and search.

    \b
    Examples:
      watershed site build
    """


@site_command.command("build")
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("site"),
    show_default=True,
    metavar="DIR",
    help="The folder of the site. A site that is there is replaced; any other folder is refused.",
)
@user_errors()
def build_command(out: Path) -> None:
    """Build the site of the lake in a folder, from which a browser shows it without a server and without a network.

    Columns that may hold personal data are not shown, and patterns of such data in other texts are masked.

    \b
    Examples:
      watershed site build
      watershed site build --out /srv/www/lake
    """
    from catalog.cards.site.build import build_site
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars
    from dagster_project.engine.check_history import check_history

    settings = load_settings()
    with Bars(safe_console(stderr=True)).listening():
        built = build_site(settings, out, check_history(settings))
    say(f"{built.pages:,} pages, {built.entries:,} entries of search, largest page {built.largest / 1000:.0f} kB")
    if built.largest > LARGE:
        say("a page is larger than 100 kB: a table with very many columns", err=True)
    say(f"open {built.folder / 'index.html'}")

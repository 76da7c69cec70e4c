"""The command `watershed check`: checks tables against their contracts, for people and for CI."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import click

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import data, safe_console, say


@click.command("check")
@click.argument("tables", nargs=-1, metavar="[TABLE|FAMILY]...")
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "junit", "github"]),
    default="text",
    show_default=True,
    help="The format of the report: text to read, JSON for programs, JUnit XML for CI servers, or annotations for "
    "GitHub Actions.",
)
@click.option(
    "--engine",
    type=click.Choice(["duckdb", "gx"]),
    default="duckdb",
    show_default=True,
    help="The engine that evaluates the expectations. `gx` is Great Expectations on pandas, which reads whole tables "
    "into memory.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Writes the report to this file.",
)
@click.option("--partial", is_flag=True, help="Accepts tables that lack partitions.")
@click.option(
    "--storage",
    is_flag=True,
    help="Reads every file of the tables, and of the shards, models and other files that were written with them, and "
    "compares size and checksum with those that were recorded. Expectations are not evaluated.",
)
@user_errors()
def check_command(  # noqa: PLR0917 (click passes them by name)
    tables: tuple[str, ...], format_: str, engine: str, output: Path | None, partial: bool, storage: bool
) -> None:
    """Check the tables of the lake against the expectations of their contracts.

    All existing tables are checked, or only the named tables and families. The exit code is 0 if all expectations
    hold or only warn, 1 if some fail, and 2 if the check could not run. Each failure is one line with the table, the
    expectation, the observed value and example rows.

    A table also fails if its log or one of its files is missing or is not what was written, or if it lacks partitions.
    Checksums of some files, chosen at random, are verified each time, and those of all files with --storage.

    \b
    Examples:
      watershed check
      watershed check dclm.documents evals
      watershed check --format junit -o checks.xml
      watershed check dclm.documents --engine gx
      watershed check --storage
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars
    from dagster_project.cli.screen.render import written_atomically
    from quality.gate import check, check_storage, remember, select
    from quality.report import report, storage_summary, summary
    from quality.storage import storage_outcomes

    settings = load_settings()
    _, missing = select(Lake.of(settings), tables)
    with Bars(safe_console(stderr=True)).listening():
        verified = check_storage(settings, tables) if storage else []
        outcomes = [outcome for each in verified for outcome in storage_outcomes(each, every=True)]
        if not storage:
            outcomes = check(settings, tables, engine, partial=partial)
            # A lake that this user can only read stays as it is.
            with suppress(OSError, WatershedError):
                remember(Lake.of(settings), outcomes)
    if storage:
        say(storage_summary(verified), err=True)
    text = report(outcomes, format_, missing)
    if output:
        with written_atomically(output) as path:
            path.write_text(text)
        say(f"{summary(outcomes)}; report in {output}", err=True)
    elif format_ in ("json", "junit"):
        data(text, nl=False)
    else:
        for line in text.splitlines():
            say(line, fg=_colour(line) if format_ == "text" else None)
    sys.exit(1 if any(outcome.failed for outcome in outcomes) else 0)


def _colour(line: str) -> str | None:
    return "red" if "FAILED" in line else "yellow" if line.startswith("WARNED") else None

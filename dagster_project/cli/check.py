"""The command `watershed check`: checks tables against their contracts, for people and for CI."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from dagster_project.cli.screen.errors import user_errors


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
@user_errors()
def check_command(tables: tuple[str, ...], format_: str, engine: str, output: Path | None) -> None:
    """Check the tables of the lake against the expectations of their contracts.

    All existing tables are checked, or only the named tables and families. The exit code is 0 if all expectations
    hold or only warn, 1 if some fail, and 2 if the check could not run. Each failure is one line with the table, the
    expectation, the observed value and example rows.

    \b
    Examples:
      watershed check
      watershed check dclm.documents evals
      watershed check --format junit -o checks.xml
      watershed check dclm.documents --engine gx
    """
    from rich.console import Console

    from catalog.lake import Lake
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars
    from dagster_project.cli.screen.render import written_atomically
    from quality.gate import check, select
    from quality.report import report, summary

    settings = load_settings()
    _, missing = select(Lake.of(settings), tables)
    with Bars(Console(stderr=True)).listening():
        outcomes = check(settings, tables, engine)
    text = report(outcomes, format_, missing)
    if output:
        with written_atomically(output) as path:
            path.write_text(text)
        click.echo(f"{summary(outcomes)}; report in {output}", err=True)
    else:
        for line in text.splitlines():
            click.echo(click.style(line, fg=_colour(line) if format_ == "text" else None))
    sys.exit(1 if any(outcome.failed for outcome in outcomes) else 0)


def _colour(line: str) -> str | None:
    return "red" if "FAILED" in line else "yellow" if line.startswith("WARNED") else None

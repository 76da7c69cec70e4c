"""The command `watershed make`: makes tables and everything that they depend on, through Dagster."""

from __future__ import annotations

import time

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors


@click.command("make")
@click.argument("tables", nargs=-1, required=True, metavar="TABLE...")
@click.option(
    "--force",
    is_flag=True,
    help="Makes the named tables again, even if they are up to date. Shards and checkpoints whose digests hold are "
    "used again.",
)
@user_errors(RUN_AGAIN)
def make_command(tables: tuple[str, ...], force: bool) -> None:
    """Make tables, and the tables that they depend on, if they are out of date.

    A table is out of date if its recipe or a table that it reads has changed, or if a file that was written for it is
    missing or has another size. TABLE is a name that `watershed tables` lists. The crawl is read from the places that
    `[crawl] inputs` of watershed.toml names. The jobs are the same as in the UI, which shows their runs too.

    \b
    Examples:
      watershed make dclm.documents
      watershed make dclm.mixture evals.results
      watershed make --force dclm.tokenizer
    """
    from catalog.settings import load_settings
    from catalog.sql.query import export_duckdb
    from catalog.tables import contract
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.summary import costs_table
    from dagster_project.instance import open_instance
    from dagster_project.run import command_tags, make
    from spark_jobs.kernels.exercises import LAKE
    from spark_jobs.kernels.warm import warm_in_background
    from spark_jobs.spark.session import make_lacking_cache

    console, began, settings = wide_console(), time.monotonic(), load_settings()
    names = [contract(table).name for table in tables]
    # Machine code is made beside the start of Spark.
    warm_in_background(LAKE)
    instance = open_instance(settings)
    try:
        with Bars(console).listening():
            costs = make(settings, instance, names, force=names if force else (), tags=command_tags())
    finally:
        instance.dispose()
    make_lacking_cache()
    export_duckdb(settings, settings.project / "lake.duckdb")
    console.print(costs_table(costs) if costs else "Everything is up to date: nothing was made again.")
    console.print(f"{time.monotonic() - began:,.0f} s in all")

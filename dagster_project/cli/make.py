"""The command `watershed make`: makes tables and everything that they depend on, through Dagster."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors

if TYPE_CHECKING:
    import dagster as dg

    from catalog.settings import Settings
    from dagster_project.engine.steps import Step


@click.command("make")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option(
    "--force",
    is_flag=True,
    help="Makes the named tables again, even if they are up to date. Shards and checkpoints whose digests hold are "
    "used again.",
)
@click.option(
    "--plan",
    is_flag=True,
    help="Prints what would be made and why, with rows and times of past runs. Nothing is made.",
)
@user_errors(RUN_AGAIN)
def make_command(tables: tuple[str, ...], force: bool, plan: bool) -> None:
    """Make tables, and the tables that they depend on, if they are out of date.

    A table is out of date if its recipe or a table that it reads has changed, if a file that was written for it is
    missing or has another size, or if its rows break its contract. TABLE is a name that `watershed tables` lists.
    Without TABLE, all tables that were made before are brought up to date. The crawl is read from the places that
    `[crawl] inputs` of watershed.toml names, and the recipes from the folder `recipes` of the project, if it has a file
    of the same name. The jobs are the same as in the UI, which shows their runs too.

    \b
    Examples:
      watershed make dclm.documents
      watershed make dclm.mixture evals.results
      watershed make --force dclm.tokenizer
      watershed make --plan
      watershed make
    """
    from catalog.errors import WatershedError
    from catalog.settings import load_settings
    from catalog.tables import contract
    from dagster_project.instance import open_instance
    from dagster_project.run import made_before

    settings = load_settings()
    if force and not tables:
        raise WatershedError("--force is given without a table", "name the tables that are to be made again")
    names = [contract(table).name for table in tables] or made_before(settings)
    instance = open_instance(settings)
    try:
        if plan:
            _plan(settings, instance, names, names if force else [])
        else:
            _make(settings, instance, names, names if force else [])
    finally:
        instance.dispose()


def _plan(settings: Settings, instance: dg.DagsterInstance, names: list[str], force: list[str]) -> None:
    from dagster_project.cli.screen.plan import print_plan
    from dagster_project.cli.screen.render import console
    from dagster_project.run import plan

    print_plan(console(), settings, instance, plan(settings, instance, names, force))


def _make(settings: Settings, instance: dg.DagsterInstance, names: list[str], force: list[str]) -> None:
    from catalog.sql.query import export_duckdb
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.cli.screen.summary import costs_table
    from dagster_project.run import command_tags, make
    from spark_jobs.spark.session import make_lacking_cache

    console, began = wide_console(), time.monotonic()
    with Bars(console).listening():
        costs = make(settings, instance, names, force=force, tags=command_tags(), before=_compile_kernels)
    make_lacking_cache()
    export_duckdb(settings, settings.project / "lake.duckdb")
    console.print(costs_table(costs) if costs else "Everything is up to date: nothing was made again.")
    console.print(f"{time.monotonic() - began:,.0f} s in all")


def _compile_kernels(steps: Collection[Step]) -> None:
    """Start to make machine code beside the start of Spark if a step uses it, unless it has been made."""
    from spark_jobs.kernels.exercises import LAKE
    from spark_jobs.kernels.warm import is_warm, warm_in_background

    if any(step.engine == "spark" for step in steps) and not is_warm(LAKE):
        warm_in_background(LAKE)

"""The command `watershed registry import`: imports DCLM's data sets, models and evaluations as tables."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    from catalog.settings import Settings

VARIABLE = "WATERSHED_REGISTRY_FOLDER"
COUNTS_SQL = """
SELECT (SELECT count(*) FILTER (WHERE tokenized) FROM models.registry_datasets) AS tokenized,
       (SELECT count(*) FILTER (WHERE NOT tokenized) FROM models.registry_datasets) AS raw,
       (SELECT count(*) FROM models.registry) AS models, (SELECT count(*) FROM evals.registry) AS evaluations,
       (SELECT count(*) FROM evals.registry_scores) AS scores
"""


@click.group("registry")
def registry_command() -> None:
    """Import experiments that others have published.

    \b
    Examples:
      watershed registry import exp_data
    """


@registry_command.command("import")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@user_errors()
def import_command(folder: Path) -> None:
    """Import DCLM's registry (exp_data of mlfoundations/dclm) into models.registry* and evals.registry*.

    DIR contains datasets/tokenized, datasets/raw_sources, models and evals. All files are read before a row is written.
    If the same files have been imported before, nothing is written. References to missing entries are reported and do
    not stop the import.

    \b
    Examples:
      watershed registry import exp_data
    """
    from catalog.settings import load_settings
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.jobs import TABLES
    from dagster_project.run import make_by_command
    from spark_jobs.registry.dclm_files import read_registry
    from trainers.icl.aggregate import aggregates

    read_registry(folder.expanduser(), aggregates)
    with _registry_folder(folder):
        settings = load_settings()
        with Bars(wide_console()).listening():
            costs = make_by_command(settings, TABLES["registry"])
    if not costs:
        say("these files have been imported before: nothing to do")
    _print_counts(settings)


@contextmanager
def _registry_folder(folder: Path) -> Generator[None]:
    """Set `[registry] folder` in the environment until the block ends."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder.expanduser().absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def _print_counts(settings: Settings) -> None:
    from catalog.sql.query import connect
    from dagster_project.jobs import TABLES
    from quality.gate import check

    (counts,) = connect(settings).execute(COUNTS_SQL).to_arrow_table().to_pylist()
    say(
        "{tokenized:,} tokenized and {raw:,} raw data sets, {models:,} models, "
        "{evaluations:,} evaluations with {scores:,} task scores".format(**counts)
    )
    warned = [outcome for outcome in check(settings, TABLES["registry"]) if outcome.warned]
    for outcome in warned:
        say(f"WARNED {outcome.line(rows=False)}", fg="yellow")
    if warned:
        say(f"`watershed check {' '.join(dict.fromkeys(each.table for each in warned))}` lists the rows")

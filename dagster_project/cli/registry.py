"""The commands `watershed registry import|export|rank`: DCLM's registry as tables, own runs in it, and the ranking."""

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
    from spark_jobs.registry.ranking import Metric

FILE = click.Path(path_type=Path)
VARIABLE = "WATERSHED_REGISTRY_FOLDER"
COUNTS_SQL = """
SELECT (SELECT count(*) FILTER (WHERE tokenized) FROM models.registry_datasets) AS tokenized,
       (SELECT count(*) FILTER (WHERE NOT tokenized) FROM models.registry_datasets) AS raw,
       (SELECT count(*) FROM models.registry) AS models, (SELECT count(*) FROM evals.registry) AS evaluations,
       (SELECT count(*) FROM evals.registry_scores) AS scores
"""


@click.group("registry")
def registry_command() -> None:
    """Import published experiments, export own runs in the same format, and rank both.

    \b
    Examples:
      watershed registry import exp_data
      watershed registry export runs/dclm-400M-1xC --evaluation results --dataset my_filter --out own
      watershed registry rank exp_data own --scale 400M-1x
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


@registry_command.command("export")
@click.argument("run")
@click.option(
    "--evaluation", type=FILE, required=True, metavar="DIR", help="The folder that `watershed evals run` wrote."
)
@click.option("--dataset", required=True, metavar="NAME", help="The name of the data set that the run read.")
@click.option("--out", type=FILE, required=True, metavar="DIR", help="The folder for the files of the registry.")
@click.option("--name", default="", help="The name of the model. The default is made of the data set and the run.")
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="NAME",
    help="The name of a raw data set that the data set was made of; repeatable. The default is the data set's name.",
)
@click.option(
    "--track",
    default="",
    metavar="TRACK",
    help="The track: filtering or mixing. The default is filtering for one source and mixing for several.",
)
@user_errors()
def export_command(
    *, run: str, evaluation: Path, dataset: str, out: Path, name: str, sources: tuple[str, ...], track: str
) -> None:
    """Export a run as entries of DCLM's registry: the data set, its sources, the model and the evaluation.

    RUN is the folder of a finished pre-training run, or the name of a run of the lake. The evaluation must be of its
    last checkpoint and contain the 22 tasks of CORE with all their examples. DIR may be a copy of DCLM's registry. A
    file of another entry is never replaced. The same run gives the same files.

    \b
    Examples:
      watershed registry export runs/dclm-400M-1xC --evaluation results --dataset my_filter --out own
    """
    from dagster_project.families.registry.own_runs import Names, export_run, find_run
    from spark_jobs.registry.ranking import SIZES

    folder = find_run(run)
    names = Names(dataset=dataset, model=name, sources=sources, track=track)
    exported = export_run(folder, evaluation, out, names)
    for file in exported.files:
        say(str(out / file))
    say(f"{exported.model}: CORE {exported.core:.4f} (v2), {exported.scale or 'no scale of DCLM'}, {exported.track}")
    if exported.scale is None:
        say(
            f"its size is none of DCLM's ({', '.join(SIZES)}): `watershed registry rank` gives it no place", fg="yellow"
        )


@registry_command.command("rank")
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=FILE)
@click.option("--scale", default="", metavar="SCALE", help="Only this scale, such as 400M-1x or 7B-2x.")
@click.option("--track", default="", metavar="TRACK", help="Only this track: filtering, mixing or unknown.")
@click.option(
    "--by",
    "metric",
    default="core",
    show_default=True,
    type=click.Choice(("core", "extended", "mmlu")),
    help="What is ranked by. Baselines are those of version 2.",
)
@click.option("--own", is_flag=True, help="Prints only own runs, with their places among all.")
@click.option("--out", type=FILE, metavar="CSV", help="Writes the rows to a file too.")
@user_errors()
def rank_command(
    *, folders: tuple[Path, ...], scale: str, track: str, metric: Metric, own: bool, out: Path | None
) -> None:
    """Rank evaluated models by scale and track.

    Each DIR is a folder in the format of DCLM's registry, such as a copy of exp_data or the --out of `watershed
    registry export`. Without one, the tables of `watershed registry import` are ranked. The newest evaluation of a
    model counts.

    \b
    Examples:
      watershed registry rank exp_data own --scale 400M-1x
      watershed registry rank --scale 7B-2x --track filtering --by mmlu
    """
    from dagster_project.cli.screen.render import console, print_rows
    from dagster_project.families.registry.ranked import COLUMNS, ranked_tables, row, write_csv
    from spark_jobs.registry.ranking import entries, ranking

    found, notes = entries(ranked_tables([folder.expanduser() for folder in folders]))
    result = ranking(found, metric, scale=scale, track=track)
    rows = [row(place) for place in result.places if place.entry.own or not own]
    if rows:
        print_rows(console(), COLUMNS, rows)
    else:
        say("no own run has a place" if own else "no model has a place")
    for note in (*notes, *result.notes):
        say(note, fg="yellow")
    if out is not None:
        write_csv(out, rows)
        say(f"{out}: {len(rows):,} rows")


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

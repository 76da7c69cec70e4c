"""The command `watershed demo`: writes a crawl, runs the main jobs through Dagster, and summarises the results."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors

if TYPE_CHECKING:
    from rich.console import Console

    from catalog.settings import Settings


@click.command("demo")
@click.argument(
    "which",
    required=False,
    type=click.Choice(["dialogues", "mathfish", "posttrain", "router", "scholar"]),
    metavar="[dialogues|mathfish|posttrain|router|scholar]",
)
@click.option(
    "--size",
    type=click.Choice(["smoke", "small", "standard"], case_sensitive=False),
    default="small",
    show_default=True,
    help="The size of the crawl and of the ladder of models. `smoke` takes a minute or two, `small` some minutes, and "
    "`standard` about twenty minutes.",
)
@click.option(
    "--crawl",
    "crawl",
    multiple=True,
    metavar="PATH_OR_URL",
    help="Reads this WARC file (plain, .gz, .zst or .xz), folder, glob pattern, URL or .paths list instead of crawling "
    "this machine. May be given several times.",
)
@click.option("--snapshot", default=None, metavar="NAME", help="Names the crawl. The default is the size.")
@click.option(
    "--seeds",
    default=1,
    show_default=True,
    type=click.IntRange(1, 20),
    help="Of `posttrain`: runs, each with its own data.",
)
@click.option("--controls", is_flag=True, help="Of `posttrain`: compares verified rewards with random ones.")
@click.option(
    "--papers",
    multiple=True,
    metavar="PATH",
    help="With `scholar`: papers to read besides this machine's documents. May be given several times.",
)
@click.option("--standards", default="", metavar="PATH", help="With `mathfish`: standards in the schema of MathFish.")
@click.option(
    "--problems",
    multiple=True,
    metavar="PATH",
    help="With `mathfish`: problems as published; a .csv file has teachers' verdicts. May be given several times.",
)
@click.option("--plan", is_flag=True, help="Prints what would be made and how large it would be, and runs nothing.")
@user_errors(RUN_AGAIN)
def demo_command(  # noqa: PLR0917 (click passes them by name)
    which: str | None,
    size: str,
    crawl: tuple[str, ...],
    snapshot: str | None,
    seeds: int,
    controls: bool,
    papers: tuple[str, ...],
    standards: str,
    problems: tuple[str, ...],
    plan: bool,
) -> None:
    """Run the whole pipeline on this machine, from web archives to a checked prediction.

    The demo crawls the documentation installed on this machine, or reads the archives of --crawl. It then runs the
    jobs `curation` and `scaling` through Dagster and summarises the results. It can be run again at any time: only
    tables that are out of date are made, and what an interrupted run finished is kept.

    With `dialogues`, SmolLM2 and a tiny model that is trained first talk to themselves instead, and revise what
    violates a principle.

    With `posttrain`, a small base model is trained on chats, then on pairs, then on verified rewards. The demo shows
    how many held-out problems each stage solves, and replies before and after.

    With `router`, the documentation of packages becomes six domains and two more. An expert of an encoder is trained on
    each of the six, and a router between the experts is compared with a single encoder and with multi-task training.

    With `scholar`, the documentation of this machine becomes a datastore of papers, searches are compared in it, and
    five questions are answered with quotations, one of them by SmolLM2.

    With `mathfish`, SmolLM2 and a tiny model that is trained first say which standards of a curriculum problems teach,
    and are compared with random answers by grade.

    \b
    Examples:
      watershed demo --size smoke --plan
      watershed demo --size small
      watershed demo dialogues --size smoke
      watershed demo posttrain --size smoke
      watershed demo posttrain --seeds 3 --controls
      watershed demo router --size smoke
      watershed demo scholar --size smoke
      watershed demo mathfish --size smoke
      watershed demo mathfish --standards standards.jsonl --problems dev.jsonl
      watershed demo --crawl crawl/CC-MAIN-20260101.warc.gz --snapshot CC-MAIN-2026-01
    """
    if which and (crawl or snapshot or plan):
        raise click.UsageError(f"--crawl, --snapshot and --plan belong to the demo without `{which}`")
    if which != "posttrain" and (seeds > 1 or controls):
        raise click.UsageError("--seeds and --controls belong to `watershed demo posttrain`")
    if which == "posttrain":
        from dagster_project.cli.demo_posttrain import run_posttrain

        run_posttrain(size, seeds, controls)
        return
    if papers and which != "scholar":
        raise click.UsageError("--papers belongs to the demo `scholar`")
    if (standards or problems) and which != "mathfish":
        raise click.UsageError("--standards and --problems belong to the demo `mathfish`")
    if which == "mathfish":
        from dagster_project.cli.demo_mathfish import run_mathfish

        run_mathfish(size, standards, problems)
        return
    if which == "dialogues":
        from dagster_project.cli.demo_dialogues import run_dialogues

        run_dialogues(size)
        return
    if which == "router":
        from dagster_project.cli.demo_router import run_router

        run_router(size)
        return
    if which == "scholar":
        from dagster_project.cli.demo_scholar import run_scholar

        run_scholar(size, papers)
        return
    from catalog.settings import load_settings
    from dagster_project.cli.demo_choices import choose
    from dagster_project.cli.screen.bars import Bars, wide_console

    console, began = wide_console(), time.monotonic()
    if plan:
        from dagster_project.cli.demo_plan import print_plan

        print_plan(console, size, crawl)
        return
    from spark_jobs.kernels.exercises import LAKE
    from spark_jobs.kernels.warm import warm_in_background

    # Machine code is made beside the crawl and the start of Spark.
    warm_in_background(LAKE)
    if size == "smoke":
        # Java's second compiler takes a third of its processor time here, and ends too soon to give it back.
        os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=1")
    settings = choose(load_settings(), size, crawl, snapshot)
    if not crawl:
        write_demo_crawl(console, settings, size)
    from catalog.sql.query import export_duckdb
    from dagster_project.cli.screen.summary import print_summary
    from dagster_project.jobs import DEMO
    from dagster_project.run import make_by_command
    from spark_jobs.spark.session import make_lacking_cache

    console.print(
        f"lake {settings.lake_root}\nDagster home {settings.dagster_home}", style="dim", soft_wrap=True, markup=False
    )
    with Bars(console).listening():
        costs = make_by_command(settings, DEMO)
    make_lacking_cache()
    export_duckdb(settings, settings.project / "lake.duckdb")
    print_summary(console, settings, costs, time.monotonic() - began)


def write_demo_crawl(console: Console, settings: Settings, size: str) -> None:
    """Write the crawl of this machine's documentation, unless it has been written before, and print its size."""
    from rich.markup import escape

    from catalog.progress import track
    from dagster_project.cli.demo_choices import CRAWL_FOLDER
    from dagster_project.cli.screen.bars import Bars
    from dagster_project.families.demo.sizes import SIZES
    from spark_jobs.demo.crawl import write_crawl

    folder, planned = settings.project / CRAWL_FOLDER / size, SIZES[size].crawl
    with Bars(console).listening(), track("crawl", planned.pages, "pages") as task:
        report = write_crawl(folder, planned, label=size, progress=lambda done, total: task.reach(done))
    console.print(
        f"crawl of this machine: {report.pages:,} pages of {report.hosts} hosts in {len(report.files)} WARC files, "
        f"{report.html_bytes / 1e6:,.0f} MB of HTML   [dim]{escape(str(folder))}[/]",
        soft_wrap=True,
    )

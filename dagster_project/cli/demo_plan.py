"""The plan of `watershed demo --plan`: what a demo would make, and its size. Nothing is run or written."""

from __future__ import annotations

import glob
from dataclasses import replace

from rich.console import Console
from rich.table import Table

from catalog.lake import Lake
from catalog.settings import Settings, load_settings


def print_plan(console: Console, size: str, crawl: tuple[str, ...]) -> None:
    """Print the size of the crawl, the steps with the partitions that are due, and the cost of the ladder."""
    settings = planned_settings(load_settings(), size, crawl)
    console.print(_crawl_line(settings, size, own=bool(crawl)), soft_wrap=True, markup=False)
    console.print(_steps_table(settings))
    console.print(_ladder_table(size))
    console.print("Nothing was run. Leave out --plan to run it.", style="bold")


def planned_settings(settings: Settings, size: str, crawl: tuple[str, ...]) -> Settings:
    """Return the settings that a demo with these choices would have. Nothing is written."""
    from dagster_project.cli.demo_choices import chosen_inputs

    return replace(
        settings,
        crawl=replace(settings.crawl, inputs=chosen_inputs(size, crawl)),
        ladder=replace(settings.ladder, name=size),
    )


def _crawl_exists(settings: Settings) -> bool:
    return any("://" in place or glob.glob(place) for place in settings.crawl_inputs)


def _crawl_line(settings: Settings, size: str, *, own: bool) -> str:
    from dagster_project.families.demo.sizes import SIZES

    if own or _crawl_exists(settings):
        return f"crawl: {', '.join(settings.crawl_inputs)}"
    planned = SIZES[size].crawl
    return (
        f"crawl: up to {planned.pages:,} pages of this machine's documentation, "
        f"at most {planned.max_html_bytes / 1e6:,.0f} MB of HTML in {planned.warc_files} WARC files"
    )


def _steps_table(settings: Settings) -> Table:
    from dagster_project.assets import steps
    from dagster_project.engine.steps import State
    from dagster_project.jobs import DEMO, job_of
    from dagster_project.run import wanted

    table = Table("job", "tables", "partitions", "state", title="tables", title_justify="left")
    state = State(steps(), settings) if _crawl_exists(settings) else None
    lake = Lake.of(settings)
    for step in wanted(steps(), DEMO):
        due = len(state.due(step)) if state else 1
        partitions = len(step.partitions(settings)) if state else 1
        known = "up to date" if not due else "out of date" if lake.exists(step.name) else "to be made"
        table.add_row(
            job_of(step.name),
            ", ".join(contract.name for contract in step.contracts),
            f"{due} of {partitions}" if state and step.cut else "",
            known,
        )
    return table


def _ladder_table(size: str) -> Table:
    from dagster_project.families.dclm.recipes import SEQUENCE_LENGTH, VOCABULARY
    from dagster_project.families.demo.sizes import SIZES
    from trainers.pretraining.presets import plan

    ladder = SIZES[size].ladder
    table = Table("run", "parameters", "tokens", "FLOPs", title=f"ladder {size}", title_justify="left")
    for run in (*ladder.runs, *ladder.targets):
        planned = plan(run, VOCABULARY, SEQUENCE_LENGTH)
        table.add_row(
            run + ("  (target)" if run in ladder.targets else ""),
            f"{planned['parameters']:,}",
            f"{planned['tokens']:,}",
            f"{planned['flops']:.2e}",
        )
    return table

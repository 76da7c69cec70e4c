"""`watershed curate`: a recipe on plain files, without Spark or a lake."""

from __future__ import annotations

from pathlib import Path

import click

from dagster_project.cli.screen.errors import user_errors


@click.command("curate")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--recipe", required=True, metavar="NAME|FILE", help="A recipe that comes along, or a YAML file.")
@click.option("--out", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the results.")
@click.option("--explain", metavar="DOC_ID", help="Tell what every step thinks of one document, and why.")
@click.option(
    "--against",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="INDEX",
    help="An earlier run's folder or index.parquet: its documents count as seen. May be given several times.",
)
@click.option(
    "--decontaminate",
    "evaluations",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="JSONL",
    help="An evaluation's examples, a line each: documents that hold one are dropped. May be given several times.",
)
@click.option("--workers", type=click.IntRange(1), help="Processes; as many as there are cores unless told.")
@user_errors
def curate_command(  # noqa: PLR0917 (click hands them over by name)
    inputs: tuple[str, ...],
    recipe: str,
    out: Path,
    explain: str | None,
    against: tuple[Path, ...],
    evaluations: tuple[Path, ...],
    workers: int | None,
) -> None:
    """Filter and deduplicate documents by a published recipe.

    INPUT: WARC files, JSONL (plain, .gz, .zst) or Parquet with columns id and text (url and metadata are used where
    they are there), folders of such files, or patterns. Writes kept.parquet, verdicts.parquet, duplicates.parquet,
    index.parquet and report.html into --out. The same command goes on where an interrupted one stopped.
    """
    from rich.console import Console

    from dagster_project.cli.screen.bars import Bars, wide_console
    from spark_jobs.curate.contamination import held_share
    from spark_jobs.curate.explain import explain_document
    from spark_jobs.curate.inputs import find_sources
    from spark_jobs.curate.report import funnel, write_report
    from spark_jobs.curate.run import curate
    from spark_jobs.recipes.reader import load_recipe

    steps, sources = load_recipe(recipe), find_sources(inputs)
    if explain is not None:
        for line in explain_document(sources, steps, explain, out):
            click.echo(line)
        return
    with Bars(Console(stderr=True)).listening():
        outcome = curate(sources, steps, out, against=against, evaluations=evaluations, workers=workers)
    report = write_report(out, steps, outcome)
    console = wide_console()
    for warning in outcome.warnings:
        click.echo(f"{click.style('warning:', fg='yellow', bold=True)} {warning}", err=True)
    for name, before, dropped, _ in funnel(steps, outcome):
        if dropped or name == "kept":
            share = f"{dropped / before:6.1%}" if dropped else ""
            console.print(f"{name:<44} {before:>12,} {f'-{dropped:,}' if dropped else '':>12} {share}", highlight=False)
    if outcome.contamination:
        for name, examples, hit, share in held_share(outcome.contamination):
            console.print(f"{name}: {hit:,} of {examples:,} examples held ({share:.1%})", highlight=False)
    console.print(f"look at {report}", highlight=False)

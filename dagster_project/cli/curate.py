"""The command `watershed curate`: applies a recipe to plain files, without Spark or a lake."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import safe_console, say


@click.command("curate")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option(
    "--recipe",
    required=True,
    metavar="NAME|FILE",
    help="The recipe: a name such as dclm-baseline, fineweb, gopher, c4, dolma or refinedweb, or a YAML file.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="The folder for the results. It is made if it does not exist.",
)
@click.option(
    "--explain",
    metavar="DOC_ID",
    help="Prints the decision of each step on one document, with the values that it measured, and writes nothing.",
)
@click.option(
    "--against",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    metavar="INDEX",
    help="The --out folder of an earlier run. Copies of documents that it kept are dropped. Its index.parquet alone is "
    "enough for recipes that compare no texts. May be given several times.",
)
@click.option(
    "--decontaminate",
    "evaluations",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="JSONL",
    help="The examples of an evaluation, one JSON object per line. Documents that contain an example are dropped. May "
    "be given several times.",
)
@click.option(
    "--decontaminate-rule",
    "rule",
    type=click.Choice(["fields", "ngram"]),
    help="How documents are compared with examples: question, answers and passage each on its own (fields), or any 13 "
    "words in a row (ngram). The default is the recipe's rule, or fields.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="The number of processes. The default is one for each core, or one process if the inputs are small.",
)
@user_errors(RUN_AGAIN)
def curate_command(  # noqa: PLR0917 (click passes them by name)
    inputs: tuple[str, ...],
    recipe: str,
    out: Path,
    explain: str | None,
    against: tuple[Path, ...],
    evaluations: tuple[Path, ...],
    rule: str | None,
    workers: int | None,
) -> None:
    """Filter and deduplicate documents by a published recipe. No lake is needed.

    INPUT is a WARC file (plain, .gz, .zst or .xz), a JSONL file (plain, .gz or .zst), a Parquet file, a folder of such
    files, or a glob pattern.
    JSONL and Parquet need the columns `id` and `text`; `url` and `metadata` are read where they exist. The command
    writes kept.parquet, verdicts.parquet, duplicates.parquet, index.parquet and report.html. A run that was interrupted
    continues when the same command is given again.

    \b
    Examples:
      watershed curate documents.jsonl --recipe dclm-baseline --out curated
      watershed curate crawl --recipe FineWeb --out curated --workers 4
      watershed curate documents.jsonl --recipe gopher --out curated --explain doc-17
      watershed curate new.parquet --recipe fineweb --out second --against first
      watershed curate documents.jsonl --recipe c4 --out clean --decontaminate mmlu.jsonl
    """
    from spark_jobs.contamination.rules import RULES
    from spark_jobs.curate.copies_report import copies_lines
    from spark_jobs.curate.inputs import find_sources
    from spark_jobs.curate.report import funnel, write_report
    from spark_jobs.curate.run import curate
    from spark_jobs.kernels.warm import is_warm, warm_in_background
    from spark_jobs.light_imports import light_imports
    from spark_jobs.recipes.reader import load_recipe

    steps, sources = load_recipe(recipe), find_sources(inputs)
    light_imports()
    if explain is not None:
        from spark_jobs.curate.explain import explain_document

        for line in explain_document(sources, steps, explain, out):
            say(line)
        return
    if not is_warm():
        warm_in_background()
    with bars():
        outcome = curate(
            sources,
            steps,
            out,
            against=against,
            evaluations=evaluations,
            decontamination=RULES[rule] if rule else None,
            workers=workers,
        )
    report = write_report(out, steps, outcome)
    for warning in outcome.warnings:
        say(warning, label="warning:", err=True, fg="yellow", bold=True)
    for name, before, dropped, _ in funnel(steps, outcome):
        if dropped or name == "kept":
            share = f"{dropped / before:6.1%}" if dropped else ""
            say(f"{name:<44} {before:>12,} {f'-{dropped:,}' if dropped else '':>12} {share}")
    for line in copies_lines(outcome):
        say(line)
    if outcome.contamination:
        from spark_jobs.curate.contamination import held_share

        for name, examples, silent, hit, share in held_share(outcome.contamination):
            unseen = f", {silent:,} cannot be found" if silent else ""
            say(f"{name}: {hit:,} of {examples:,} examples held ({share:.1%}){unseen}")
    say(f"wrote {report}")


def bars() -> AbstractContextManager[None]:
    """Return progress bars for a terminal. Without a terminal nothing is drawn, and rich is not imported."""
    if not sys.stderr.isatty():
        return nullcontext()
    from dagster_project.cli.screen.bars import Bars

    return Bars(safe_console(stderr=True)).listening()

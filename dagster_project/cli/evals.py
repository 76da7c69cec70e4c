"""`watershed evals run|tasks|check`: DCLM's in-context evaluation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dagster_project.cli.screen.errors import say_error, user_errors

if TYPE_CHECKING:
    from trainers.icl.tasks import Kind

FILE = click.Path(path_type=Path)
KINDS = ("multiple_choice", "schema", "language_modeling", "generation_with_answers")


@click.group("evals")
def evals_command() -> None:
    """Evaluate models on DCLM's 53 tasks: CORE, EXTENDED, MMLU.

    \b
    watershed evals tasks
    watershed evals check eval_tasks/*/*.jsonl
    watershed evals run ./olmoe --data eval_tasks --tasks core --out evals/olmoe --lake
    """


@evals_command.command("run")
@click.argument("model", type=FILE)
@click.option("--data", type=FILE, required=True, help="Folder of the task files, JSON lines or Parquet.")
@click.option("--tasks", default="", help="Names with commas between, core, or extended; all by default.")
@click.option("--version", default="v2", show_default=True, help="Of the random baselines: v1 or v2.")
@click.option("--limit", default=0, type=click.IntRange(0), help="Examples of each task, from the first on; 0: all.")
@click.option("--out", type=FILE, required=True, help="Folder for results.parquet and summary.json.")
@click.option("--name", default="", help="The model's name in the results; its folder's by default.")
@click.option(
    "--batch-tokens", default=0, type=click.IntRange(0), help="Tokens read at a time; 0: as suits the device."
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:1.")
@click.option("--dtype", default="float32", show_default=True, help="float32 or bfloat16.")
@click.option("--lake", "into_lake", is_flag=True, help="Keep the answers in evals.answers too.")
@user_errors
def run_command(*, into_lake: bool, **said: Any) -> None:
    """Ask MODEL: a checkpoint, a run (its newest checkpoint), or a Hugging Face folder.

    Started again with the same --out, an evaluation that was stopped goes on where it was.
    """
    from rich.console import Console

    from catalog.progress import track
    from dagster_project.cli.screen.bars import Bars
    from trainers.evaluate import IclConfig, evaluate
    from trainers.process.config_file import from_mapping

    said |= {name: str(said[name]) for name in ("model", "data", "out")}
    said["tasks"] = [name.strip() for name in said["tasks"].split(",") if name.strip()]
    config = from_mapping(said, IclConfig, "watershed evals run")
    with Bars(Console(stderr=True)).listening(), track(Path(config.model).name, 0, "examples") as task:
        summary = evaluate(config, lambda done, total: task.reach(done, total=total))
    _print_summary(summary)
    click.echo(f"{config.out}: results.parquet has a row an example, summary.json these numbers")
    if into_lake:
        from catalog.settings import load_settings
        from dagster_project.families.evals.answers import store_answers

        click.echo(f"evals.answers: {store_answers(load_settings(), Path(config.out)):,} rows of {summary['model']}")


def _print_summary(summary: dict[str, Any]) -> None:
    from dagster_project.cli.screen.render import console, print_rows

    names = ("task", "accuracy", "centred", "bits_per_byte", "asked")
    print_rows(console(), names, [[entry[name] for name in names] for entry in summary["tasks"]])
    for name, reason in summary["missing"].items():
        click.echo(f"{name}: not asked, {reason}")
    for name in ("core", "extended", "mmlu"):
        found = summary[name]
        value = found["reason"] if found["value"] is None else f"{found['value']:.4f} ({summary['version']})"
        click.echo(f"{name.upper():<9} {value}")
    if summary["limit"]:
        click.echo(f"only the first {summary['limit']} examples of each task were asked")


@evals_command.command("tasks")
def tasks_command() -> None:
    """List the 53 tasks: kind, shots, both random baselines, and whether they count in CORE."""
    from dagster_project.cli.screen.render import console, print_rows
    from trainers.icl.tasks import dclm_tasks

    names = ("task", "kind", "shots", "v1", "v2", "core", "category", "file")
    rows = [
        [task.name, task.kind, task.shots, *task.baseline.values(), task.core, task.category, task.file]
        for task in dclm_tasks()
    ]
    print_rows(console(), names, rows)


@evals_command.command("check")
@click.argument("files", type=FILE, nargs=-1, required=True)
@click.option("--kind", type=click.Choice(KINDS), help="Of the examples; by default what the file's task declares.")
def check_command(files: tuple[Path, ...], kind: Kind | None) -> None:
    """Read task FILES and name what is malformed: file, line, cause, mend; exit code 2 if anything is."""
    from trainers.icl.files import read_examples, read_task, task_of_file
    from trainers.process.errors import EXIT_USER_ERROR, TrainerError

    wrong = False
    for path in files:
        task = None if kind else task_of_file(path)
        try:
            examples = read_task(path, task) if task else read_examples(path, kind)
            click.echo(f"{path}: {len(examples)} examples")
        except TrainerError as error:
            wrong = True
            say_error(error.cause, error.mend)
    if wrong:
        raise SystemExit(EXIT_USER_ERROR)

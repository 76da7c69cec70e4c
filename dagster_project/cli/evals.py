"""The commands `watershed evals run|tasks|check`: evaluation of models on DCLM's 53 in-context tasks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dagster_project.cli.screen.errors import RUN_AGAIN, print_error, user_errors
from dagster_project.cli.screen.say import safe_console, say

if TYPE_CHECKING:
    from trainers.icl.tasks import Kind

FILE = click.Path(path_type=Path)
KINDS = ("multiple_choice", "schema", "language_modeling", "generation_with_answers", "code_generation")


@click.group("evals")
def evals_command() -> None:
    """Evaluate models on DCLM's 53 tasks and report CORE, EXTENDED and MMLU.

    \b
    Examples:
      watershed evals tasks
      watershed evals check eval_tasks/copa.jsonl
      watershed evals run olmoe --data eval_tasks --tasks core --out results --lake
    """


@evals_command.command("run")
@click.argument("model", type=FILE)
@click.option("--data", type=FILE, metavar="DIR", help="The folder of DCLM's task files, in JSON lines or Parquet.")
@click.option(
    "--file",
    "files",
    type=FILE,
    multiple=True,
    metavar="FILE",
    help="A task file of your own, in one of the documented formats. Its name is the name of the task.",
)
@click.option(
    "--shots", default=0, type=click.IntRange(0), help="Solved examples before each question of your own files."
)
@click.option(
    "--samples", default=1, show_default=True, type=click.IntRange(1), help="Programs for each problem of code."
)
@click.option("--temperature", default=0.0, show_default=True, help="The temperature at which programs are drawn.")
@click.option(
    "--tasks",
    default="",
    metavar="TASK,...",
    help="The tasks, separated by commas, or core, or extended. The default is all.",
)
@click.option("--version", default="v2", show_default=True, help="The version of the random baselines: v1 or v2.")
@click.option(
    "--limit", default=0, type=click.IntRange(0), help="Evaluates only the first examples of each task. 0 means all."
)
@click.option("--out", type=FILE, required=True, metavar="DIR", help="The folder for results.parquet and summary.json.")
@click.option("--name", default="", help="The name of the model in the results. The default is the name of its folder.")
@click.option(
    "--batch-tokens",
    default=0,
    type=click.IntRange(0),
    help="The number of tokens in a batch. 0 chooses a number that suits the device.",
)
@click.option(
    "--device", default="auto", show_default=True, help="The device: auto, cpu, cuda, or one GPU such as cuda:1."
)
@click.option("--dtype", default="float32", show_default=True, help="The type of the weights: float32 or bfloat16.")
@click.option(
    "--lake", "into_lake", is_flag=True, help="Stores the answers in the table evals.answers of the lake too."
)
@user_errors(RUN_AGAIN)
def run_command(*, into_lake: bool, **options: Any) -> None:
    """Evaluate a model on DCLM's tasks, or on task files of your own.

    MODEL is a checkpoint, the folder of a run, of which the newest checkpoint is taken, or a Hugging Face folder. An
    evaluation that was stopped continues when it is started again with the same --out.

    \b
    Examples:
      watershed evals run olmoe --data eval_tasks --tasks core --out results
      watershed evals run olmoe --data eval_tasks --tasks COPA,hellaswag --limit 100 --out results
      watershed evals run olmoe --file quiz.jsonl --file programs.jsonl --samples 20 --temperature 0.8 --out results
    """
    from catalog.progress import track
    from dagster_project.cli.screen.bars import Bars
    from trainers.evaluate import IclConfig, evaluate
    from trainers.process.config_file import from_mapping

    options |= {name: str(options[name] or "") for name in ("model", "data", "out")}
    options["files"] = [str(path) for path in options["files"]]
    options["tasks"] = [name.strip() for name in options["tasks"].split(",") if name.strip()]
    config = from_mapping(options, IclConfig, "watershed evals run")
    with Bars(safe_console(stderr=True)).listening(), track(Path(config.model).name, 0, "examples") as task:
        summary = evaluate(config, lambda done, total: task.reach(done, total=total))
    _print_summary(summary)
    say(f"{config.out}: results.parquet has a row for each example, summary.json has these numbers")
    if into_lake:
        from catalog.settings import load_settings
        from dagster_project.families.evals.answers import store_answers

        say(f"evals.answers: {store_answers(load_settings(), Path(config.out)):,} rows of {summary['model']}")


def _print_summary(summary: dict[str, Any]) -> None:
    from dagster_project.cli.screen.render import console, print_rows

    names = ("task", "accuracy", "centred", "bits_per_byte", "asked")
    print_rows(console(), names, [[entry.get(name) for name in names] for entry in summary["tasks"]])
    for entry in summary["tasks"]:
        if passes := [f"pass@{name[8:]} {value:.4f}" for name, value in entry.items() if name.startswith("pass_at_")]:
            say(f"{entry['task']}: {', '.join(passes)}")
    for name, reason in summary["missing"].items():
        say(f"{name}: not evaluated, {reason}")
    for name in ("core", "extended", "mmlu"):
        found = summary[name]
        value = found["reason"] if found["value"] is None else f"{found['value']:.4f} ({summary['version']})"
        say(f"{name.upper():<9} {value}")
    if summary["limit"]:
        say(f"only the first {summary['limit']} examples of each task were evaluated")


@evals_command.command("tasks")
def tasks_command() -> None:
    """List the 53 tasks with their kind, shots and random baselines, and whether they are part of CORE.

    \b
    Examples:
      watershed evals tasks
    """
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
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="The kind of the examples. The default is what the task of the file declares.",
)
def check_command(files: tuple[Path, ...], kind: Kind | None) -> None:
    """Check task files and report malformed examples.

    Each problem is reported with its file and line, its cause and how to mend it. The exit code is 2 if there is one.

    \b
    Examples:
      watershed evals check eval_tasks/copa.jsonl
      watershed evals check answers.jsonl --kind multiple_choice
    """
    from trainers.icl.files import read_examples, read_task, task_of_file
    from trainers.process.errors import EXIT_USER_ERROR, TrainerError

    wrong = False
    for path in files:
        task = None if kind else task_of_file(path)
        try:
            examples = read_task(path, task) if task else read_examples(path, kind)
            say(f"{path}: {len(examples)} examples")
        except TrainerError as error:
            wrong = True
            print_error(error.cause, error.mend)
    if wrong:
        raise SystemExit(EXIT_USER_ERROR)

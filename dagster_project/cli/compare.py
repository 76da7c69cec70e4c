"""The command `watershed compare`: decides by small runs which of two mixtures is better at a larger scale."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import RUN_AGAIN, user_errors
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    from rich.console import Console

    from dagster_project.families.ladder.comparison.decide import Comparison, Decided
    from dagster_project.families.ladder.comparison.folder_data import Folders
    from trainers.ladder.decide import Share


@click.command("compare")
@click.argument("first", metavar="MIXTURE_A")
@click.argument("second", metavar="MIXTURE_B")
@click.option(
    "--target",
    default="",
    metavar="SIZE-MULTIPLExC",
    help="The scale to decide for, such as 270k-0.5xC. The default is the target of the ladder.",
)
@click.option(
    "--sizes",
    default="",
    metavar="SIZE,...",
    help="The small runs, such as 70k or 70k-0.2xC. The default is the sizes of the ladder.",
)
@click.option("--seeds", type=int, default=3, show_default=True, help="The number of seeds for each run.")
@click.option(
    "--tasks",
    default="",
    metavar="TASK,...",
    help="The tasks of the table evals.tasks to compare on. The default is all tasks.",
)
@click.option(
    "--heldout",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Text that belongs to neither folder, of which the questions are made. For two folders only.",
)
@click.option(
    "--questions",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="A task file to compare on, as `watershed evals check` reads it. For two folders only.",
)
@click.option("--column", default="text", show_default=True, help="The column of the text in the files of two folders.")
@click.option(
    "--check", is_flag=True, help="Trains both mixtures at the target too, and reports whether the decision held."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="JSON",
    help="The file for the result, with a picture beside it. The default is a file in the lake.",
)
@user_errors(RUN_AGAIN)
def compare_command(  # noqa: PLR0917 (click passes them by name)
    first: str,
    second: str,
    target: str,
    sizes: str,
    seeds: int,
    tasks: str,
    heldout: Path | None,
    questions: tuple[Path, ...],
    column: str,
    check: bool,
    out: Path | None,
) -> None:
    """Decide by small runs which of two mixtures, or folders of documents, is better at a larger scale.

    A mixture is `selected` (the best 30% by the classifier), `unselected` (as much text from all documents that the
    rules keep), or KEY=VALUE pairs of `top_fraction` and `rules`. Small models are trained on both mixtures in the same
    way, and evaluated on documents that neither mixture contains. The decision uses bits per byte, which are more
    reliable than accuracy at small scale. Runs that are finished are not trained again. Decisions are stored in the
    table ladder.comparisons.

    Two folders of documents (JSON lines, Parquet, or shards) are compared without a lake's tables. Both are cut to
    the same number of bytes. The questions are made of --heldout, text that belongs to neither side, or come from the
    task files of --questions.

    \b
    Examples:
      watershed compare selected unselected
      watershed compare selected top_fraction=0.1,rules=gopher --seeds 5
      watershed compare selected unselected --target 270k-0.5xC --sizes 30k,70k --check
      watershed compare news forum --heldout books --questions quiz.jsonl --target 1M-0.5xC --sizes 130k,270k
    """
    from catalog.lake import Lake
    from catalog.settings import load_settings
    from catalog.tables.ladder import COMPARISON_RUNS
    from dagster_project.cli.screen.bars import Bars, wide_console
    from dagster_project.engine.checks import require_passing
    from dagster_project.families.ladder.comparison.decide import compare, make_plan, share_right_before
    from dagster_project.families.ladder.comparison.folders import compare_folders
    from dagster_project.families.ladder.comparison.report import report_to_dagster, write
    from dagster_project.instance import open_instance

    console, began, settings = wide_console(), time.monotonic(), load_settings()

    def log(line: str) -> None:
        console.print(line, highlight=False, markup=False)

    folders = _folders(first, second, heldout, questions, column)
    if folders and tasks:
        raise WatershedError("--tasks names tasks of the lake", "name task files with --questions")
    options = {"target": target, "sizes": _listed(sizes), "seeds": seeds}
    plan = None if folders else make_plan(settings, (first, second), tasks=_listed(tasks), **options)
    lake, instance = Lake.of(settings), open_instance(settings)
    try:
        if plan is not None:
            require_passing(instance, settings, COMPARISON_RUNS.upstream)
        with Bars(console).listening():
            if plan is not None:
                found = compare(settings, plan, check=check, log=log)
            else:
                assert folders is not None
                found = compare_folders(settings, folders, check=check, log=log, **options)
        before = share_right_before(settings, except_comparison=found.id)
        paths = write(found, before, out or lake.folder("ladder.comparisons", found.id, "comparison.json"))
        report_to_dagster(instance, lake, found, paths[-1])
    finally:
        instance.dispose()
    print_comparison(console, found, before)
    for path in paths:
        say(f"wrote {path}")
    say(f"{time.monotonic() - began:,.0f} s in all")


def _folders(first: str, second: str, heldout: Path | None, questions: tuple[Path, ...], column: str) -> Folders | None:
    """Return the folders that both arguments name, or None if both name mixtures.

    Raises:
        WatershedError: One is a folder and the other is not, or questions are named for mixtures of the lake.
    """
    from dagster_project.families.ladder.comparison.folder_data import Folders

    paths = [Path(name) for name in (first, second)]
    there = [path.exists() for path in paths]
    if not any(there):
        if heldout or questions:
            raise WatershedError(
                f"--heldout and --questions compare folders, and {first} is not one", "give two folders of documents"
            )
        return None
    if not all(there):
        raise WatershedError(
            f"{paths[there.index(False)]} is not a folder of documents", "give two folders of documents"
        )
    if paths[0].resolve() == paths[1].resolve():
        raise WatershedError(f"{first} and {second} are the same folder", "name two that differ")
    if not heldout and not questions:
        raise WatershedError(
            "there is nothing to ask both folders about",
            "give text that belongs to neither side with --heldout, or task files with --questions",
        )
    return Folders(first=paths[0], second=paths[1], heldout=heldout, questions=questions, column=column)


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def print_comparison(console: Console, found: Comparison, past: Share) -> None:
    """Print the mixtures, a row for each task and measure, the decision, and how often earlier decisions held."""
    from dagster_project.cli.screen.render import print_rows

    plan = found.plan
    for dataset in found.datasets:
        console.print(
            f"{dataset.mixture.name}: {dataset.documents:,} documents, {dataset.bytes:,} bytes, "
            f"{dataset.tokens:,} tokens; {plan.target} reads them {found.target_tokens / dataset.tokens:.2f} times",
            highlight=False,
            markup=False,
        )
    console.print(f"questions: {plan.asked}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"\n{plan.first.name} minus {plan.second.name}; positive values favour {plan.first.name}:", markup=False
    )
    names = ["task", "measure", *plan.runs, f"at {plan.target}", "90% band", "P(better)"]
    checked = found.decided[0].measured_S is not None
    print_rows(console, names + (["measured", "held"] if checked else []), [_row(each) for each in found.decided])
    for line in verdict(found, past):
        console.print(line, highlight=False, soft_wrap=True, markup=False)


def _row(each: Decided) -> list[str]:
    from dagster_project.families.ladder.comparison.decide import decided_right

    unit, predicted = (100.0 if each.measure == "accuracy" else 1.0), each.prediction
    words = "accuracy, points" if each.measure == "accuracy" else "bits per byte"

    def number(value: float) -> str:
        return f"{unit * value:+.2f}" if unit > 1 else f"{value:+.4f}"

    row = [each.task, words, *(number(run.mean()) for run in each.differences_RS), number(predicted.difference)]
    row += [f"{number(predicted.low)} to {number(predicted.high)}", f"{predicted.probability:.1%}"]
    if each.measured_S is not None:
        row += [number(each.measured_S.mean()), {True: "yes", False: "no", None: "-"}[decided_right(each)]]
    return row


def verdict(found: Comparison, past: Share) -> list[str]:
    """Return lines with the decision by the mean of the tasks, whether it held, and how often earlier ones held."""
    from dagster_project.families.ladder.comparison.decide import MEAN, better, decided_right, standard_error

    plan, mean = found.plan, found.of(MEAN)
    chance = max(mean.prediction.probability, 1 - mean.prediction.probability)
    visible = f"these runs could have been sure of a difference of {mean.prediction.visible:.4f} bits per byte"
    if (chosen := better(plan, mean)) is None:
        lines = [
            f"\ncannot tell which is better at {plan.target}: probability {chance:.1%}, by bits per byte; {visible}"
        ]
    else:
        other = plan.second if chosen == plan.first else plan.first
        lines = [
            f"\n{chosen.name} is better at {plan.target} than {other.name} with probability {chance:.1%}, by bits per"
            f" byte; {visible}"
        ]
    if mean.measured_S is not None:
        measured, error = float(mean.measured_S.mean()), standard_error(mean.measured_S)
        spread = f" +- {error:.4f} over {plan.seeds} seeds" if error is not None else ""
        held = {True: "the decision held", False: "the decision did not hold", None: "there was no decision to hold"}[
            decided_right(mean)
        ]
        close = ", but it is too close to zero to be certain" if error is not None and abs(measured) < error else ""
        lines.append(f"{held}: predicted {mean.prediction.difference:+.4f}, measured {measured:+.4f}{spread}{close}")
    lines.append(earlier_decisions(past))
    return lines


def earlier_decisions(past: Share) -> str:
    """Return a line with the share of earlier decisions that held."""
    if not past.of:
        return "no earlier decision of this lake was checked"
    return (
        f"{past.right:.0f} of {past.of} earlier decisions of this lake held; "
        f"{past.level:.0%} interval {past.low:.0%} to {past.high:.0%}"
    )

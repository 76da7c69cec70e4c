"""The commands `watershed ladder import|fit|outcomes|plan`: forecasts of large models from small runs."""

from __future__ import annotations

import json
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.numbers import number
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from trainers.ladder.forecast import Forecast
    from trainers.ladder.propose import Proposal
    from trainers.ladder.runs import LadderRuns, Target

FILE = click.Path(path_type=Path)


@click.group("ladder")
def ladder_command() -> None:
    """Forecast the task scores of large models from small runs.

    \b
    Examples:
      watershed ladder import published --models published/models.json
      watershed ladder fit --source published --out predictions.json
      watershed ladder outcomes
      watershed ladder plan --target 7B-4T --budget 1%
    """


@ladder_command.command("import")
@click.argument("folder", metavar="DIR", type=FILE)
@click.option(
    "--models",
    type=FILE,
    metavar="JSON",
    help="The file with the sizes of the runs and the targets. The default is models.json in DIR.",
)
@click.option(
    "--name", help="The name of the runs in the lake, in the column `source`. The default is the name of DIR."
)
@click.option(
    "--tasks", multiple=True, metavar="TASK,...", help="The tasks to read. The default is all tasks that every run has."
)
@user_errors()
def import_command(folder: Path, models: Path | None, name: str | None, tasks: tuple[str, ...]) -> None:
    """Import published runs into ladder.points and ladder.checkpoints, and their targets into ladder.targets.

    DIR contains a CSV file for each run, with a row for each checkpoint. After the import,
    `watershed ladder fit --source NAME` needs no files.

    \b
    Examples:
      watershed ladder import published
      watershed ladder import published --models sizes.json --name olmo --tasks hellaswag,piqa
    """
    from catalog.settings import load_settings
    from dagster_project.families.ladder.published import import_ladder

    source = name or folder.absolute().name
    wanted = [task for names in tasks for task in names.split(",")]
    found = import_ladder(load_settings(), folder, models or folder / "models.json", source, wanted)
    for note in found.notes:
        say(note)
    say(
        f"{source}: {found.runs} runs with {found.checkpoints:,} checkpoints, {found.targets} targets, "
        f"{len(found.tasks)} tasks ({', '.join(found.tasks)})"
    )
    if not found.written:
        say("these files have been imported before: nothing to do")


@ladder_command.command("fit")
@click.option(
    "--runs",
    type=FILE,
    metavar="DIR",
    help="The folder of the CSV files of the runs. Without it, runs of the lake are used.",
)
@click.option(
    "--table",
    type=FILE,
    metavar="CSV",
    help="A table of runs with the columns name, params, tokens, and one for each loss. Forecasts these losses.",
)
@click.option(
    "--source", metavar="NAME", help="Uses the runs that were imported as NAME. The default is the lake's own runs."
)
@click.option(
    "--models",
    type=FILE,
    metavar="JSON",
    help="The file with the sizes of the runs. The default is models.json in the folder of --runs.",
)
@click.option(
    "--targets",
    multiple=True,
    metavar="NAME=PARAMS,TOKENS",
    help="The models to forecast. The default is the targets that came with the runs.",
)
@click.option("--tasks", multiple=True, metavar="TASK,...", help="The tasks to forecast. The default is all tasks.")
@click.option(
    "--mode",
    type=click.Choice(("paper", "auto")),
    default="auto",
    show_default=True,
    help="The protocol of the fit: the published one, or the one that is best on hold-outs inside the ladder.",
)
@click.option(
    "--out",
    type=FILE,
    required=True,
    metavar="JSON",
    help="The file for the forecasts. Pictures are written beside it.",
)
@click.option(
    "--ablate",
    "ablated",
    is_flag=True,
    help="Prints the error by the compute spent on the runs instead: sizes dropped, then multiples; one step and two.",
)
@click.option("--plots/--no-plots", default=True, show_default=True, help="Draws pictures of the fits and forecasts.")
@click.argument("more", nargs=-1, metavar="[MORE TARGETS OR TASKS]...")
@user_errors()
def fit_command(  # noqa: PLR0917 (click passes them by name)
    runs: Path | None,
    table: Path | None,
    source: str | None,
    models: Path | None,
    targets: tuple[str, ...],
    tasks: tuple[str, ...],
    mode: str,
    out: Path,
    ablated: bool,
    plots: bool,
    more: tuple[str, ...],
) -> None:
    """Fit both steps of the scaling law and forecast targets, with 90% bands.

    The mode `paper` is the published protocol (arXiv 2412.04403). The mode `auto` chooses the runs, the intermediate
    loss, the averaging and the form by hold-outs inside the ladder. No measurement of a target is used. Targets and
    tasks may also follow the options, as in the last example. With --table, the losses of a table are forecast, from
    three runs on; the result is {target: {column: {loss, low, high}}}.

    \b
    Examples:
      # Files of runs, runs that were imported, and the lake's own runs.
      watershed ladder fit --runs published --out predictions.json
      watershed ladder fit --source published --out predictions.json --mode paper
      watershed ladder fit --table runs.csv --targets 7B=6.9e9,1.4e11 --out losses.json
      watershed ladder fit --targets 1M-1xC=1.4e6,2.8e7 --out predictions.json
      watershed ladder fit --runs published --ablate --out ablation.json
      watershed ladder fit --source published --out predictions.json 7B-4T=6.9e9,4e12 hellaswag
    """
    from catalog.tables.ladder import LAKE
    from trainers.ladder.forecast import fit_ladder, parse_target
    from trainers.ladder.runs import read_ladder

    names = [name for word in (*tasks, *(w for w in more if "=" not in w)) for name in word.split(",")]
    wanted = (*targets, *(word for word in more if "=" in word))
    given = [option for option, value in (("--runs", runs), ("--table", table), ("--source", source)) if value]
    if len(given) > 1:
        raise WatershedError(f"{given[0]} and {given[1]} both name runs", "give one of them")
    if table is not None:
        _fit_table(table, [parse_target(text, {}) for text in wanted], names, out)
        return
    if runs is None:
        ladder = ladder_of(source or LAKE, tuple(names))
    else:
        ladder = read_ladder(runs, models or runs / "models.json", names or None)
    for note in ladder.notes:
        say(note)
    if ablated:
        _ablate(ladder, out, plots)
        return
    aims = [parse_target(text, ladder.targets) for text in wanted] or list(ladder.targets.values())
    forecast = fit_ladder(ladder, aims, "paper" if mode == "paper" else "auto")
    _write(out, json.dumps(forecast.as_dict(), indent=1, allow_nan=False) + "\n")
    pictures = []
    if plots and forecast.fits:
        from trainers.ladder.pictures import plot_forecast

        pictures = plot_forecast(ladder, aims, forecast, out)
    _print_forecast(forecast)
    for path in (out, *pictures):
        say(f"wrote {path}")


def _ablate(ladder: LadderRuns, out: Path, plots: bool) -> None:
    from trainers.ladder.ablate import ablate, as_dict, draw

    found = ablate(ladder)
    _write(out, json.dumps(as_dict(found), indent=1, allow_nan=False) + "\n")
    say("error in points at the runs of the largest size, which are held out")
    say(f"  {'sizes':>5}{'multiples':>11}{'runs':>6}{'FLOPs':>11}{'share':>8}{'two steps':>11}{'one step':>10}")
    for each in found:
        say(
            f"  {each.sizes:>5}{each.multiples:>11}{each.runs:>6}{each.flops:>11.3g}{each.share:>8.1%}"
            f"{100 * each.two_steps:>11.1f}{100 * each.one_step:>10.1f}"
        )
    for path in (out, *([draw(found, out.with_suffix(".png"))] if plots else [])):
        say(f"wrote {path}")


def _fit_table(path: Path, targets: list[Target], columns: list[str], out: Path) -> None:
    from trainers.ladder.loss_table import as_dict, forecast_table, read_loss_table

    table = read_loss_table(path, columns)
    for note in table.notes:
        say(note)
    found = forecast_table(table, targets)
    _write(out, json.dumps(as_dict(found), indent=1, allow_nan=False) + "\n")
    for target in targets:
        say(f"{target.name}, from {len(table.names)} runs")
        for column, forecast in found.items():
            one = forecast.targets[target.name]
            say(f"  {column:<16}{one.loss:9.4f}  {one.low:8.4f} to {one.high:8.4f}  (90% band)")
    for column, forecast in found.items():
        say(f"{column}: {forecast.note}")
    say(f"wrote {out}")


def ladder_of(source: str, tasks: tuple[str, ...]) -> LadderRuns:
    """Return the lake's own ladder, or one that was imported.

    Raises:
        WatershedError: The lake has no ladder of that name.
        TrainerError: The ladder was not measured on one of the tasks.
    """
    from catalog.settings import load_settings
    from catalog.tables.ladder import LAKE
    from dagster_project.families.ladder.published import published_ladder
    from dagster_project.families.ladder.tables import lake_ladder

    settings = load_settings()
    return lake_ladder(settings, tasks) if source == LAKE else published_ladder(settings, source, tasks)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text)
    part.replace(path)


def _print_forecast(forecast: Forecast) -> None:
    for name, tasks in forecast.targets.items():
        say(f"{name}, mode {forecast.mode}")
        for task, found in tasks.items():
            verdict = "" if found.predictable else f"  unpredictable: {found.reason}"
            say(f"  {task:<16}{found.accuracy:7.1%}  {found.low:6.1%} to {found.high:6.1%}{verdict}")
    protocol = forecast.as_dict()["protocol"]
    if protocol["note"]:
        say(protocol["note"])
        return
    say(f"hold-outs: {len(forecast.errors)} forecasts; mean error in points, and share inside the 90% bands:")
    coverage = protocol["coverage"]
    for part, kind in (("by_split", "holdout_error_by_split"), ("by_task", "holdout_error")):
        for name, share in coverage[part].items():
            say(f"  {name:<16}{100 * protocol[kind][name]:7.1f}{share:9.0%}")
    say(f"  {'all':<16}{100 * mean_error(forecast):7.1f}{coverage['overall']:9.0%}")
    if coverage["stated"] is not None:
        farthest = exp(coverage["longest"])
        say(
            f"expected at the farthest target: {coverage['stated']:.0%} in their bands (hold-outs that the bands were"
            " not fitted to, counted by nearness of reach; the farthest is"
            f" {farthest:.0f} times the compute of its runs ahead)"
        )
    say(f"averaged protocols: {len(forecast.protocols)}; the best on hold-outs: {protocol['best']}")


def mean_error(forecast: Forecast) -> float:
    """Return the mean absolute error in accuracy of all forecasts on hold-outs, from 0 to 1."""
    return sum(abs(error.error) for error in forecast.errors) / len(forecast.errors)


@ladder_command.command("outcomes")
@user_errors()
def outcomes_command() -> None:
    """Compare the stored forecasts of the lake with what their targets measured, task by task.

    \b
    Examples:
      watershed ladder outcomes
    """
    from catalog.settings import load_settings
    from dagster_project.families.ladder.tables import stored_outcomes, summary

    rows = stored_outcomes(load_settings())
    for row in rows.to_pylist():
        forecast = f"{row['predicted']:7.1%}  {row['low']:6.1%} to {row['high']:6.1%}"
        verdict = "in band" if row["in_band"] else "outside"
        say(
            f"{row['target']:<14}{row['task']:<16}{forecast}  measured {row['measured']:6.1%}"
            f"  error {100 * row['error']:+5.1f} points  {verdict}"
        )
    found = summary(rows)
    say(f"mean error {100 * found['mean error']:.1f} points; {found['in band']:.0%} in band")


@ladder_command.command("plan")
@click.option(
    "--target",
    required=True,
    metavar="NAME",
    help="The model to forecast: 7B-4T, 7B-5xC, 7B-1x, OLMoE-1B-7B, or NAME=PARAMS,TOKENS.",
)
@click.option(
    "--budget",
    required=True,
    metavar="SHARE",
    help="The FLOPs of all small runs together: a share of the target's such as 1%, or a number such as 2e21.",
)
@click.option("--gpu", default="h100", show_default=True, help="The kind of GPU: a100, h100, h200 or b200.")
@click.option("--gpus", type=int, default=8, show_default=True, help="The number of GPUs that train a run together.")
@click.option("--price", type=float, default=2.5, show_default=True, help="The price of one GPU-hour.")
@click.option("--json", "as_json", is_flag=True, help="Prints one JSON object.")
@user_errors()
def plan_command(  # noqa: PLR0917 (click passes them by name)
    target: str, budget: str, gpu: str, gpus: int, price: float, as_json: bool
) -> None:
    """Propose the small runs that forecast a target best within a budget.

    \b
    Examples:
      watershed ladder plan --target 7B-4T --budget 1%
      watershed ladder plan --target 13B-5xC --budget 2e21 --gpu b200 --json
    """
    from dataclasses import asdict

    from trainers.ladder.propose import propose, target_workload

    aim = target_workload(target)
    found = propose(aim, budget_flops(budget, aim.flops), gpu=gpu, gpus=gpus, price=price)
    if as_json:
        data(json.dumps({"target": target, "target_flops": aim.flops} | asdict(found)))
    else:
        _print_proposal(target, aim.flops, found)


def budget_flops(budget: str, whole: float) -> float:
    """Return the FLOPs of a budget such as `1%` of `whole`, or `2e21`.

    Raises:
        WatershedError: `budget` is not a positive number.
    """
    share = budget.strip().endswith("%")
    value = number(budget.strip().removesuffix("%"), "--budget")
    flops = value / 100 * whole if share else value
    if not flops > 0:
        raise WatershedError(f"--budget {budget} is not positive", "write a share such as 1%, or FLOPs such as 2e21")
    return flops


def _print_proposal(target: str, flops: float, found: Proposal) -> None:
    say(f"{target}: {flops:.3g} FLOPs")
    for run in found.runs:
        say(f"  {run.name:<12}{run.flops:>10.3g} FLOPs {run.gpu_hours:>9,.1f} GPU-hours {run.cost:>9,.0f}")
    hours, cost = (sum(getattr(run, name) for run in found.runs) for name in ("gpu_hours", "cost"))
    say(f"  {'all':<12}{found.flops:>10.3g} FLOPs {hours:>9,.1f} GPU-hours {cost:>9,.0f}  ({found.share:.2%})")
    say(f"the target takes {found.reach:,.0f} times the FLOPs of the largest run")
    say(f"expected width of a predictable task's 90% band: {100 * found.width:.0f} points")
